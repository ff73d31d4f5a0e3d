"""What is asked, and whose answer nobody wants."""

from __future__ import annotations

from typing import Any


class Unheard:
    """In place of a request whose reply nobody wants."""

    __slots__ = ()
    done = False

    def complete(self, value: Any) -> bool:
        """Drop the reply."""
        return True

    def fail(self, error: BaseException) -> bool:
        """Drop the error."""
        return True
