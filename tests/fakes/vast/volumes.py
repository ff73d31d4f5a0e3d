"""Volumes of the fake market: each on the host of an offer."""

from __future__ import annotations

from typing import Any

from tests.fakes.vast.market import HOURS_A_MONTH, Row

_OFFSET = 1_000_000
"""From the number of a host's offer to that of its disk's."""


class Disks:
    """The volumes of an account."""

    def __init__(self) -> None:
        self._made: dict[int, Row] = {}

    def offers(self, rows: list[Row], body: dict[str, Any]) -> list[Row]:
        """Where one could be made."""
        host = body.get("machine_id", {}).get("eq")
        least = body.get("disk_space", {}).get("gte", 0)
        found = [
            {
                "id": row["id"] + _OFFSET,
                "machine_id": row["machine_id"],
                "disk_space": row["disk_space"],
                "storage_cost": row["storage_cost"],
            }
            for row in rows
            if row["disk_space"] >= least and host in (None, row["machine_id"])
        ]
        return sorted(found, key=lambda it: it["storage_cost"])[:64]

    def make(self, rows: list[Row], body: dict[str, Any]) -> dict[str, Any]:
        """Rent one."""
        row = next((it for it in rows if it["id"] + _OFFSET == body["id"]), None)
        if row is None:
            return {"status": 404, "success": False, "error": "no_such_ask", "msg": "it is gone"}
        number = 20_118_481 + len(self._made)
        self._made[number] = {
            "id": number,
            "label": body.get("name", ""),
            "status": "created",
            "machine_id": row["machine_id"],
            "disk_space": float(body["size"]),
            "storage_total_cost": body["size"] * row["storage_cost"] / HOURS_A_MONTH,
        }
        return {"success": True, "volume_name": f"V.{number}"}

    def listed(self, mounts: set[str]) -> list[Row]:
        """All there are, and whether machines have them."""
        return [
            {**row, "status": "in-use" if _is_used(number, mounts) else "created"}
            for number, row in self._made.items()
        ]

    def delete(self, number: int, mounts: set[str]) -> dict[str, Any]:
        """Have one go."""
        if number not in self._made:
            return {"status": 404, "success": False, "error": "no_such_volume", "msg": "no volume"}
        if _is_used(number, mounts):
            text = "volume is in use"
            return {"status": 400, "success": False, "error": "invalid_args", "msg": text}
        del self._made[number]
        return {"success": True}


def _is_used(number: int, mounts: set[str]) -> bool:
    return any(it.startswith(f"-v V.{number}:") for it in mounts)
