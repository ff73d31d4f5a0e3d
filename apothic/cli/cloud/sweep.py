"""What `apothic cloud sweep` does: it needs the providers' keys, and nothing else."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from typing import Any, NamedTuple

import click

from apothic.cli import output
from apothic.cli.cloud.providers import fly, names_here, opened
from apothic.cli.command import say
from apothic.cli.wishes import Wishes
from apothic_backends.model.errors import BackendError, UsageError
from apothic_backends.placement.offers import HOURS_A_MONTH
from apothic_backends.providers.base import Provider, Seen, label_of
from apothic_backends.providers.fly.app import FlyApp
from apothic_backends.providers.fly.machines import APPS, WORKERS
from apothic_backends.providers.opening import PROVIDERS, way_in

SCHEMA = "apothic.sweep.v1"

_FIRST_PAUSE_S, _MOST_PAUSE_S = 1.0, 15.0

_ENOUGH = 2
"""Listings that do not show it, one after the other, until a machine is gone: one may be old."""


class LeftOver(BackendError):
    """Machines are there still, and cost; `data["machines"]` names them."""

    code = "machines_left"


class Found(NamedTuple):
    """A machine or a volume, and who has it."""

    provider: str
    seen: Seen
    is_volume: bool = False

    @property
    def key(self) -> tuple[str, str, bool]:
        """What no other has."""
        return self.provider, self.seen.provider_id, self.is_volume

    @property
    def name(self) -> str:
        """How it is told of."""
        kind = "volume " if self.is_volume else ""
        return f"{self.provider} {kind}{self.seen.provider_id} ({self.seen.tag})"


def sweep(
    asked: Wishes,
    *,
    provider: str | None,
    prefix: str,
    dry_run: bool,
    yes: bool,
    keep_volumes: bool,
    timeout_s: float,
) -> None:
    """Show what is there; destroy it; see that it is gone.

    Raises:
        LeftOver: something is there still, or a provider cannot be asked.
    """
    with ExitStack() as open_ones:
        names = names_here(provider)
        providers = {name: open_ones.enter_context(closing(opened(name))) for name in names}
        found, unasked = look(asked, providers, prefix)
        found, kept = _without(found) if keep_volumes else (found, [])
        _show(asked, found)
        _tell_kept(asked, [] if found and not dry_run else kept)
        if found and not dry_run:
            question = f"Destroy {_count(found)}?"
            confirm(question, yes=yes, way_out="say --yes, or --dry-run to look")
            found, unasked = remove(asked, providers, prefix, found, timeout_s, spares=keep_volumes)
        planes, is_told = _control_planes(asked) if "fly" in names else ({}, True)
        unasked += [] if is_told or "fly" in unasked else ["fly"]
    for name, left in planes.items():
        told = f"left alone: the control plane {name} on Fly ({', '.join(left)})"
        say(asked, f"{told}. To destroy it: apothic cloud down --app {name}")
    for name in PROVIDERS if provider is None else ():
        if name not in names:
            say(asked, f"{name} was not asked: {way_in(name)} would have to be set")
    report(asked, found, unasked, planes, is_done=not dry_run)


def _control_planes(asked: Wishes) -> tuple[dict[str, list[str]], bool]:
    """What is left of those: it costs, too, and nobody has said that it should go.

    And whether those are all.
    """
    found: dict[str, list[str]] = {}
    try:
        with fly() as api:
            for name in api.apps():
                if name.startswith(APPS) and not name.startswith(WORKERS):
                    found[name] = FlyApp(api, name).left()
    except BackendError as error:
        say(asked, f"fly: {error.message}")
        return found, False
    return {name: left for name, left in found.items() if left}, True


def look(
    asked: Wishes, providers: Mapping[str, Provider], prefix: str
) -> tuple[list[Found], list[str]]:
    """The machines and volumes whose tags begin so; the providers that did not tell of all."""
    found: list[Found] = []
    unasked: dict[str, None] = {}
    for name, provider in providers.items():
        for of_kind in (_machines, _volumes):  # a key may be for machines alone
            try:
                its, is_whole = of_kind(name, provider, prefix)
            except BackendError as error:
                say(asked, f"{name}: {error.message}")
                unasked[name] = None
                continue
            found += its
            if not is_whole:
                unasked[name] = None
    return found, [*unasked]


def _machines(name: str, provider: Provider, prefix: str) -> tuple[list[Found], bool]:
    listing = provider.list(prefix)
    return [Found(name, seen) for seen in listing.machines], listing.whole


def _volumes(name: str, provider: Provider, prefix: str) -> tuple[list[Found], bool]:
    if provider.volumes is None:
        return [], True
    listing = provider.volumes.list(label_of(prefix))
    found: list[Found] = []
    for it in listing.volumes:
        state = f"volume, {it.size_gb:g} GB"
        seen = Seen(it.provider_id, it.label, state, "", it.usd_per_hour, it.host)
        found.append(Found(name, seen, is_volume=True))
    return found, listing.whole


def _without(found: list[Found]) -> tuple[list[Found], list[Found]]:
    """Machines; and volumes."""
    return [it for it in found if not it.is_volume], [it for it in found if it.is_volume]


def _tell_kept(asked: Wishes, kept: list[Found]) -> None:
    """Say which volumes stay, and what they cost."""
    for it in kept:
        usd = it.seen.usd_per_hour * HOURS_A_MONTH
        say(asked, f"{it.name} stays, with what is in it, and costs about {usd:.2f} USD a month")


def remove(
    asked: Wishes,
    providers: Mapping[str, Provider],
    prefix: str,
    agreed: list[Found] | None,
    timeout_s: float,
    *,
    spares: bool = False,
) -> tuple[list[Found], list[str]]:
    """Destroy machines, and then volumes, until two listings show none, or the time is over.

    Gives what is left, as `look` does. Only what was `agreed` on is destroyed, if anything was:
    what appears meanwhile is left, since nobody has been asked about it. With `spares`, volumes
    stay.
    """
    meant = None if agreed is None else {it.key for it in agreed}
    left, kept, unasked, misses = agreed or [], list[Found](), list[str](), 0
    for _ in rounds(timeout_s):
        have_machines = {it.provider for it in left if not it.is_volume}
        for it in left:
            is_free = not (it.is_volume and it.provider in have_machines)
            if is_free and (meant is None or it.key in meant):
                _destroy(asked, providers[it.provider], it)
        left, unasked = look(asked, providers, prefix)
        left, kept = _without(left) if spares else (left, [])
        is_there = any(meant is None or it.key in meant for it in left)
        misses = 0 if is_there or unasked else misses + 1
        if misses == _ENOUGH:
            break
    _tell_kept(asked, kept)
    return left, unasked


def _destroy(asked: Wishes, provider: Provider, it: Found) -> None:
    try:
        if not it.is_volume:
            provider.destroy(it.seen.provider_id)
        elif provider.volumes is not None:
            provider.volumes.delete(it.seen.provider_id)
    except BackendError as error:
        say(asked, f"{it.name}: {error.message}")


def rounds(timeout_s: float) -> Iterator[None]:
    """One at once, and then one after each pause, until the time is over."""
    pause_s, until = _FIRST_PAUSE_S, time.monotonic() + timeout_s
    yield
    while (left_s := until - time.monotonic()) > 0:
        threading.Event().wait(min(pause_s, left_s))
        pause_s = min(_MOST_PAUSE_S, 2 * pause_s)
        yield


def confirm(question: str, *, yes: bool, way_out: str) -> None:
    """Have a person say yes; `way_out` is what to do where there is none.

    Raises:
        UsageError: there is none.
        Abort: they said no.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(f"{question} Nobody can be asked here: {way_out}")
    click.confirm(question, abort=True, err=True)


