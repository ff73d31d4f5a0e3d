"""Sandboxes: other people's programs, kept apart from the machine that they run on.

`guest` starts and steers them from outside, `inside` is what runs with them.
"""

from __future__ import annotations
