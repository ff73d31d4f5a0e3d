"""A machine of the fake: how it starts and ends, what is told of it, and what it has cost."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.fakes.running import Program, start

PRICES = {"shared": (0.00000075, 256), "performance": (0.00001196, 2048)}
"""$ for a second of one CPU with its least memory, and how much that is, MB; the region is iad."""

USD_PER_S_A_GB = 0.00000193
FACTORS = {
    "iad": 1.0,
    "ewr": 1.0,
    "ams": 1.04,
    "arn": 1.04,
    "bom": 1.08,
    "yyz": 1.115,
    "lhr": 1.135,
    "sjc": 1.2,
    "syd": 1.27,
}

Starts = Callable[["Machine"], Program | None]


def usd_per_s(guest: Mapping[str, Any], region: str) -> float:
    cpu, least_mb = PRICES[guest["cpu_kind"]]
    more_gb = guest["memory_mb"] / 1024 - guest["cpus"] * least_mb / 1024
    return (cpu * guest["cpus"] + USD_PER_S_A_GB * more_gb) * FACTORS.get(region, 1.3)


class Machine:
    """One that was made at `now` and starts at `due`; None if it never does."""

    def __init__(self, app: str, body: Mapping[str, Any], region: str, now: float) -> None:
        self.id = secrets.token_hex(7)
        self.app, self.name = app, body.get("name") or f"name-{self.id}"
        self.region, self.made_at = region, now
        self.state, self.host_status = "created", "ok"
        self.config: dict[str, Any] = {**body["config"]}
        self.instance_id = ""
        self.due: float | None = None
        self.nonce, self.leased_until = "", 0.0
        self.events: list[dict[str, Any]] = []
        self.program: Program | None = None
        self.usd, self._counted_at = 0.0, now
        self.gone_at: float | None = None
        self.restarts = 0
        self.has_started = False
        """Ever, as this or as something else."""
        self.is_dark = False
        """Whether not even its marks are told while its host is silent."""
        self.fate = ""
        self.asked_again(now)

    def asked_again(self, now: float) -> None:
        """It was made, or is something else now."""
        self.instance_id = f"01{secrets.token_hex(12).upper()}"
        self.note("update" if self.events else "launch", self.state, now)

    @property
    def guest(self) -> dict[str, Any]:
        return self.config.get("guest") or {"cpu_kind": "shared", "cpus": 1, "memory_mb": 256}

    @property
    def is_billed(self) -> bool:
        return self.state in ("starting", "started", "stopping", "destroying")

    def count(self, now: float) -> None:
        """What it costs is counted up to now."""
        if self.is_billed:
            self.usd += usd_per_s(self.guest, self.region) * (now - self._counted_at)
        self._counted_at = now

    def change(self, state: str, now: float, event: str, **request: Any) -> None:
        self.count(now)
        self.state = state
        self.note(event, state, now, **request)

    def note(self, kind: str, status: str, now: float, **request: Any) -> None:
        event = {"id": secrets.token_hex(6), "type": kind, "status": status, "source": "flyd"}
        event |= {"timestamp": int(now * 1000), "request": request}
        self.events.insert(0, event)

    # --- life ------------------------------------------------------------------------------------

    def tick(self, now: float, starts: Starts) -> None:
        """What has become of it since."""
        self.count(now)
        if self.state == "created" and self.due is not None and now >= self.due:
            self._launch(now, starts)
        if self.state == "started" and self.program is not None:
            code = self.program.poll()
            if code is not None:
                self._ended(code, now, starts)

    def _launch(self, now: float, starts: Starts) -> None:
        if self.fate == "fails":
            self.change("failed", now, "start")
            return
        try:
            self.program = starts(self)
        except OSError as error:
            self.change("failed", now, "start", error=str(error))
            return
        self.change("started", now, "start")
        self.has_started = True
        if self.fate == "vanishes":
            self.host_status = "unreachable"

    def _ended(self, code: int, now: float, starts: Starts) -> None:
        code = code if code >= 0 else 128 - code
        ended = {"exit_code": code, "guest_exit_code": code, "oom_killed": False}
        ended["requested_stop"] = False
        where = {"exit_event": ended} if code % 2 else {"MonitorEvent": {"exit_event": ended}}
        self.change("stopped", now, "exit", **where)  # it is told in two places
        policy = self.config.get("restart", {"policy": "on-failure"}).get("policy")
        if (policy == "always" or (policy == "on-failure" and code)) and self.restarts < 10:
            self.restarts += 1
            if self.program is not None:
                self.program.kill()  # and what it has left
            self.program = starts(self)
            self.change("started", now, "restart")
        elif self.config.get("auto_destroy"):
            self.destroy(now)

    def stop(self, now: float) -> None:
        if self.program is not None:
            self.program.kill()
        self.program = None
        self.change("stopped", now, "stop")

    def destroy(self, now: float) -> None:
        """Nothing is left of it."""
        if self.program is not None:
            self.program.kill()
        self.change("destroyed", now, "destroy")
        self.gone_at = now

    # --- what is told ----------------------------------------------------------------------------

    def told(self, *, summary: bool = False) -> dict[str, Any]:
        when = datetime.fromtimestamp(self.made_at, UTC).isoformat().replace("+00:00", "Z")
        told: dict[str, Any] = {
            "id": self.id,
            "name": self.name,
            "state": self.state,
            "region": self.region,
            "instance_id": self.instance_id,
            "version": self.instance_id,
            "host_status": self.host_status,
            "created_at": when,
            "updated_at": when,
            "private_ip": f"fdaa:0:1:a7b:{self.id[:4]}:{self.id[4:8]}:{self.id[8:12]}:2",
            "checks": [],
        }
        if summary:
            return told
        told["events"] = self.events[:20]
        if self.host_status == "ok":
            told["config"] = self.config
        elif not self.is_dark:
            told["incomplete_config"] = {"metadata": self.config.get("metadata", {})}
        return told


def program_of(
    machine: Machine, secrets_of_app: Mapping[str, str], folder: Path, words: Mapping[str, str]
) -> Program | None:
    """Start what a machine runs; nothing where that is its image's own program.

    Arguments that are one of `words` become another, and variables that are where a volume is
    mounted a folder of that volume's own.
    """
    init = machine.config.get("init", {})
    argv = init.get("exec") or [*init.get("entrypoint", []), *init.get("cmd", [])]
    if not argv:
        return None
    disks = {it["path"]: folder / it["volume"] for it in machine.config.get("mounts", [])}
    for disk in disks.values():
        disk.mkdir(parents=True, exist_ok=True)
    asked = machine.config.get("env", {})
    env = {**secrets_of_app, **{key: str(disks.get(it, it)) for key, it in asked.items()}}
    env |= {"FLY_APP_NAME": machine.app, "FLY_MACHINE_ID": machine.id, "FLY_REGION": machine.region}
    env["FLY_MACHINE_VERSION"] = machine.instance_id
    is_let = not machine.config.get("services")  # it serves nobody, and so is one of those
    return start([words.get(word, word) for word in argv], env, folder / machine.id, is_let=is_let)
