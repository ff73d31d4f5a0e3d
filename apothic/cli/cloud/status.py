"""What `apothic cloud` does with a control plane."""

from __future__ import annotations

import os
import time
from typing import Any

from apothic.cli import output
from apothic.cli.command import say
from apothic.cli.plane import control_plane
from apothic.cli.wishes import Wishes
from apothic_backends.base import Backend
from apothic_backends.commands.machines import GetCloud
from apothic_backends.connection import connect
from apothic_backends.model.machines import DESTROYING, CloudSnapshot
from apothic_backends.placement.offers import HOURS_A_MONTH
from apothic_backends.remote.profiles import CLOUD, Profiles

LATE_S = 600.0
"""For how long a machine may be there after it was to go until that is said."""

SCHEMA = "apothic.cloud.v1"


def status(asked: Wishes) -> None:
    """Print what is rented."""
    found = plane().start(GetCloud()).wait()
    if asked.is_json():
        output.put(output.line_of({"schema": SCHEMA, **document(found)}))
        return
    for line in output.columns(_table(found, time.time())):
        output.put(line)
    for line in (*volumes(found), *notes(found, time.time())):
        output.put(line)
    say(asked, summary(found))


def plane() -> Backend:
    """The control plane that `apothic cloud up` has made, unless the environment names another.

    Raises:
        NoControlPlane: there is none.
    """
    if not os.environ.get("APOTHIC_BACKEND") and CLOUD in Profiles().list():
        return connect(CLOUD)
    return control_plane("machines")


def document(found: CloudSnapshot) -> dict[str, Any]:
    """All of it for programs."""
    told: dict[str, Any] = {field: getattr(found, field) for field in found.fields}
    told["providers"] = [{f: getattr(it, f) for f in it.fields} for it in found.providers]
    told["machines"] = [{f: getattr(it, f) for f in it.fields} for it in found.machines]
    told["volumes"] = [{f: getattr(it, f) for f in it.fields} for it in found.volumes]
    return told


def volumes(found: CloudSnapshot) -> list[str]:
    """Volumes that are rented, and what they cost."""
    return [
        f"volume {it.name}: {it.size_gb} GB on {it.provider}'s machine {it.host}, {it.status}, "
        f"about {it.usd_per_hour * HOURS_A_MONTH:.2f} USD a month "
        f"until `apothic volume rm -r {it.name}`"
        f"{'; ' + it.note if it.note else ''}"
        for it in found.volumes
    ]


def _table(found: CloudSnapshot, now: float) -> list[tuple[str, ...]]:
    rows = [("MACHINE", "PROVIDER", "STATUS", "FOR", "GPU", "EXECUTORS", "USD/HOUR", "FUNCTION")]
    for it in found.machines:
        gpu = f"{it.gpu_count} x {it.gpu}" if it.gpu_count else "none"
        since = f"{max(0.0, now - it.since):.0f} s"
        price = f"{it.usd_per_hour:.4f}"
        rows.append(
            (
                *(it.machine_id, it.provider, it.status, since, gpu),
                *(str(it.executors), price, it.function),
            )
        )
    return rows


def notes(found: CloudSnapshot, now: float) -> list[str]:
    """What stands in the way, and what is wrong."""
    late = [it for it in found.machines if it.status == DESTROYING and now - it.since >= LATE_S]
    return [
        *(
            f"{it.machine_id}: it should have been gone for {(now - it.since) / 60:.0f} min, and "
            f"may cost still: destroy {it.provider_id or it.tag} on the page of {it.provider}"
            for it in late
        ),
        *(f"{it.name}: blocked: {it.blocked}" for it in found.providers if it.blocked),
        *(f"{it.name}: {it.note}" for it in found.providers if it.note),
        *(f"{it.machine_id}: {it.note}" for it in found.machines if it.note),
        *([found.note] if found.note else []),
        *(f"{name} waits: {why}" for name, why in found.waiting.items()),
    ]


def summary(found: CloudSnapshot) -> str:
    """What it costs, in a line."""
    paused = "; nothing new is rented until `apothic cloud up`" if found.is_paused else ""
    return (
        f"{found.usd_per_hour:.4f} of at most {found.max_usd_per_hour:.4f} USD an hour; "
        f"about {found.spent_usd:.2f} USD in all{paused}"
    )
