"""What the fake has, and the rules by which it changes; each call is made under its lock."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from typing import Any

from tests.fakes.fly.apps import App
from tests.fakes.fly.machines import Machine, Starts


class Failed(Exception):
    """An error as Fly tells it; `status` is the word that some have."""

    def __init__(self, code: int, text: str, status: str = "") -> None:
        super().__init__(text)
        self.code = code
        self.told = {"error": text, **({"status": status} if status else {})}


class State:
    """Everything that there is. Knobs are for tests to turn at any time."""

    def __init__(self, org: str, now: Callable[[], float], starts: Starts) -> None:
        self.org, self.now, self._starts = org, now, starts
        self.apps: dict[str, App] = {}
        self.gone: list[Machine] = []
        self.start_s = 0.0
        """How long machines take to start."""
        self.app_unknown_for = 0
        """How many calls about a new app are answered as if it were not there."""
        self.image_unknown_for = 0
        self.secrets_unknown_for = 0
        self.foreign: set[str] = set()
        """Apps that others have."""
        self.full_regions: set[str] = set()
        self.full_hosts: set[str] = set()
        """Regions where machines that are there cannot be changed."""
        self.dark_regions: list[str] = []
        self.quota_mb: dict[str, int] = {}
        """How much memory may be had, by region."""

    def tick(self) -> None:
        """What has become of everything since the last call."""
        for app in self.apps.values():
            for machine in app.there:
                machine.tick(self.now(), self._starts)
                if machine.gone_at is not None:
                    self._forget(app, machine)

    @property
    def machines(self) -> list[Machine]:
        return [machine for app in self.apps.values() for machine in app.there]

    # --- apps ------------------------------------------------------------------------------------

    def create_app(self, name: str, org: str) -> None:
        if org != self.org:
            raise Failed(404, "organization not found")
        if name in self.apps or name in self.foreign:
            raise Failed(422, "Name has already been taken", "name_taken")
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,61}[a-z0-9]", name):
            raise Failed(422, "Name may only contain lowercase letters, numbers and dashes")
        self.apps[name] = App(name, org, self.app_unknown_for)

    def app(self, name: str) -> App:
        if name in self.foreign:
            raise Failed(403, "not authorized to access this app")
        app = self.apps.get(name)
        if app is None:
            raise Failed(404, f'Could not find App "{name}"')
        if app.unknown_for > 0:
            app.unknown_for -= 1
            raise Failed(404, f'Could not find App "{name}"')
        return app

    # --- machines --------------------------------------------------------------------------------

    def machine(self, app: App, machine_id: str) -> Machine:
        machine = app.machines.get(machine_id)
        if machine is None or machine.gone_at is not None:
            raise Failed(404, "machine not found")
        return machine

    def placed(self, asked: str, config: dict[str, Any]) -> str:
        """The first of the regions that has room."""
        regions = (it for it in asked.split(",") if it and it not in self.full_regions)
        region = next(regions, None)
        if region is None:
            raise Failed(
                422,
                "insufficient resources available to fulfill request: could not reserve resource "
                "for machine: insufficient memory available",
                "insufficient_capacity",
            )
        used = sum(it.guest["memory_mb"] for it in self.machines if it.region == region)
        most = self.quota_mb.get(region)
        if most is not None and used + config["guest"]["memory_mb"] > most:
            raise Failed(
                403,
                f'organization "{self.org}" is using {used} MB of memory in {region} which is over '
                "the allowed quota. please consider other regions",
            )
        return region

    def check_image(self, image: str) -> None:
        if self.image_unknown_for > 0:
            self.image_unknown_for -= 1
            raise Failed(400, f"failed to get manifest {image}: MANIFEST_UNKNOWN")

    def check_secrets(self, app: App, body: dict[str, Any]) -> None:
        wanted = body.get("min_secrets_version", 0)
        is_late = bool(wanted) and self.secrets_unknown_for > 0
        self.secrets_unknown_for -= is_late
        if is_late or wanted > app.secrets_version:
            raise Failed(412, "min_secrets_version is not there yet")

    def claim(self, app: App, machine: Machine) -> None:
        """The volume that it wants is its own now."""
        for mount in machine.config.get("mounts", []):
            volume = app.volumes.get(mount["volume"])
            if volume is None:
                raise Failed(404, "volume not found")
            if volume["region"] != machine.region:
                raise Failed(400, f"volume is in {volume['region']}, not in {machine.region}")
            if volume["attached_machine_id"]:
                held = volume["attached_machine_id"]
                raise Failed(412, f"volume already claimed by machine {held}")
            volume["attached_machine_id"] = machine.id

    def destroy(self, app: App, machine: Machine) -> None:
        machine.destroy(self.now())
        self._forget(app, machine)

    def _forget(self, app: App, machine: Machine) -> None:
        app.release_volumes(machine.id)
        del app.machines[machine.id]
        self.gone.append(machine)

    # --- leases ----------------------------------------------------------------------------------

    def lease(self, machine: Machine, ttl_s: int) -> str:
        machine.nonce = machine.nonce or secrets.token_hex(8)
        machine.leased_until = self.now() + ttl_s
        return machine.nonce

    def check_lease(self, machine: Machine, nonce: str, *, is_release: bool = False) -> None:
        is_held = bool(machine.nonce) and machine.leased_until > self.now()
        if not is_held:
            machine.nonce = ""
        if nonce and nonce != machine.nonce:
            raise Failed(404, "lease not found")
        if is_held and not nonce:
            raise Failed(
                409,
                f"aborted: machine ID {machine.id} lease currently held by us@tokens.fly.io, "
                f"expires at {machine.leased_until:.0f}",
            )
        if is_release and not is_held:
            raise Failed(404, "lease not found")
