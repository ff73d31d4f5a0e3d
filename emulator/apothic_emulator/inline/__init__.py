"""A control plane without processes: whoever waits runs the calls, in its own thread."""

from __future__ import annotations
