"""Jobs at a breakpoint: code that has its own clock stopped for a while, and what must follow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from apothic_backends.commands import HoldJob
from apothic_emulator.core.facts import Origin
from tests.simulation.chance import SCRIPT, draw

Reply = Callable[[object, BaseException | None], None]

_EXACT_S = 1e-6
"""Sums of the same spans in another order differ by less."""


class Standing:
    """Which clocks stand still, by executor, as the outside saw it."""

    def __init__(self) -> None:
        self._holders: dict[int, set[int]] = {}
        self._place: dict[int, int] = {}
        self._since: dict[int, float] = {}
        self._spans: dict[int, list[tuple[float, float]]] = {}

    def hold(self, executor: int, job: int, now: float) -> None:
        """The core has said that the clock of a job stands."""
        if not self._holders.setdefault(executor, set()):
            self._since[executor] = now
        self._holders[executor].add(job)
        self._place[job] = executor

    def let_go(self, job: int, now: float) -> None:
        """It goes on, because somebody said so or because the job is not there any more."""
        executor = self._place.pop(job, 0)
        if executor:
            self._holders[executor].discard(job)
            if not self._holders[executor]:
                span = (self._since.pop(executor), now)
                self._spans.setdefault(executor, []).append(span)

    def stood_s(self, executor: int, began: float, now: float) -> float:
        """How long the clocks of an executor have stood since a job began in it."""
        spans = [*self._spans.get(executor, ())]
        if self._holders.get(executor):
            spans.append((self._since[executor], now))
        stood = sum(max(0.0, min(now, end) - max(began, start)) for start, end in spans)
        return max(0.0, stood - _EXACT_S)


class Asks(Protocol):
    """What a breakpoint needs of the world."""

    now: float

    def ask(self, command: Any, reply: Reply, origin: Origin | None) -> object: ...


class Site(Protocol):
    """The process whose code has come to a breakpoint."""

    number: int
    alive: bool

    def at(self, delay_s: float, what: Callable[..., None], *args: Any) -> None: ...


def stop_at(
    world: Asks,
    site: Site,
    standing: Standing,
    seed: int,
    job: int,
    go_on: Callable[[], None],
) -> None:
    """Have the clock stopped, look around for longer than any limit, and go on."""
    origin, looks_s = Origin(site.number, job), (0.5, 4.0, 15.0)[draw(seed, SCRIPT, -job) % 3]

    def held(value: object, error: BaseException | None) -> None:
        if value is True:
            standing.hold(site.number, job, world.now)
        site.at(looks_s, release)

    def release() -> None:
        world.ask(HoldJob(f"jobs:{job}", held=False), released, origin)

    def released(value: object, error: BaseException | None) -> None:
        standing.let_go(job, world.now)
        site.at(0.001, go_on)

    world.ask(HoldJob(f"jobs:{job}", held=True), held, origin)
