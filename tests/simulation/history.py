"""What happened in a run, as the outside saw it, and what must be true of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from apothic_backends.model.errors import ApothicError, JobGone, MemoryLimitExceeded
from apothic_backends.model.functions import FunctionSpec
from apothic_backends.model.jobs import JobOutcome, JobSnapshot, JobStatus
from apothic_emulator.core.attempts import MOST_LOSSES
from apothic_emulator.core.effects import Dispatch
from apothic_emulator.core.eventlog import Subject
from apothic_emulator.core.keeping import RESTARTED
from apothic_emulator.core.pools import PREFETCH_MOST
from tests.simulation.holding import Standing


class Violation(AssertionError):
    """A promise was broken; `invariant` names it."""

    def __init__(self, invariant: str, what: str) -> None:
        super().__init__(f"{invariant}: {what}")
        self.invariant = invariant


def sure(is_true: object, invariant: str, what: str, *about: object) -> None:
    if not is_true:
        raise Violation(invariant, what % about if about else what)


class History:
    """Kept by job number. Each method takes one observation and checks it."""

    def __init__(self) -> None:
        self.log: list[tuple[str, Subject]] = []
        self.ended_just_now: set[int] = set()
        """In this very step: replies that were given before it may not know yet."""
        self.log_of: dict[int, list[int]] = {}
        """Positions of the events of each job, and of all jobs under 0."""
        self.printed: dict[tuple[int, str], str] = {}
        """What jobs have printed that was not told yet."""
        self.keys: dict[str, int] = {}
        self.spec: dict[int, FunctionSpec] = {}
        self.final: dict[int, str] = {}
        self.outcome: dict[int, str] = {}
        self.dispatched: dict[int, tuple[int, int]] = {}
        self.holder: dict[int, int] = {}
        self.executions: Counter[int] = Counter()
        self.innocent: Counter[int] = Counter()
        self.began: dict[int, float] = {}
        self.beginning: dict[int, float] = {}
        """In this very step, which may have stopped an attempt before."""
        self.died_under: set[int] = set()
        self.guilty: set[int] = set()
        """Those whose own code raised."""
        self.exceeded: set[int] = set()
        """Executors that used too much memory."""
        self.lied_about: set[int] = set()
        self.asked_to_cancel: set[int] = set()
        self.acknowledged: set[int] = set()
        self.acknowledging: set[int] = set()
        """In this very step, which may have dispatched them before."""
        self.given: set[int] = set()
        """Generators of which somebody has got an item."""
        self.yielded: dict[tuple[int, int], int] = {}
        """How many items an attempt has."""
        self.standing = Standing()
        self.heard_of: set[int] = set()
        """Jobs that somebody outside knows by their number."""
        self.owed: set[int] = set()
        """Those of them that a control plane was given for good."""
        self.reached: Counter[str] = Counter()

    def next_step(self) -> None:
        if self.ended_just_now:
            self.ended_just_now.clear()
        if self.beginning:
            self.began.update(self.beginning)
            self.beginning.clear()
        if self.acknowledging:
            self.acknowledged |= self.acknowledging
            self.acknowledging.clear()

    # --- the log --------------------------------------------------------------------------------

    def event(
        self, name: str, job: Subject, at: float, more: dict[str, Any] | None, seq: int
    ) -> None:
        self.log += [("", "")] * (seq - 1 - len(self.log))  # a log may begin with another number
        self.log.append((name, job))
        if isinstance(job, str):
            return
        if name == "job.running":
            self.beginning[job] = at
        elif name in ("job.result", "job.retry", "job.queued"):
            self.standing.let_go(job, at)
        sure(job not in self.final, "I3", "jobs:%d ended, and then %s", job, name)
        self.log_of.setdefault(job, []).append(len(self.log))
        self.log_of.setdefault(0, []).append(len(self.log))
        if name == "job.log":
            assert more is not None
            self._told(job, more["stream"], more["text"])
        if name == "job.end":
            assert more is not None
            self.final[job] = more["status"]
            self.ended_just_now.add(job)

    def prints(self, job: int, stream: str, text: str) -> None:
        """The core has taken this in."""
        self.printed[job, stream] = self.printed.get((job, stream), "") + text

    def _told(self, job: int, stream: str, text: str) -> None:
        left = self.printed.get((job, stream), "")
        sure(left.startswith(text), "I10", "jobs:%d printed %r, and %r is told", job, left, text)
        self.printed[job, stream] = left[len(text) :]

    def queued_under(self, key: str, job: int, *, is_known: bool) -> None:
        """A client was told which job stands for a key."""
        first = self.keys.setdefault(key, job)
        sure(first == job or not is_known, "I2", "%s is jobs:%d and jobs:%d", key, first, job)
        self.keys[key] = job

    def is_new(self, job: Subject) -> None:
        """A job is called that has not been there before."""
        sure(job not in self.heard_of, "R8", "jobs:%s is the number of two jobs", job)

    def promised(self, job: int, *, is_kept: bool) -> None:
        """Somebody was told the number of a job."""
        self.heard_of.add(job)
        if is_kept:
            self.owed.add(job)

    # --- work -----------------------------------------------------------------------------------

    def dispatch(self, effect: Dispatch, spec: FunctionSpec, line: int) -> None:
        job = effect.job
        self.spec[job] = spec
        self.heard_of.add(job)
        before = self.dispatched.get(job, (0, 0))[0]
        sure(effect.attempt > before, "I4", "jobs:%d attempt %d again", job, effect.attempt)
        sure(job not in self.final, "I3", "jobs:%d ended and is dispatched", job)
        sure(job not in self.acknowledged, "I6", "jobs:%d was cancelled and is dispatched", job)
        sure(job not in self.given, "I16", "jobs:%d is repeated after an item was given", job)
        sure(job not in self.holder, "I5", "jobs:%d has two live attempts", job)
        most = spec.concurrent_requests
        if spec.batch is not None:
            most *= spec.batch.max_size
        elif most == 1:
            most += PREFETCH_MOST
        sure(line <= most, "I12", "%d jobs in the line of executor %d", line, effect.executor)
        self.dispatched[job] = effect.attempt, effect.executor
        self.holder[job] = effect.executor

    def dies(self, executor: int) -> None:
        """Whatever it holds may be lost."""
        self.died_under.update(job for job, of in self.holder.items() if of == executor)

    def stopped(self, executor: int, now: float, sent: list[int]) -> None:
        """An executor is stopped: for one of its jobs there is a reason."""
        held = [*sent, *(job for job, of in self.holder.items() if of == executor)]
        reasons = [job for job in held if self.may_stop(job, executor, now)]
        sure(reasons, "I7", "executor %d is stopped for no reason", executor)

    def may_stop(self, job: int, executor: int, now: float) -> bool:
        if job in self.asked_to_cancel:
            return True
        began = self.began.get(job)
        if began is None or job not in self.spec:
            return False
        stood_s = self.standing.stood_s(executor, began, now)
        return now >= began + self.spec[job].timeout_s + stood_s

    def let_go(self, job: int, executor: int) -> None:
        if self.holder.get(job) == executor:
            del self.holder[job]

    def ran(self, job: int) -> None:
        self.executions[job] += 1
        times, spec = self.executions[job], self.spec[job]
        most = 1 if spec.batch is None else 2  # once more alone when its batch has raised
        if spec.retries.max_retries:
            most += spec.retries.max_retries + MOST_LOSSES + self.innocent[job]
        sure(times <= most, "I5", "jobs:%d began %d times, %d allowed", job, times, most)

    # --- what clients see -----------------------------------------------------------------------

    def saw(self, what: object) -> None:
        if isinstance(what, JobOutcome):
            self._status(int(what.job_id[5:]), what.status)
            self._outcome(int(what.job_id[5:]), what)
        elif isinstance(what, JobSnapshot):
            self._status(int(what.job_id[5:]), what.status)

    def _status(self, job: int, status: JobStatus) -> None:
        final = self.final.get(job)
        if status.is_final or (final is not None and job not in self.ended_just_now):
            sure(status.value == final, "I3", "jobs:%d was %s and is %s", job, final, status)

    def _outcome(self, job: int, seen: JobOutcome) -> None:
        told = f"{seen.status} {seen.result and seen.result.data} {seen.error and seen.error.code}"
        first = self.outcome.setdefault(job, told)
        sure(first == told, "I3", "jobs:%d: first %s, then %s", job, first, told)
        data = seen.error.data if seen.error is not None else {}
        if seen.status is JobStatus.SUCCEEDED:
            wanted = b"%d %d %d" % (job, *self.dispatched[job])
            got = seen.result.data if seen.result is not None else b""
            lied = b"forged %d" % self.dispatched[job][1]  # about a job of its own: it may
            self.lied_about.update([job] if got == lied else [])
            sure(got in (wanted, lied), "I4", "jobs:%d has the result %r, not %r", job, got, wanted)
        elif seen.status is JobStatus.CANCELLED:
            sure(job in self.asked_to_cancel, "I7", "jobs:%d was cancelled by nobody", job)
        elif seen.status is JobStatus.LOST and data["reason"] != "start":
            sure(job in self.died_under, "I7", "jobs:%d was lost, but no process died", job)
        if seen.status is JobStatus.LOST:
            self.reached[f"lost_{data['reason']}"] += 1
            ran = self.executions[job] > 0 or data["reason"] == RESTARTED
            sure(data["maybe_ran"] is ran, "I7", "jobs:%d: whether it ran is false", job)
            if data["reason"] not in ("start", RESTARTED):
                told = seen.error is not None and seen.error.code == MemoryLimitExceeded.code
                exceeded = self.dispatched[job][1] in self.exceeded
                sure(told is exceeded, "I7", "jobs:%d: whether memory was the reason is false", job)
        elif seen.error is not None:
            code = seen.error.code
            self.reached[code] += 1
            sure(code != "batch_raised", "B5", "jobs:%d failed with all of its batch", job)
            is_guilty = code != "user_error" or job in self.guilty
            sure(is_guilty, "B5", "jobs:%d failed for the fault of another", job)

    def refused(self, error: BaseException, job: int, *, is_held: bool) -> None:
        sure(isinstance(error, ApothicError), "I15", "%r is not typed", error)
        gone = isinstance(error, JobGone) and is_held
        sure(not gone, "I1", "jobs:%d is held and gone: %s", job, error)

    # --- restarts -------------------------------------------------------------------------------

    def restarted(self, kept: Iterable[int], under_way: Iterable[int]) -> None:
        """The control plane was killed: what it had told nobody may be told in another way."""
        self.next_step()
        self.died_under.update(self.holder, under_way)
        for job in kept:
            self.final.pop(job, None)
        for of_its_own in (self.log, self.log_of, self.printed, self.holder, self.began):
            of_its_own.clear()
        self.standing = Standing()
        self.reached["restarts"] += 1

    def goes_on(self, ended: Mapping[int, str]) -> None:
        """Another one has taken over; these have ended, some perhaps as it did."""
        self.final.update(ended)
        self.ended_just_now.clear()

    def close(self) -> None:
        """Nothing more happens."""
        for job, status in self.final.items():
            if status == "succeeded" and job not in self.lied_about:
                sure(self.executions[job] >= 1, "I4", "jobs:%d never ran", job)
        lost = self.owed - self.final.keys()
        sure(not lost, "R7", "%s were taken on, and never ended", lost)
