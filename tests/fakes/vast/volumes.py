"""Volumes of the fake market: each on the host of an offer, where machines have it as a folder."""

from __future__ import annotations

from typing import Any

from tests.fakes.vast.instance import Instance
from tests.fakes.vast.market import HOURS_A_MONTH, Row

_OFFSET = 1_000_000
"""From the number of a host's offer to that of its disk's."""


class Volume:
    """One that was rented at `made_at`; times are Unix seconds."""

    def __init__(self, number: int, row: Row, body: dict[str, Any], made_at: float) -> None:
        self.number, self.host = number, row["machine_id"]
        self.label, self.size_gb = body.get("name", ""), float(body["size"])
        self.usd_per_hour = self.size_gb * row["storage_cost"] / HOURS_A_MONTH
        self.made_at = made_at
        self.gone_at: float | None = None

    def cost(self, now: float) -> float:
        """What it has cost: mounted or not."""
        end = now if self.gone_at is None else self.gone_at
        return self.usd_per_hour * max(0.0, end - self.made_at) / 3600


class Disks:
    """The volumes of an account. One is free `free_s` after the last machine that had it."""

    def __init__(self) -> None:
        self.made: dict[int, Volume] = {}
        self.free_s = 30.0
        self.asked: list[str] = []
        """Labels of those that were asked for, where that could have had its effect."""

    def alive(self) -> list[Volume]:
        """Those that cost something."""
        return [it for it in self.made.values() if it.gone_at is None]

    def offers(self, rows: list[Row], body: dict[str, Any]) -> list[Row]:
        """Where one could be made."""
        host = body.get("machine_id", {}).get("eq")
        least = body.get("disk_space", {}).get("gte", 0)
        found = [
            {
                "id": row["id"] + _OFFSET,
                "machine_id": row["machine_id"],
                "disk_space": row["avail_vol_size"],
                "storage_cost": row["storage_cost"],
            }
            for row in rows
            if (row["avail_vol_size"] or 0) >= least and host in (None, row["machine_id"])
        ]
        return sorted(found, key=lambda it: it["storage_cost"])[:64]

    def make(self, rows: list[Row], body: dict[str, Any], now: float) -> dict[str, Any]:
        """Rent one."""
        self.asked.append(body.get("name", ""))
        row = next((it for it in rows if it["id"] + _OFFSET == body["id"]), None)
        if row is None or (row["avail_vol_size"] or 0) < body["size"]:
            return gone()
        number = 20_118_481 + len(self.made)
        self.made[number] = Volume(number, row, body, now)
        return {"success": True, "volume_name": f"V.{number}"}

    def why_not(self, offer: Row, info: dict[str, Any] | None) -> str:
        """Why a machine of an offer cannot have the volume that it is to have."""
        if info is None:
            return ""
        volume = self.made.get(info["volume_id"])
        if volume is None or volume.gone_at is not None:
            return f"no_such_volume: there is no volume {info['volume_id']}"
        is_there = volume.host == offer["machine_id"]
        return "" if is_there else f"volume {volume.number} is on machine {volume.host}"

    def listed(self, machines: list[Instance], now: float) -> list[Row]:
        """All there are, and whether machines have them."""
        return [
            {
                "id": it.number,
                "label": it.label,
                "status": "in-use" if self._is_used(it, machines, now) else "created",
                "machine_id": it.host,
                "disk_space": it.size_gb,
                "storage_total_cost": it.usd_per_hour,
            }
            for it in self.alive()
        ]

    def delete(self, number: int, machines: list[Instance], now: float) -> dict[str, Any]:
        """Have one go."""
        volume = self.made.get(number)
        if volume is None or volume.gone_at is not None:
            return {"status": 404, "success": False, "error": "no_such_volume", "msg": "no volume"}
        if self._is_used(volume, machines, now):
            text = "volume is in use"
            return {"status": 400, "success": False, "error": "invalid_args", "msg": text}
        volume.gone_at = now
        return {"success": True}

    def _is_used(self, volume: Volume, machines: list[Instance], now: float) -> bool:
        mine = [it for it in machines if it.volume == volume.number]
        return any(it.gone_at is None or now < it.gone_at + self.free_s for it in mine)


def gone() -> dict[str, Any]:
    """The answer where there is no room any more."""
    return {"status": 404, "success": False, "error": "no_such_ask", "msg": "it is gone"}
