"""Tracebacks of workers, as whoever works in the project wants to read them."""

from __future__ import annotations

import re
from pathlib import Path

_OURS = re.compile(r' +File "[^"\n]*/apothic_emulator/[^\n]*\n(?: {4,}[^\n]*\n)*')
_TREE = re.compile(r'"[^"\n]*/trees/[^/"\n]+/[0-9a-f]{64}/')


def readable(traceback: str, root: Path) -> str:
    """Without the frames of ours, and with files where they are edited, not where they run."""
    return _TREE.sub(lambda _: f'"{root}/', _OURS.sub("", traceback))
