"""What has changed since the last commit, by key; each is packed once, as it stands at the end.

Without a store that keeps anything there is no journal: `None` stands in its place.
"""

from __future__ import annotations

from typing import Protocol

from apothic_emulator.core.records import Change


class Kept(Protocol):
    """Something that must survive the control plane."""

    def pack(self) -> bytes:
        """All of it, as a record."""
        ...


class Journal:
    """Keys are short paths: `job/17`, `item/3/17`."""

    def __init__(self) -> None:
        self._touched: dict[str, Kept | None] = {}
        self._along: dict[str, Kept] = {}

    def keep(self, key: str, thing: Kept) -> None:
        """A thing is new, or has changed."""
        self._touched[key] = thing

    def keep_along(self, key: str, thing: Kept) -> None:
        """A thing has changed, and may wait for the next commit: it is no reason for one."""
        self._along[key] = thing

    def drop(self, key: str) -> None:
        """A thing is gone."""
        self._touched[key] = None

    def take(self) -> list[Change]:
        """What has to be committed, and begin anew."""
        touched, self._touched = self._touched, {}
        if touched and self._along:
            along, self._along = self._along, {}
            touched = {**along, **touched}
        return [(key, it if it is None else it.pack()) for key, it in touched.items()]
