"""Fences: the number that a lock or a term was given, which writes may carry as a proof.

A fence is the revision at which its holder got hold; so no two are alike, and a later one is
larger. A write that carries one is carried out only while its lock or term is held.
"""

from __future__ import annotations

from apothic_backends.model.errors import Fenced

REMEMBERED = 10_000
"""Fences of the past whose lock can be named in a message."""


class Fences:
    """Which fences are held now, and what for: such as `the lock "a" of dict demo`."""

    def __init__(self) -> None:
        self.held: dict[int, str] = {}
        self._present: dict[str, int] = {}
        self._past: dict[int, str] = {}

    def give(self, fence: int, what: str) -> None:
        """Somebody got hold of a lock, or was elected."""
        self.held[fence] = what
        self._present[what] = fence

    def take(self, fence: int) -> None:
        """That is over."""
        what = self._past[fence] = self.held.pop(fence)
        del self._present[what]
        if len(self._past) > REMEMBERED:
            del self._past[next(iter(self._past))]

    def check(self, fence: int | None) -> None:
        """See to it that a write which carries a fence may be carried out.

        Raises:
            Fenced: its lock or term is not held any more.
        """
        if fence is None or fence in self.held:
            return
        what = self._past.get(fence)
        if what is None:
            raise Fenced(
                f"fence {fence} belongs to no lock or term that is held: nothing was written. "
                "Pass the fence of a lock, or the number of a term, that you hold now",
                fence=fence,
                lock=None,
                present=None,
            )
        present = self._present.get(what)
        now = f"fence {present} has it now" if present is not None else "nobody has it now"
        raise Fenced(
            f"fence {fence} of {what} is not held any more, and {now}: nothing was written. "
            "Whoever lost it has to acquire it again, and to read again what it writes",
            fence=fence,
            lock=what,
            present=present,
        )
