"""A control plane whose executors run on agents, all of which are driven by hand."""

from __future__ import annotations

from typing import Any

from apothic_emulator.core.effects import Effect, Go, StartExecutor
from apothic_emulator.core.facts import Accepted, Loaded
from apothic_emulator.core.hellos import (
    Capacity,
    Cut,
    Drain,
    Heard,
    HeldExecutor,
    HeldJob,
    Join,
    Leave,
    Welcome,
)
from apothic_emulator.core.journal import Journal
from apothic_emulator.core.plane import Plane
from tests.unit.emulator.core.driving import only
from tests.unit.emulator.core.restarting import Restarting

LEASE_S = 30.0
GRACE_S = 60.0
SMALL = Capacity(1, 1024)
LARGE = Capacity(8, 16_384)


class Far(Restarting):
    """No executors at home; agents join as they are told to."""

    has_home = False

    def __init__(self, retries: int = 0, **how: Any) -> None:
        self.epochs = 0
        self.welcomes: dict[str, Welcome] = {}
        super().__init__(retries, **how)

    def new_plane(self, wall_offset: float) -> Plane:
        self.epochs += 1
        return Plane(
            f"e{self.epochs}",
            wall_offset,
            calendar=self.calendar,
            journal=Journal(),
            has_home=self.has_home,
            lease_s=LEASE_S,
            price_of=self.price_of,
        )

    def join(
        self,
        name: str = "a",
        capacity: Capacity = LARGE,
        *held: HeldExecutor,
        incarnation: str = "1",
        channel: str | None = None,
        python: str = "",
    ) -> Welcome:
        """An agent joins, as one that has been here before if it has."""
        if channel is None:
            channel = self.welcomes[name].channel if name in self.welcomes else ""
        who = name, incarnation, capacity
        welcome = self.ask(Join(*who, channel, held, python, python and "linux-x86_64"))
        self.welcomes[name] = welcome
        return welcome

    def beat(self, name: str = "a") -> list[Effect]:
        it = self.welcomes[name]
        self.ask(Heard(it.agent, it.session, is_beat=True))
        return self.effects

    def cut(self, name: str = "a") -> list[Effect]:
        it = self.welcomes[name]
        self.ask(Cut(it.agent, it.session))
        return self.effects

    def leave(self, name: str = "a") -> list[Effect]:
        it = self.welcomes[name]
        self.ask(Leave(it.agent, it.session))
        return self.effects

    def drain(self, name: str = "a") -> list[Effect]:
        it = self.welcomes[name]
        self.ask(Drain(it.agent, it.session))
        return self.effects

    def loads(self) -> list[Effect]:
        """Every executor that starts has loaded its function."""
        return self.step(*[Loaded(number) for number in self.plane.ledger.executors])

    def accepts(self, *jobs: int) -> list[Effect]:
        """Agents have these jobs."""
        return self.step(*[self.acceptance(job) for job in jobs])

    def acceptance(self, job: int) -> Accepted:
        held = self.job(job)
        return Accepted(held.executor, job, held.attempt)

    def begun(self, **how: Any) -> int:
        """A job that an agent was told to begin."""
        job = self.submit(**how)
        self.loads()
        assert only(self.accepts(job), Go)
        return job

    def held(self, job: int, phase: str, *, loaded: bool = True) -> HeldExecutor:
        """What the agent says of the executor of a job, and of that job."""
        it = self.job(job)
        known = HeldJob(job, it.attempt, phase)
        return HeldExecutor(it.executor, it.function.number, loaded, (known,))

    def agents_of(self, effects: list[Effect]) -> list[int]:
        return [effect.agent for effect in only(effects, StartExecutor)]
