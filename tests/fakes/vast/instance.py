"""A machine of the fake: how it comes up and goes, what is told of it, and what it has cost."""

from __future__ import annotations

from typing import Any

from tests.fakes.running import Program
from tests.fakes.vast.market import Row, price_of

OFFLINE_S = 120.0
"""So long a host that is lost is told of; then not even that."""

BAD_IMAGE = "Error response from daemon: OCI runtime create failed: no such file: unknown\n"


class Instance:
    """One that was rented at `made_at`; times are Unix seconds."""

    def __init__(
        self, number: int, offer: Row, body: dict[str, Any], made_at: float, boot_s: float
    ) -> None:
        self.number, self.offer, self.body = number, offer, body
        self.label: str | None = body["label"]
        self.key = f"instance-key-of-{number}"
        self.made_at, self.ready_at, self.listed_at = made_at, made_at + boot_s, made_at
        self.fate, self.factor, self.is_bid = "runs", 1.0, False
        self.stopped_at: float | None = None
        self.wants_to_run = True
        self.lost_at: float | None = None
        self.silent_until = 0.0
        """Its host is not heard of until then, and runs on."""
        self.gone_at: float | None = None
        self.program: Program | None = None
        self.volume: int | None = (body.get("volume_info") or {}).get("volume_id")
        """The number of the one that it has."""

    def is_due(self, now: float) -> bool:
        """Whether its program is to be started."""
        ends = (self.stopped_at, self.lost_at, self.gone_at)
        runs = self.fate in ("runs", "exits", "vanishes") and not any(it is not None for it in ends)
        return runs and self.program is None and now >= self.ready_at

    def is_there(self, now: float) -> bool:
        """Whether it is told of."""
        lost = self.lost_at is not None and now >= self.lost_at + OFFLINE_S
        return self.gone_at is None and now >= self.listed_at and not lost

    def stop(self, now: float, *, by_vast: bool = False) -> None:
        """It does not run any more, and its disk goes on costing."""
        self.stopped_at = self.stopped_at or now
        self.wants_to_run = by_vast
        self._kill()

    def lose(self, now: float) -> None:
        """Its host is gone."""
        self.lost_at = self.lost_at or now
        self._kill()

    def end(self, now: float) -> None:
        """It was destroyed."""
        self.gone_at = self.gone_at or now
        self._kill()

    def _kill(self) -> None:
        if self.program is not None:
            self.program.kill()

    def usd_per_hour(self) -> float:
        """What it costs while it runs."""
        return sum(price_of(self.offer, self.body["disk"])) * self.factor

    def cost(self, now: float) -> float:
        """What it has cost: its GPUs while it ran, its disk from the beginning."""
        base, storage = (it * self.factor for it in price_of(self.offer, self.body["disk"]))
        end = min(it for it in (now, self.lost_at, self.gone_at) if it is not None)
        ran_until = min(end, end if self.stopped_at is None else self.stopped_at)
        ran_s = max(0.0, ran_until - self.ready_at) if self.fate != "hangs" else 0.0
        return (base * ran_s + storage * max(0.0, end - self.made_at)) / 3600

    def _status(self, now: float) -> tuple[str | None, str | None]:
        if self.lost_at is not None or now < self.silent_until:
            return "unknown" if self.lost_at is None else "offline", "success, running image\n"
        if self.stopped_at is not None:
            return ("stopped" if self.wants_to_run else "exited"), "success, running image\n"
        if self.fate == "fails" and now >= self.ready_at:
            return "created", BAD_IMAGE
        if now < self.ready_at or self.fate in ("hangs", "fails"):
            return self._early(now)
        is_over = self.program is not None and self.program.poll() is not None
        if is_over or self.fate == "exits":
            return "exited", "success, running image\n"
        return "running", "success, running image\n"

    def _early(self, now: float) -> tuple[str | None, str | None]:
        third = (self.ready_at - self.made_at) / 3
        if now < self.made_at + third:
            return None, None
        if now < self.made_at + 2 * third:
            return "created", "creating\n"
        return "loading", "Pulling fs layer\n"

    def row(self, now: float) -> Row:
        """What is told of it: also its variables, in clear."""
        actual, message = self._status(now)
        is_stopped = self.stopped_at is not None
        base, storage = (it * self.factor for it in price_of(self.offer, self.body["disk"]))
        names = ("gpu_name", "num_gpus", "gpu_ram", "machine_id", "host_id", "geolocation")
        return {
            **{name: self.offer[name] for name in names},
            "id": self.number,
            "label": self.label,
            "actual_status": actual,
            "intended_status": "running" if self.wants_to_run else "stopped",
            "cur_state": "stopped" if is_stopped else "running",
            "next_state": "stopped" if is_stopped else "running",
            "status_msg": message,
            "image_uuid": self.body["image"],
            "image_args": self.body["args"],
            "extra_env": [[key, value] for key, value in self.body["env"].items()],
            "public_ipaddr": "203.0.113.7\n",
            "ports": {} if actual == "running" else None,
            "start_date": self.made_at,
            "is_bid": self.is_bid,
            "dph_base": base,
            "storage_total_cost": storage,
            "dph_total": base + storage,
            "instance": {"totalHour": base + storage},
            "uptime_mins": None,
        }
