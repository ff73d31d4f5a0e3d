"""What is said when a program ends before its jobs do."""

from __future__ import annotations

import sys


def tell_unfinished(count: int) -> None:
    """Say on stderr how many jobs were cut short, if any."""
    if count:
        word = "job was" if count == 1 else "jobs were"
        print(f"apothic: {count} unfinished {word} cancelled", file=sys.stderr)  # noqa: T201
