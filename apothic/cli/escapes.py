"""Escape sequences in what users' code prints."""

from __future__ import annotations

import re

_OTHERS = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-ln-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[^\[\]])")
"""Whatever would move the cursor, clear the screen or the like."""


def only_colors(line: str) -> str:
    """The line with its colours, which end with it, and without all other sequences."""
    cleaned = _OTHERS.sub("", line)
    return f"{cleaned}\x1b[0m" if "\x1b" in cleaned else cleaned