# --- output -------------------------------------------------------------------------------------


def report(
    asked: Wishes,
    found: list[Found],
    unasked: list[str],
    control_planes: Mapping[str, list[str]],
    *,
    is_done: bool,
) -> None:
    """Say what is there at the end.

    Raises:
        LeftOver: something is, that was to be gone; or that is not known.
    """
    if asked.is_json():
        machines, volumes = ([_told(it) for it in those] for those in _without(found))
        told = {"machines": machines, "volumes": volumes, "unasked": unasked}
        output.put(output.line_of({"schema": SCHEMA, **told, "control_planes": control_planes}))
    if is_done and found:
        raise LeftOver(
            f"{_count(found)} not removed: {', '.join(it.name for it in found)}. Try again, or "
            "destroy what is left on the provider's own page",
            machines=[it.seen.provider_id for it in found],
        )
    if unasked:
        raise LeftOver(
            f"not all machines of {', '.join(unasked)} could be listed: others may be there",
            machines=[],
        )
    if is_done or not found:
        say(asked, "no machine is left, and no volume that was to go")


def _count(found: list[Found]) -> str:
    cost = sum(it.seen.usd_per_hour for it in found)
    counts = dict(zip(("machine", "volume"), map(len, _without(found)), strict=True))
    kinds = [f"{count} {kind}{'s' * (count > 1)}" for kind, count in counts.items() if count]
    data = ", with all that is in volumes" if counts["volume"] else ""
    return f"{' and '.join(kinds)} ({cost:.4f} USD an hour){data}"


def _show(asked: Wishes, found: list[Found]) -> None:
    if asked.is_json() or not found:
        return
    rows = [("PROVIDER", "MACHINE", "STATE", "USD/HOUR", "SINCE", "TAG")]
    for name, it, _ in found:
        price = f"{it.usd_per_hour:.4f}"
        rows.append((name, it.provider_id, it.state, price, _moment(it.created_at), it.tag))
    for line in output.columns(rows):
        output.put(line)


def _moment(at: float | None) -> str:
    return "" if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _told(it: Found) -> dict[str, Any]:
    return {
        "provider": it.provider,
        **{field: getattr(it.seen, field) for field in it.seen.fields},
    }
