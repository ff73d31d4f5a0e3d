"""Sandboxes: other people's programs, kept apart from the machine that they run on.

`guest` starts and steers them from outside, `inside` is what runs with them; `files` are those that
they work on, seen from outside.
"""

from __future__ import annotations
