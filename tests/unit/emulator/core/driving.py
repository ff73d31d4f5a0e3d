"""A control plane driven by hand, one step at a time, and checked after each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from apothic_backends.commands import (
    CancelJob,
    Command,
    GetJob,
    RegisterFunction,
    SubmitJob,
    WaitJob,
)
from apothic_backends.model.functions import FunctionSpec, RetryPolicy
from apothic_backends.model.jobs import ErrorInfo, JobOutcome, JobSnapshot
from apothic_backends.model.payloads import Payload
from apothic_emulator.core.check import check
from apothic_emulator.core.effects import Dispatch, DispatchBatch, Effect
from apothic_emulator.core.facts import (
    Asked,
    Ended,
    Excess,
    Input,
    Loaded,
    Origin,
    Recalled,
    Reported,
    Tick,
)
from apothic_emulator.core.jobs import Job
from apothic_emulator.core.plane import Plane
from apothic_emulator.core.records import Change
from apothic_emulator.core.schedules import Calendar

EffectT = TypeVar("EffectT", bound=Effect)

RAISED = ErrorInfo("user_error", "boom", type_name="ValueError")
RESULT = Payload(b"result")


class Driver:
    """A plane with one function, and a clock that stands still until it is moved."""

    calendar: Calendar | None = None
    price_of: Callable[[FunctionSpec, str], int] | None = None

    def __init__(
        self,
        retries: int = 0,
        delay_s: float = 0.0,
        *,
        wall_offset: float = 0.0,
        jitter: float = 0.0,
        **limits: Any,
    ) -> None:
        self.plane = self.new_plane(wall_offset)
        self.now = 100.0
        self.effects: list[Effect] = []
        """Of the last step."""
        self.answers: dict[object, Any] = {}
        self._last_token = 0
        policy = RetryPolicy(retries, delay_s, jitter=jitter)
        self.function = self.register("f", retries=policy, **limits)

    def new_plane(self, wall_offset: float) -> Plane:
        return Plane("here", wall_offset, calendar=self.calendar, price_of=self.price_of)

    def keep(self, changes: list[Change]) -> None:
        """Nothing is kept."""

    def register(self, name: str, **limits: Any) -> str:
        spec = FunctionSpec("app", name, **limits)
        return self.ask(RegisterFunction(spec, Payload(name.encode())))

    def step(self, *inputs: Input) -> list[Effect]:
        outcome = self.plane.step(inputs, self.now)
        for token, value, error in outcome.replies:
            assert token not in self.answers
            self.answers[token] = error if error is not None else value
        self.effects = outcome.effects
        self.keep(outcome.changes)
        check(self.plane)
        return self.effects

    def wait_until(self, moment: float) -> list[Effect]:
        """Let time pass, with a tick at every alarm on the way."""
        effects: list[Effect] = []
        while self.plane.alarm <= moment:
            self.now = max(self.now, self.plane.alarm)
            effects += self.step(Tick())
        self.now = moment
        return effects

    def pass_s(self, seconds: float) -> list[Effect]:
        return self.wait_until(self.now + seconds)

    def start(
        self, command: Command[Any], origin: Origin | None = None, operation: str | None = None
    ) -> int:
        """Ask; gives the token."""
        self._last_token += 1
        self.step(Asked(command, self._last_token, origin, operation))
        return self._last_token

    def ask(
        self, command: Command[Any], origin: Origin | None = None, operation: str | None = None
    ) -> Any:
        """Ask for what is answered at once."""
        answer = self.answers[self.start(command, origin, operation)]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def submit(self, function: str = "", origin: Origin | None = None) -> int:
        """Queue a call; gives its number."""
        command = SubmitJob(function or self.function, Payload(b"arguments"))
        return int(self.ask(command, origin)[5:])

    def submit_many(self, count: int) -> list[int]:
        return [self.submit() for _ in range(count)]

    def wait(self, job: int, origin: Origin | None = None, **how: bool) -> int:
        return self.start(WaitJob(f"jobs:{job}", **how), origin)

    def cancel(self, job: int) -> JobSnapshot:
        return self.ask(CancelJob(f"jobs:{job}"))

    def look(self, job: int) -> JobSnapshot:
        return self.ask(GetJob(f"jobs:{job}"))

    def outcome(self, job: int) -> JobOutcome:
        return self.ask(WaitJob(f"jobs:{job}"))

    def status(self, job: int) -> str:
        return self.look(job).status.value

    def job(self, number: int) -> Job:
        return self.plane.ledger.jobs[number]

    # --- executors ------------------------------------------------------------------------------

    def loaded(self, executor: int = 1) -> list[Effect]:
        return self.step(Loaded(executor))

    def report(
        self, job: int, *, error: ErrorInfo | None = None, retire: bool = False
    ) -> list[Effect]:
        """The executor that has the job says that it is done."""
        held = self.job(job)
        result = None if error is not None else RESULT
        return self.step(Reported(held.executor, job, held.attempt, result, error, retire))

    def recalled(self, executor: int, *jobs: int) -> list[Effect]:
        return self.step(Recalled(executor, jobs))

    def died(self, executor: int = 1, unstarted: Iterable[int] = ()) -> list[Effect]:
        return self.step(Ended(executor, "signal", tuple(unstarted), signal=9))

    def exceeded(self, executor: int = 1, unstarted: Iterable[int] = ()) -> list[Effect]:
        """An executor was killed because it used 80 of 64 MB."""
        excess = Excess(64, 80, "watchdog")
        return self.step(Ended(executor, "oom", tuple(unstarted), signal=9, excess=excess))

    def ran(self) -> int:
        """Submit a job, have it run in a fresh executor; gives its number."""
        job = self.submit()
        self.loaded(max(self.plane.ledger.executors))
        return job

    def inside(self, job: int) -> Origin:
        """Where the job's code asks from."""
        return Origin(self.job(job).executor, job)


def only(effects: Iterable[Effect], kind: type[EffectT]) -> list[EffectT]:
    """The effects of one kind."""
    return [effect for effect in effects if isinstance(effect, kind)]


def kinds(effects: Iterable[Effect]) -> list[str]:
    return [type(effect).__name__ for effect in effects]


def batches_sent(effects: Iterable[Effect]) -> list[list[int]]:
    """The jobs of each batch, in the order in which they were sent."""
    return [[one.job for one in effect.jobs] for effect in only(effects, DispatchBatch)]


def jobs_sent(effects: Iterable[Effect]) -> list[int]:
    return [effect.job for effect in only(effects, Dispatch)]
