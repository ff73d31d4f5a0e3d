"""Where I/O meets the core: one lock, one event queue, and whoever waits does the work."""

from __future__ import annotations
