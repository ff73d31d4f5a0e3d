"""What `apothic plan` does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from apothic.classes import Cls
from apothic.cli import output
from apothic.cli.command import say
from apothic.cli.found import functions_of
from apothic.cli.wishes import Wishes
from apothic.functions import Declared
from apothic.options import placed
from apothic_backends import catalogue
from apothic_backends.model.errors import ApothicError
from apothic_backends.model.functions import Condition, FunctionSpec
from apothic_backends.model.record import Record
from apothic_backends.placement.compiling import conditions_of
from apothic_backends.placement.models import is_known
from apothic_backends.placement.offers import Choice, Offer, choose
from apothic_backends.placement.own import waived

SCHEMA = "apothic.plan.v1"

_MOST_NAMED = 3
_SECONDS_AN_HOUR = 3600


class Here(Record):
    """This machine: its GPUs or why it has none, and what becomes of who misses some."""

    gpus: tuple[Any, ...]
    reason: str
    on_missing_gpu: str


class Planned(Record):
    """Where one function would run."""

    name: str
    kind: str
    spec: FunctionSpec
    here: str
    does_run_here: bool
    waived: tuple[Condition, ...]
    choice: Choice
    keep_warm_s: float | None

    @property
    def best(self) -> Offer | None:
        """What would be rented."""
        return next(iter(self.choice.candidates), None)

    @property
    def usd_per_hour(self) -> float | None:
        """What one process costs."""
        return self.best and self.best.usd_per_hour

    @property
    def idle_usd(self) -> float | None:
        """What a process costs that nobody asks for anything any more, until it ends."""
        if self.keep_warm_s is None or self.usd_per_hour is None:
            return None
        return self.usd_per_hour * self.keep_warm_s / _SECONDS_AN_HOUR

    @property
    def nearest(self) -> Offer | None:
        """Where nothing will do: what lacks least."""
        if self.best is not None:
            return None
        return min(self.choice.offers, key=lambda it: len(self.choice.why_not(it)), default=None)


Market = Callable[[FunctionSpec], Sequence[Offer]]
"""What could be had for a function."""


def show(asked: Wishes, *, target: str, market: str) -> None:
    """Print where each function would run."""
    functions = functions_of(target)
    here = _look()
    is_asked = market == "cloud"
    offers = _asked_market(asked) if is_asked else _listed
    found = [_planned(name, handle, here, offers) for name, handle in functions.items()]
    if asked.is_json():
        as_of = None if is_asked else catalogue.as_of()
        output.put(output.line_of(_document(found, here, as_of)))
        return
    for line in output.columns(_table(found)):
        output.put(line)
    for one in found:
        for line in _notes(one):
            output.put(f"{one.name}: {line}")
    told = f"prices are estimates of {catalogue.as_of()}; nobody was asked, nothing is rented"
    say(asked, "prices are those of now; nothing is rented" if is_asked else told)


def _listed(spec: FunctionSpec) -> Sequence[Offer]:
    return catalogue.offers(spec.disk_gb)


def _asked_market(asked: Wishes) -> Market:
    """What providers offer now, each asked once for each function."""
    from apothic.cli.cloud.offers import offers_of  # few ask  # noqa: PLC0415
    from apothic.cli.cloud.providers import names_here  # noqa: PLC0415 - as above

    names = names_here()
    return lambda spec: [offer for _, offer in offers_of(asked, names, spec, spec.disk_gb)]


def _look() -> Here:
    """What there is on this machine."""
    try:
        way = import_module("apothic_emulator.agent.missing").on_missing()
        gpus, reason = import_module("apothic_emulator.agent.gpus").find()
    except ApothicError as error:
        return Here((), error.message, "error")
    return Here(gpus, reason, way)


def _planned(name: str, handle: Declared[..., Any], here: Here, market: Market) -> Planned:
    """Where it would run: told by its options, so that what cannot run yet is planned, too."""
    options: dict[str, Any] = {**handle.options}
    spec = FunctionSpec(
        *(handle.app_name, handle.name),
        cpu=options.get("cpu"),
        memory_mb=options.get("memory_mb", 1024),
        max_containers=options.get("max_containers", 1),
        mounts=tuple(mount.spec() for mount in options.get("volumes") or ()),
        **placed(handle.options),
    )
    if spec.local_volume:
        its = Condition("provider", "eq", "vast", f"volume {spec.local_volume} (vast_local)")
        spec = spec.replace(placement=(*spec.placement, its))
    kind = str(getattr(handle, "shape", "class" if isinstance(handle, Cls) else "function"))
    told, does_run = _here(spec, here)
    choice = choose(conditions_of(spec), market(spec), spec.gpu)
    return Planned(
        *(name, kind, spec, told, does_run, waived(spec), choice), options.get("keep_warm_s")
    )


def _here(spec: FunctionSpec, here: Here) -> tuple[str, bool]:
    """What it would get on this machine, and whether it would run."""
    if not spec.gpu_count:
        return "yes", True
    rules = import_module("apothic_emulator.core.placement")
    found = rules.pick(spec, here.gpus)
    if found is not None:
        return rules.listed(found.gpus), True
    if here.on_missing_gpu == "cpu":
        return "without GPU", True
    if here.on_missing_gpu == "fake" and rules.made_up(spec):
        return f"made up: {rules.listed(rules.made_up(spec))}", True
    return f"no: {rules.listed(here.gpus)}", False


# --- output -------------------------------------------------------------------------------------


def _table(found: Sequence[Planned]) -> list[tuple[str, ...]]:
    rows = [("FUNCTION", "KIND", "HERE", "RENTED", "OF", "USD/HOUR", "IDLE USD")]
    for one in found:
        rented = "nothing" if one.best is None else one.best.name
        of = f"{len(one.choice.candidates)} of {len(one.choice.offers)}"
        times = f" x {one.spec.max_containers}" if one.spec.max_containers > 1 else ""
        price = f"{_usd(one.usd_per_hour)}{times}" if one.best else ""
        rows.append((one.name, one.kind, one.here, rented, of, price, _usd(one.idle_usd)))
    return rows


def _usd(usd: float | None) -> str:
    return "" if usd is None else f"{usd:.4f}"


def _notes(one: Planned) -> list[str]:
    """What there is to say below the table."""
    notes = [f"no GPU is known as {name!r}" for name in one.spec.gpu if not is_known(name)]
    if one.spec.local_volume:
        notes.append(
            f"volume {one.spec.local_volume} is vast_local: rented machines are at Vast, on the "
            "host of the first alone, where it costs until it is deleted"
        )
    if one.waived:
        notes.append(f"waived here: {', '.join(it.said for it in one.waived)}")
    strict = one.choice.rejected()[:_MOST_NAMED]
    if strict:
        told = ", ".join(f"{_shortly(it.said)} ({count})" for it, count in strict)
        notes.append(f"rules out most: {told}")
    if one.nearest is not None:
        reasons = "; ".join(one.choice.why_not(one.nearest))
        notes.append(f"nearest is {one.nearest.name}: {reasons}")
    return notes


def _shortly(said: str) -> str:
    return said if len(said) <= 40 else f"{said[:37]}..."  # noqa: PLR2004 - a name and a value


def _document(found: Sequence[Planned], here: Here, as_of: str | None) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "as_of": as_of,
        "here": {
            "gpus": [
                {"uuid": it.uuid, "name": it.name, "memory_mb": it.memory_mb} for it in here.gpus
            ],
            "reason": here.reason or None,
            "on_missing_gpu": here.on_missing_gpu,
        },
        "functions": [_told(one) for one in found],
    }


def _told(one: Planned) -> dict[str, Any]:
    choice, nearest = one.choice, one.nearest
    return {
        "name": one.name,
        "kind": one.kind,
        "here": {
            "runs": one.does_run_here,
            "with": one.here,
            "waived": [it.said for it in one.waived],
        },
        "rented": one.best and {"offer": one.best.name, **one.best.values},
        "candidates": len(choice.candidates),
        "offers": len(choice.offers),
        "limits": [{"limit": it.said, "rules_out": count} for it, count in choice.rejected()],
        "nearest": nearest and {"offer": nearest.name, "why_not": choice.why_not(nearest)},
        "usd_per_hour": one.usd_per_hour,
        "max_containers": one.spec.max_containers,
        "keep_warm_s": one.keep_warm_s,
        "idle_usd": one.idle_usd,
    }
