"""What an agent knows of one of its executors."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from apothic_emulator.core.effects import Dispatch, DispatchBatch
from apothic_emulator.core.hellos import BACK, HeldExecutor, HeldJob


class Mine:
    """An executor here, or one whose end is not acknowledged."""

    def __init__(self, function: int) -> None:
        self.function = function
        self.is_loaded = False
        self.has_ended = False
        self.is_liar = False
        """It reported what it cannot have done, and was killed for that."""
        self.waiting: dict[int, Dispatch | DispatchBatch] = {}
        """Calls that wait for the word to begin, by the job that stands for them."""
        self.jobs: dict[int, tuple[int, str]] = {}
        """The attempt and the phase of each job that is not done with."""
        self.begun_at: dict[int, float] = {}
        """When each job began that has no outcome yet."""
        self.returning: tuple[int, ...] = ()
        """Jobs that were taken back here, while it is asked what it has not received."""

    def held(self, number: int) -> HeldExecutor:
        """What a control plane is told of it."""
        waiting = [(job, attempt) for call in self.waiting.values() for job, attempt in each(call)]
        known = [HeldJob(job, attempt, phase) for job, (attempt, phase) in self.jobs.items()]
        known += [HeldJob(job, attempt, BACK) for job, attempt in waiting]
        return HeldExecutor(number, self.function, self.is_loaded, tuple(known))

    def take_back(self) -> tuple[int, ...]:
        """Let go of what waits; the jobs."""
        waiting = [one for call in self.waiting.values() for one in each(call)]
        self.waiting.clear()
        self.jobs.update((job, (attempt, BACK)) for job, attempt in waiting)
        return tuple(job for job, _ in waiting)

    def forget(self, jobs: Iterable[int], phase: str) -> None:
        """The control plane knows that these are in that phase."""
        for job in jobs:
            if job in self.jobs and self.jobs[job][1] == phase:
                del self.jobs[job]

    def give_back(self, jobs: Collection[int]) -> None:
        """These have not begun, though they were told to."""
        self.jobs.update((job, (self.jobs[job][0], BACK)) for job in jobs if job in self.jobs)
        for job in jobs:
            self.begun_at.pop(job, None)


def each(call: Dispatch | DispatchBatch) -> list[tuple[int, int]]:
    """The jobs of a call, and the attempt of each."""
    if isinstance(call, Dispatch):
        return [(call.job, call.attempt)]
    return [(one.job, one.attempt) for one in call.jobs]
