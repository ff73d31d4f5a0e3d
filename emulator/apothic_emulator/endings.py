"""What is said when a program ends before its jobs do."""

from __future__ import annotations

import sys


def tell_kept(count: int, place: str) -> None:
    """Say on stderr how many jobs go on with the next program, if any."""
    if count:
        what = "job is" if count == 1 else "jobs are"
        told = f"apothic: {count} unfinished {what} kept in {place}"
        print(told, file=sys.stderr)  # noqa: T201


def tell_unfinished(count: int) -> None:
    """Say on stderr how many jobs were cut short, if any."""
    if count:
        word = "job was" if count == 1 else "jobs were"
        print(f"apothic: {count} unfinished {word} cancelled", file=sys.stderr)  # noqa: T201
