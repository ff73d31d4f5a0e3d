"""Disks at Vast that outlive machines. Each is on one host, and only machines there can have it.

They cost until they are deleted. One cannot be moved; if its host is full or off, it is out of
reach: what must not be lost is kept elsewhere.
"""

from __future__ import annotations

import re
from typing import Any, Final

from apothic_backends.model.functions import Condition
from apothic_backends.model.record import Record
from apothic_backends.providers.base import ProviderError
from apothic_backends.providers.http import Refusal
from apothic_backends.providers.reading import Nonsense, a_list, number
from apothic_backends.providers.vast.calls import Api, meaning, says_nothing_there
from apothic_backends.providers.vast.instances import text_of

_NAME: Final = re.compile(r"\w{1,64}", re.ASCII)
_PATH: Final = "/api/v0/volumes/"


class Room(Record):
    """Where a volume could be made."""

    offer: int
    host: str
    size_gb: float
    usd_per_gb_month: float


class Volume(Record):
    """A volume that is there. `name` is what machines mount it by."""

    volume_id: int
    label: str
    host: str
    size_gb: float
    usd_per_hour: float
    is_in_use: bool

    @property
    def name(self) -> str:
        """What Vast calls it."""
        return f"V.{self.volume_id}"


def affinity(host: str) -> Condition:
    """What a function has to ask for, so that it runs where its volume is."""
    return Condition("machine_id", "eq", int(host), f"a volume that is on Vast's machine {host}")


def mounting(volume_id: int, path: str) -> dict[str, str]:
    """What a machine on its host needs among its variables, to have a volume at a path."""
    return {f"-v V.{volume_id}:{path}": "1"}


class Volumes:
    """The volumes of one account."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def search(self, size_gb: int, host: str = "") -> list[Room]:
        """Where one of that size could be, the cheapest first; on one host, if that is given."""
        body: dict[str, Any] = {
            "disk_space": {"gte": size_gb},
            "verified": {"eq": True},
            "allocated_storage": size_gb,
            "order": [["storage_cost", "asc"]],
            "limit": 64,
        }
        if host:
            body["machine_id"] = {"eq": int(host)}
        found = self._call("POST", f"{_PATH}search/", _rooms, body=body)
        return [it for it in found if it.size_gb >= size_gb and host in ("", it.host)]

    def create(self, room: Room, size_gb: int, label: str) -> str:
        """Make one, once; its name, such as "V.20118481".

        Raises:
            Unclear: it may have been made; a list tells, by its label.
        """
        if not _NAME.fullmatch(label):
            raise ProviderError(
                f"{label!r} cannot be the name of a volume: letters, digits and _, at most 64",
                provider="vast",
            )
        body = {"id": room.offer, "size": size_gb, "name": label}
        return self._call("PUT", _PATH, _made, body=body, changes=True)

    def list(self) -> list[Volume]:
        """All there are."""
        return self._call("GET", _PATH, _volumes, query={"owner": "me", "type": "local_volume"})

    def delete(self, volume_id: int) -> None:
        """Have one go for good; nothing happens if there is none.

        Raises:
            ProviderError: a machine has it still; it is free some 30 s after that is gone.
        """
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


def _volumes(told: dict[str, Any]) -> list[Volume]:
    return [
        Volume(
            int(number(row, "id")),
            text_of(row, "label"),
            str(int(number(row, "machine_id"))),
            number(row, "disk_space"),
            number(row, "storage_total_cost", 0.0),
            row.get("status") == "in-use" or bool(row.get("instances")),
        )
        for row in a_list(told.get("volumes"), "volumes")
    ]


def _made(told: dict[str, Any]) -> str:
    """Its number is not always told, its name is."""
    name = text_of(told, "volume_name") or f"V.{told.get('volume_id', '')}"
    if not name.removeprefix("V.").isdecimal():
        raise Nonsense("it has no name")
    return name
