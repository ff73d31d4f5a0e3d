"""Machines as Fly's API has them: the body that asks for one, and what it says of one. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from math import ceil
from typing import Any, Final, NamedTuple

from apothic_backends.providers.base import BOOTING, FAILED, RUNNING, STOPPED, Order, Seen
from apothic_backends.providers.fly.sizes import KINDS, ROOT_GB, Guest, named, usd_per_hour
from apothic_backends.providers.reading import Nonsense, a_list, an_object, text

APPS: Final = "apothic-"
"""How the names of all apps begin that are made here."""

WORKERS: Final = f"{APPS}w-"
"""How those begin that have machines of agents."""

TAG: Final = "apothic_tag"
"""Where a machine's tag is in its metadata: names may not have its letters."""

DISK: Final = "apothic_disk_gb"

_STATES: Final = {
    **dict.fromkeys(("created", "creating", "starting"), BOOTING),
    **dict.fromkeys(("stopping", "stopped", "suspending", "suspended", "destroying"), STOPPED),
    **dict.fromkeys(("failed", "launch_failed"), FAILED),
}
"""Any other is one of a machine that runs, as far as is known."""

_GONE: Final = frozenset({"destroyed", "replaced", "migrated"})


class Machine(NamedTuple):
    """What is needed of a machine. `config` is None where its host does not answer."""

    id: str
    name: str
    state: str
    region: str
    instance_id: str
    host_status: str
    config: Mapping[str, Any] | None
    metadata: Mapping[str, str]
    events: tuple[Mapping[str, Any], ...]
    created_at: float | None

    @property
    def is_gone(self) -> bool:
        """Whether nothing of it is left."""
        return self.state in _GONE

    @property
    def tag(self) -> str | None:
        """What it was asked for by; "" if it is no machine of ours; None if that is not known."""
        if TAG in self.metadata or self.config is not None:
            return self.metadata.get(TAG, "")
        return None


def machine_of(told: Any) -> Machine:
    """Read a machine.

    Raises:
        Nonsense: it is none.
    """
    its = an_object(told, "a machine")
    config = None if its.get("config") is None else an_object(its["config"], "its config")
    known = config if config is not None else an_object(its.get("incomplete_config") or {})
    metadata = an_object(known.get("metadata") or {}, "its metadata")
    events = [an_object(one, "an event") for one in a_list(its.get("events"), "its events")]
    return Machine(
        text(its, "id"),
        text(its, "name", "-"),
        text(its, "state", "unknown"),
        text(its, "region", "-"),
        text(its, "instance_id", "-"),
        text(its, "host_status", "ok"),
        config,
        {key: str(value) for key, value in metadata.items()},
        tuple(events),
        _unix_s(its.get("created_at")),
    )


def machines_of(told: Any) -> list[Machine]:
    """Read a list of machines.

    Raises:
        Nonsense: it is none.
    """
    if told is None:
        raise Nonsense("it is null")
    return [machine_of(one) for one in a_list(told, "the machines")]


def _unix_s(told: Any) -> float | None:
    try:
        return datetime.fromisoformat(told).timestamp()
    except (TypeError, ValueError):
        return None


# --- machines of agents ---------------------------------------------------------------------------


def app_of(org: str, tag: str) -> str:
    """The app of the machines whose tags begin like this one, up to the last `/`.

    Names of apps are those of all of Fly's users together, so there is a digest in this one.
    """
    of = f"{org} {tag.rpartition('/')[0]}"
    return f"{WORKERS}{hashlib.sha256(of.encode()).hexdigest()[:16]}"


def id_of(app: str, machine: Machine) -> str:
    """What a machine is called where nothing else is known of it."""
    return f"{app}/{machine.id}"


def name_of(tag: str) -> str:
    """The name of the machine with that tag: it is one of a kind in its app, so no tag has two."""
    return f"w-{hashlib.sha256(tag.encode()).hexdigest()[:24]}"


def asked_for(order: Order) -> dict[str, Any]:
    """The body that asks for a machine: when its program ends, nothing is left of it."""
    guest, region = named(order.offer)
    config: dict[str, Any] = {
        "image": order.image,
        "guest": guest.told,
        "env": order.env,
        "init": {"exec": [*order.argv]},
        "restart": {"policy": "no"},
        "auto_destroy": True,
        "stop_config": {"signal": "SIGTERM", "timeout": "30s"},
        "metadata": {TAG: order.tag, DISK: f"{order.disk_gb:g}"},
    }
    if order.disk_gb > ROOT_GB:
        config["rootfs"] = {"persist": "never", "size_gb": ceil(order.disk_gb)}
    return {"name": name_of(order.tag), "region": region, "config": config}


def seen(app: str, machine: Machine, tag: str) -> Seen:
    """What is told of a machine of an app."""
    guest = _guest_of(machine)
    return Seen(
        provider_id=id_of(app, machine),
        tag=tag,
        state=_STATES.get(machine.state, RUNNING),
        detail=_detail_of(machine),
        usd_per_hour=usd_per_hour(guest, machine.region, _disk_of(machine)) if guest else 0.0,
        host=machine.region,
        created_at=machine.created_at,
    )


def _guest_of(machine: Machine) -> Guest | None:
    told = (machine.config or {}).get("guest")
    if not isinstance(told, dict):
        return None
    its: dict[str, Any] = told  # type: ignore[reportUnknownVariableType]  # JSON
    cpus, memory_mb = its.get("cpus"), its.get("memory_mb")
    is_known = isinstance(cpus, int) and isinstance(memory_mb, int) and its.get("cpu_kind") in KINDS
    return Guest(its["cpu_kind"], cpus, memory_mb) if is_known else None  # type: ignore[reportArgumentType]


def _disk_of(machine: Machine) -> float:
    try:
        return float(machine.metadata.get(DISK, "0"))
    except ValueError:
        return 0.0


def _detail_of(machine: Machine) -> str:
    """Why it does not run, as far as that is told."""
    found = [] if machine.host_status == "ok" else [f"its host is {machine.host_status}"]
    if machine.state in _STATES and _STATES[machine.state] != BOOTING:
        found.append(machine.state)
        found += _ends_of(machine)
    return ", ".join(found)


def _ends_of(machine: Machine) -> list[str]:
    """How its program has ended, by the newest event that tells."""
    for event in machine.events:
        request: Any = event.get("request") or {}
        if not isinstance(request, dict):
            continue
        its: dict[str, Any] = request  # type: ignore[reportUnknownVariableType]  # JSON
        beside: Any = its.get("MonitorEvent") or {}
        ended: Any = its.get("exit_event") or beside.get("exit_event")
        if isinstance(ended, dict):
            return _told_end(ended)  # type: ignore[reportUnknownArgumentType]
    return []


def _told_end(ended: Mapping[str, Any]) -> list[str]:
    if ended.get("oom_killed"):
        return ["out of memory"]
    return [f"exit code {ended.get('guest_exit_code', ended.get('exit_code'))}"]
