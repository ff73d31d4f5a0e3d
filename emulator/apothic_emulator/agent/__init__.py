"""One agent a machine: it starts executors, passes frames to and from them, and ends them."""

from __future__ import annotations
