"""What was asked of a server, and has no answer yet: by number, in the order in which it was asked.

asked ──► sent ──► answered
  ▲        │
  └─ cut ──┘   sent again on the next connection, lowest number first
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Answer = Callable[[Any, BaseException | None], object]
"""Takes a reply or an error, on whichever thread it is known."""


class Pending:
    """One command that waits for its reply."""

    __slots__ = ("answer", "data", "goes_back", "is_given_up", "number", "once")

    def __init__(self, number: int, data: bytes, answer: Answer, *, once: bool) -> None:
        self.number = number
        self.data = data
        self.answer = answer
        self.once = once
        """Whether it changes something, so that its reply matters even to nobody."""
        self.is_given_up = False
        self.goes_back = False
        """Whether what comes with it is put back unless somebody says to have it."""
