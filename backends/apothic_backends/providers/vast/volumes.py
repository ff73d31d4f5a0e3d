"""Disks at Vast that outlive machines. Each is on one host, and only machines there can have it.

They cost until they are deleted. One cannot be moved; if its host is full or off, it is out of
reach: what must not be lost is kept elsewhere.

Vast can make a volume together with a machine, too (`create_new`). That is not used: where the
answer to that one call is lost, or it is refused, nothing that is documented says what of the two
is there. By itself a volume has a label of its own that a list shows, and while it is empty it
costs a thousandth of a machine.
"""

from __future__ import annotations

import re
from typing import Any, Final

from apothic_backends.model.record import Record
from apothic_backends.placement.offers import HOURS_A_MONTH
from apothic_backends.providers.base import (
    OfferGone,
    ProviderError,
    SeenVolume,
    VolumeListing,
    VolumeOrder,
)
from apothic_backends.providers.http import Refusal
from apothic_backends.providers.reading import Nonsense, a_list, number
from apothic_backends.providers.vast.calls import Api, meaning, says_nothing_there
from apothic_backends.providers.vast.instances import is_object, text_of

_NAME: Final = re.compile(r"\w{1,64}", re.ASCII)
_PATH: Final = "/api/v0/volumes/"


class Room(Record):
    """Where a volume could be made."""

    offer: int
    host: str
    size_gb: float
    usd_per_gb_month: float


class VastVolumes:
    """The volumes of one account."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def search(self, size_gb: int, host: str) -> list[Room]:
        """Where one of that size could be on a host, the cheapest first."""
        body: dict[str, Any] = {
            "disk_space": {"gte": size_gb},
            "machine_id": {"eq": int(host)},
            "allocated_storage": size_gb,
            "order": [["storage_cost", "asc"]],
            "limit": 64,
        }
        found = self._call("POST", f"{_PATH}search/", _rooms, body=body)
        return [it for it in found if it.size_gb >= size_gb and it.host == host]

    def rent(self, order: VolumeOrder) -> SeenVolume:
        """Make one where there is room on its host."""
        if not _NAME.fullmatch(order.label):
            raise ProviderError(
                f"{order.label!r} cannot be the name of a volume: letters, digits and _, at most "
                "64; nothing was rented",
                provider="vast",
            )
        for room in self.search(order.size_gb, order.host):
            usd_per_hour = room.usd_per_gb_month * order.size_gb / HOURS_A_MONTH
            if usd_per_hour <= order.most_usd_per_hour:
                its = order.label, order.host, float(order.size_gb), usd_per_hour
                return SeenVolume(self._create(room, order), *its)
        raise OfferGone(
            f"Vast's machine {order.host} has no room for a volume of {order.size_gb} GB at up to "
            f"${order.most_usd_per_hour:.4f}/h",
            provider="vast",
        )

    def _create(self, room: Room, order: VolumeOrder) -> str:
        body = {"id": room.offer, "size": order.size_gb, "name": order.label}
        return self._call("PUT", _PATH, _made, body=body, changes=True)

    def list(self, prefix: str) -> VolumeListing:
        """All whose label begins so."""
        query = {"owner": "me", "type": "local_volume"}
        rows = self._call("GET", _PATH, _rows, query=query)
        seen = [it for row in rows if (it := _seen_of(row)) is not None]
        mine = tuple(it for it in seen if it.label.startswith(prefix))
        return VolumeListing(mine, whole=len(seen) == len(rows))

    def delete(self, provider_id: str) -> None:
        """Have one go for good; nothing happens if there is none.

        Raises:
            ProviderError: a machine has it still; it is free some 30 s after that is gone.
        """
        volume_id = int(provider_id)
        try:
            # The documents have its number in the body, and the market's own tools in the query.
            self._api.call(
                "DELETE",
                _PATH,
                "volumes",
                lambda _: None,
                query={"id": volume_id},
                body={"id": volume_id},
                changes=True,
            )
        except Refusal as refusal:
            if not says_nothing_there(refusal):
                raise meaning(refusal) from None

    def _call(self, method: str, path: str, read: Any, **how: Any) -> Any:
        try:
            return self._api.call(method, path, "volumes", read, **how)
        except Refusal as refusal:
            raise meaning(refusal) from None


def _rooms(told: dict[str, Any]) -> list[Room]:
    return [
        Room(
            int(number(row, "id")),
            str(int(number(row, "machine_id"))),
            number(row, "disk_space"),
            number(row, "storage_cost"),
        )
        for row in a_list(told.get("offers"), "offers")
    ]


def _rows(told: dict[str, Any]) -> list[Any]:
    if "volumes" not in told:
        raise Nonsense("'volumes' is not told")
    return a_list(told["volumes"], "volumes")


def _seen_of(row: Any) -> SeenVolume | None:
    """None for one that cannot be told from ours: it has no label at all, or no number."""
    try:
        if not is_object(row) or "label" not in row:
            return None
        return SeenVolume(
            str(int(number(row, "id"))),
            text_of(row, "label"),
            str(int(number(row, "machine_id"))),
            number(row, "disk_space", 0.0),
            number(row, "storage_total_cost", 0.0),
            row.get("status") == "in-use" or bool(row.get("instances")),
        )
    except Nonsense:
        return None


def _made(told: dict[str, Any]) -> str:
    """Its number is not always told, its name is."""
    name = text_of(told, "volume_name") or f"V.{told.get('volume_id', '')}"
    found = name.removeprefix("V.")
    if not (found.isascii() and found.isdecimal()):
        raise Nonsense("it has no name")
    return found
