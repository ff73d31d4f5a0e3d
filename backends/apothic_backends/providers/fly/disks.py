"""Disks of an app on Fly: each is on one computer of one region, and only grows. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

_ENDING: Final = frozenset(
    {"scheduling_destroy", "pending_destroy", "fork_cleanup", "waiting_for_detach"}
    | {"destroying", "destroyed"}
)
"""States in which one is as good as gone: nothing is paid for it."""


class Disk(NamedTuple):
    """One of them."""

    id: str
    region: str
    size_gb: int


def there(told: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Those of a list that are not about to go."""
    return [its for its in told if its.get("state") not in _ENDING and its.get("id")]


def disk_in(told: Sequence[Mapping[str, Any]], name: str, region: str) -> Disk | None:
    """The first of that name; in that region, where it does not say where it is."""
    those = (its for its in there(told) if its.get("name") == name)
    return next((_disk(its, region) for its in those), None)


def _disk(its: Mapping[str, Any], region: str) -> Disk:
    size_gb = its.get("size_gb")
    return Disk(
        str(its["id"]),
        str(its.get("region") or region),
        size_gb if isinstance(size_gb, int) else 0,
    )
