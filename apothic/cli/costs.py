"""What `apothic cost` does."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any

from apothic.cli import output
from apothic.cli.plane import OWN, control_plane
from apothic.cli.wishes import Wishes
from apothic_backends.base import Backend
from apothic_backends.commands.costs import GetCosts
from apothic_backends.commands.machines import GetCloud
from apothic_backends.model.costs import NANO, CostLine, CostReport, Prices
from apothic_backends.model.errors import BackendError, InvalidOption, NoControlPlane
from apothic_backends.model.machines import CloudSnapshot
from apothic_backends.prices import project_prices
from apothic_backends.project import project, state_url
from apothic_backends.registry import shared

SCHEMA = "apothic.cost.v1"

EARLIER = "(earlier)"
"""The name of what is not kept by function any more."""


def show(asked: Wishes, *, app: str | None, function: str | None, since: str | None) -> None:
    """Print what calls and services have cost."""
    day = None if since is None else _day(since, datetime.now(UTC))
    report, rented = _report(GetCosts(app, function, day))
    prices = None if report.has_prices else project_prices(project())
    report = report.estimated(prices)
    if asked.is_json():
        output.put(output.line_of(_document(report, prices, rented)))
        return
    for line in output.columns(_table(report, prices)):
        output.put(line)
    output.put(summary(report, prices, rented))


def _report(command: GetCosts) -> tuple[CostReport, CloudSnapshot | None]:
    """What the control plane that is named says; else what this project keeps, else a shared one.

    And what it has rented, if ever.

    Raises:
        NoControlPlane: there is none of these.
    """
    named = os.environ.get("APOTHIC_BACKEND", "")
    root = project()
    url = state_url(root)
    if named not in OWN or (url == "memory" and not named and shared() is not None):
        plane = control_plane("costs")
        return plane.start(command).wait(), _rented(plane)
    if url == "memory":
        raise NoControlPlane(
            "what calls here have cost is forgotten with the program that made them: ask there, "
            "with apothic.cost(), or keep it with APOTHIC_STATE=sqlite; or name a control plane "
            "with APOTHIC_BACKEND",
            asked_for="costs",
        )
    # Opening the control plane itself would have what is queued begin.
    kept: CostReport = import_module("apothic_emulator.host.costs").kept(root, url, command)
    return kept, None


def _rented(plane: Backend) -> CloudSnapshot | None:
    """What it has rented; None if it never has, or if that is not told to this key."""
    try:
        found = plane.start(GetCloud()).wait()
    except BackendError:
        return None
    return found if found.since else None


def _day(text: str, now: datetime) -> float:
    """A day as the Unix time of its beginning."""
    try:
        if text.endswith("d"):
            return (now - timedelta(days=int(text[:-1]))).timestamp()
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).timestamp()
    except (ValueError, OverflowError):
        raise InvalidOption(
            f"--since {text!r}: write a day as 2026-11-01, or how many days ago as 7d",
            option="since",
        ) from None


# --- output -------------------------------------------------------------------------------------


def _document(
    report: CostReport, prices: Prices | None, rented: CloudSnapshot | None
) -> dict[str, Any]:
    lines: list[dict[str, Any]] = []
    for line in report.lines:
        told: dict[str, Any] = {field: getattr(line, field) for field in line.fields}
        told["estimate_nano_usd"] = prices and line.estimate_nano_usd(prices)
        lines.append(told)
    return {
        "schema": SCHEMA,
        "has_prices": report.has_prices,
        "balance_nano_usd": report.balance_nano_usd,
        "nano_usd": report.nano_usd,
        "estimate_nano_usd": report.estimate_nano_usd,
        "rented_usd": 0.0 if rented is None else rented.spent_usd,
        "lines": lines,
    }


def _table(report: CostReport, prices: Prices | None) -> list[tuple[str, ...]]:
    by_name: dict[tuple[str, str, str], list[CostLine]] = {}
    for line in report.lines:
        by_name.setdefault((line.app_name, line.function_name, line.kind), []).append(line)
    usd = "USD" if report.has_prices else "ABOUT USD"
    rows = [("APP", "FUNCTION", "KIND", "ATTEMPTS", "SECONDS", usd)]
    for (app, function, kind), lines in sorted(by_name.items()):
        part = report.replace(lines=tuple(lines)).estimated(prices)
        nano = part.nano_usd if report.has_prices else part.estimate_nano_usd
        rows.append(
            (app or EARLIER, function, kind, str(part.attempts), f"{part.seconds:.3f}", _usd(nano))
        )
    if prices is None and not report.has_prices:
        rows = [row[:-1] for row in rows]
    return rows


def _usd(nano: int | None) -> str:
    return "" if nano is None else f"{nano / NANO:.6f}"


def summary(report: CostReport, prices: Prices | None, rented: CloudSnapshot | None) -> str:
    """What all of it costs, in a line; `rented` is what has cost money, if anything has."""
    took = f"{report.seconds:.3f} s in {report.attempts} attempts"
    if rented is not None:
        day = datetime.fromtimestamp(rented.since, UTC)
        took += (
            f", all else that was rented included: about {rented.spent_usd:.4f} USD since "
            f"{day:%Y-%m-%d}, and {rented.usd_per_hour:.4f} USD an hour now; `apothic cloud status`"
        )
        if not report.has_prices:
            return took
    if report.has_prices:
        left = report.balance_nano_usd
        balance = "no limit" if left is None else f"{_usd(left)} USD left"
        return f"{took}: {_usd(report.nano_usd)} USD; {balance}"
    if prices is None:
        return f"{took}: free; no prices are set, so what it would cost elsewhere is not known"
    about = _usd(report.estimate_nano_usd)
    return f"{took}: free; at the prices of this project it would cost about {about} USD"
