"""An app of the fake, with what it has besides machines."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

from tests.fakes.fly.machines import Machine


class App:
    """`unknown_for` is how many calls about it are answered as if it were not there."""

    def __init__(self, name: str, org: str, unknown_for: int) -> None:
        self.name, self.org, self.unknown_for = name, org, unknown_for
        self.machines: dict[str, Machine] = {}
        self.volumes: dict[str, dict[str, Any]] = {}
        self.secrets: dict[str, str] = {}
        self.secrets_version = 0
        self.addresses: list[dict[str, Any]] = []
        self.lines: list[tuple[str, str]] = []
        """The id of a machine, and what it has printed."""

    @property
    def there(self) -> list[Machine]:
        return [it for it in self.machines.values() if it.gone_at is None]

    def told(self) -> dict[str, Any]:
        return {
            "id": f"id-{self.name}",
            "name": self.name,
            "network": "default",
            "status": "deployed" if self.there else "pending",
            "organization": {"name": self.org.title(), "slug": self.org},
            "machine_count": len(self.there),
            "volume_count": len(self.volumes),
        }

    def add_volume(self, body: dict[str, Any]) -> dict[str, Any]:
        volume: dict[str, Any] = {
            "id": f"vol_{secrets.token_hex(8)}",
            "name": body["name"],
            "state": "created",
            "region": body["region"],
            "size_gb": body["size_gb"],
            "encrypted": True,
            "attached_machine_id": None,
            "host_status": "ok",
        }
        self.volumes[volume["id"]] = volume
        return volume

    def release_volumes(self, machine_id: str) -> None:
        for volume in self.volumes.values():
            if volume["attached_machine_id"] == machine_id:
                volume["attached_machine_id"] = None

    @property
    def has_own_ipv4(self) -> bool:
        return any("." in it["ip"] and not it["shared"] for it in self.addresses)

    def leads_to(self, handlers: Sequence[str]) -> bool:
        """Whether somebody finds a port with such handlers: an address that is shared knows by the
        name in TLS, or in HTTP, for whom it is asked.
        """
        return self.has_own_ipv4 or bool(self.addresses and {"tls", "http"} & {*handlers})

    def add_address(self, kind: str) -> dict[str, Any]:
        number = len(self.addresses) + 10
        ip = f"2a09:8280:1::{number}" if kind.endswith("v6") else f"66.241.125.{number}"
        told = {"ip": ip, "region": "global", "shared": kind == "shared_v4"}
        self.addresses.append(told)
        return told
