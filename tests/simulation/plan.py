"""A run as data: the functions, what clients do and when, and which faults fall."""

from __future__ import annotations

from dataclasses import dataclass, replace

from apothic_backends.model.functions import BatchPolicy, FunctionSpec, RetryPolicy
from apothic_backends.model.images import ImageSpec
from tests.simulation.chance import FAULT, FEATURE, OP, SPEC, draw, pick
from tests.simulation.streaming import FAULTS as STREAM_FAULTS, generator_spec

EPOCH_S = 1000.0
"""When the clock of a run starts."""

CHAOS_S = 60.0
"""How long clients are busy and faults fall; after that everything is healed."""

DEPTH = 3
"""How deep calls nest."""

CRASHES = ("crash", "crash_before_commit", "crash_after_commit")
"""When the program is killed: between two steps, or before anybody hears of one."""

FAULTS = (
    "kill_before_load",
    "kill_loading",
    "kill_after_receive",
    "kill_before_report",
    "kill_after_report",
    "lost_report",
    "forged_job",
    "forged_attempt",
    "forged_executor",
    "forged_origin",
    "forged_loaded",
    "duplicate_report",
    "garbage",
    "start_failure",
    "load_failure",
    "load_hang",
    "slow_start",
    "delayed_facts",
    "recall_race",
    "cancel_race",
    "sigstop",
    "client_vanish",
    "late_tick",
    "early_tick",
    "dead_asks",
    *STREAM_FAULTS,
    *CRASHES,
)

SCRIPTS = (
    "raise",
    "unserialisable",
    "exit",
    "segfault",
    "oom",
    "hang",
    "ignore",
    "leave",
    "nested",
    "exact",
    "slow",
    "cursed",
    "stubborn",
    "prints",
    "final",
    "breakpoint",
)
"""What user code may do beside returning quickly."""

TRAITS = (
    *("batches", "far_reader", "short_memory", "large", "room", "bad", "schedules", "durable"),
    "prepaid",
)
"""How hosts and clients may be beside the plain way."""

BATCHES = (None, None, None, BatchPolicy(3, 0.05), BatchPolicy(8, 0.0), BatchPolicy(2, 1.0))

IMAGES = (None, None, None, None, ImageSpec("debian_slim"))

OPS = (
    *("remote",) * 8,
    *("spawn",) * 4,
    *("map",) * 4,
    *("wait",) * 2,
    *("cancel",) * 4,
    *("give_up",) * 2,
    *("watch",) * 2,
    *("keyed",) * 2,
    *("items",) * 3,
    *("keep", "release", "get", "logs", "bad"),
)


@dataclass(frozen=True)
class Fault:
    at: float
    kind: str


@dataclass(frozen=True)
class Plan:
    """Everything that a run depends on."""

    seed: int
    specs: tuple[FunctionSpec, ...]
    generator: FunctionSpec
    """The function whose calls give items; its number follows those of `specs`."""
    ops: tuple[tuple[float, str], ...]
    faults: tuple[Fault, ...]
    features: frozenset[str]

    def with_faults(self, faults: tuple[Fault, ...]) -> Plan:
        return replace(self, faults=faults)

    def with_ops(self, most: int) -> Plan:
        return replace(self, ops=self.ops[:most])


def make_plan(seed: int, ops: int = 160, faults: int = 24) -> Plan:
    """The plan of a seed: a random half of all features and faults, so that none hides another."""
    everything = (*FAULTS, *SCRIPTS, *TRAITS)
    features = frozenset(f for i, f in enumerate(everything) if draw(seed, FEATURE, i) & 1)
    if draw(seed, FEATURE, 1001) % 4:
        features -= {"prepaid"}
    calm = draw(seed, FEATURE, 1000) % 8 == 0
    kinds = () if calm else tuple(kind for kind in FAULTS if kind in features)
    fallen = [_fault(seed, i, kinds) for i in range(faults)] if kinds else []
    chosen = [(_moment(seed, OP, i), pick(seed, OP, 10_000 + i, OPS)) for i in range(ops)]
    return Plan(
        seed,
        tuple(_spec(seed, i) for i in range(3)),
        generator_spec(seed),
        tuple(sorted(chosen)),
        tuple(sorted(fallen, key=lambda fault: fault.at)),
        features,
    )


def _fault(seed: int, i: int, kinds: tuple[str, ...]) -> Fault:
    return Fault(_moment(seed, FAULT, i), pick(seed, FAULT, 10_000 + i, kinds))


def _moment(seed: int, stream: int, i: int) -> float:
    return EPOCH_S + (draw(seed, stream, i) % 6000) * CHAOS_S / 6000


def _spec(seed: int, i: int) -> FunctionSpec:
    def of(what: int, *options: float) -> float:
        return pick(seed, SPEC, 100 * i + what, options)

    slots = int(of(3, 1, 1, 1, 2, 3))
    return FunctionSpec(
        app_name="sim",
        name=f"f{i}",
        timeout_s=of(0, 1.0, 2.0, 5.0),
        retries=RetryPolicy(int(of(1, 0, 0, 1, 2)), of(2, 0.0, 0.5), 2.0, 1.0, of(7, 0.0, 0.5)),
        concurrent_requests=slots,
        max_pending_tasks=int(of(4, 3, 20, 100)),
        max_containers=int(of(5, 1, 1, 2, 3)),
        tasks_per_container=int(of(6, 1, 1, 3)),
        target_requests=min(slots, int(of(7, 0, 1, 2))),
        batch=pick(seed, SPEC, 100 * i + 8, BATCHES),
        image=pick(seed, SPEC, 100 * i + 9, IMAGES),
    )
