"""Executors that take several inputs in one call, and what must be true of such company."""

from __future__ import annotations

from typing import Any

from apothic_backends.model.functions import FunctionSpec
from apothic_backends.model.jobs import ErrorInfo
from apothic_backends.model.payloads import Payload
from apothic_emulator.core.batches import BATCH_RAISED
from apothic_emulator.core.effects import DispatchBatch, Effect, StartExecutor
from apothic_emulator.core.eventlog import Subject
from apothic_emulator.core.facts import Reported
from tests.simulation.chance import SCRIPT, draw
from tests.simulation.history import History, sure
from tests.simulation.processes import Packet, Process
from tests.simulation.surroundings import Surroundings

_WORST_FIRST = ("segfault", "exit", "ignore", "hang", "exact", "slow", "nested")
"""What one input does to the call that it is in."""


class BatchProcess(Process):
    """One executor whose packets hold the inputs of a call each."""

    def __init__(self, world: Surroundings, effect: StartExecutor) -> None:
        self.calls: list[Packet] = []
        super().__init__(world, effect)

    @property
    def busy(self) -> int:
        """How many calls there are."""
        self.calls = [packet for packet in self.calls if self._left(packet)]
        return len(self.calls)

    def _left(self, packet: Packet) -> Packet:
        """Those who have not been told of their outcome."""
        return tuple(pair for pair in packet if self.running.get(pair[0], (0, ""))[0] == pair[1])

    def _take(self, packet: Packet) -> bool:
        if any(job in self.running for job, _ in packet):
            return True
        scripts = [self._script(job, attempt) for job, attempt in packet]
        kind = next((kind for kind in _WORST_FIRST if kind in scripts), "ok")
        for job, attempt in packet:
            self.running[job] = attempt, kind
            self.world.history.ran(job)
        self.calls.append(packet)
        depth = self.world.depth
        depth[packet[0][0]] = max(depth.get(job, 0) for job, _ in packet)
        if self.world.falls("kill_after_receive"):
            self.die("signal", 9)
            return False
        self._run(*packet[0], kind)
        return True

    def _packet_of(self, job: int, attempt: int) -> Packet:
        return next((p for p in self.calls if (job, attempt) in self._left(p)), ())

    def _finish(self, job: int, attempt: int, kind: str) -> None:
        packet = self._packet_of(job, attempt)
        if not packet:
            return
        self._print(job, attempt)
        chance = draw(self._seed, SCRIPT, job * 64 + attempt + (1 << 42))
        scripts = {job: self._script(job, attempt) for job, attempt in packet}
        if kind == "raise" or (chance & 1 and "raise" in scripts.values()):
            self._tell_all(packet, _raised(packet, "raised"))
        elif chance % 32 == 2:
            self._tell_all(packet, ErrorInfo("batch_mismatch", "2 results"))
        else:
            for number, (one, its_attempt) in enumerate(packet, 1):
                retire = number == len(packet) and "leave" in scripts.values()
                self._tell(one, its_attempt, scripts[one], retire=retire)

    def _tell(self, job: int, attempt: int, script: str, *, retire: bool) -> None:
        result, error = Payload(b"%d %d %d" % (job, attempt, self.number)), None
        if script == "raise":
            error = ErrorInfo("user_error", "an element of the list")
        elif script == "unserialisable":
            error = ErrorInfo("result_not_serializable", "a lock")
        self._report(job, attempt, None if error else result, error, retire=retire)

    def _tell_all(self, packet: Packet, error: ErrorInfo) -> None:
        for job, attempt in self._left(packet):
            if self.alive:
                self._report(job, attempt, None, error)

    def _interrupted(self, job: int, attempt: int) -> None:
        packet = self._packet_of(job, attempt)
        self._tell_all(packet, _raised(packet, "stopped"))


def _raised(packet: Packet, message: str) -> ErrorInfo:
    return ErrorInfo("user_error" if len(packet) == 1 else BATCH_RAISED, message)


def process_of(world: Surroundings, effect: StartExecutor) -> Process:
    """The process of a function."""
    return Process(world, effect) if effect.spec.batch is None else BatchProcess(world, effect)


class Company:
    """Which inputs were in one call, and that they rightly were."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.ready: dict[int, float] = {}
        """When each could run."""
        self.alone: set[int] = set()
        """Those whose batch has gone wrong."""
        self.batches: dict[int, list[list[int]]] = {}

    def event(self, name: str, job: Subject, at: float, more: dict[str, Any] | None) -> None:
        """Something happened to a job."""
        if isinstance(job, str):
            return
        if name == "job.queued":
            self.ready.setdefault(job, at)
        elif name == "job.retry":
            assert more is not None
            self.ready[job] = at + more["delay_s"]
            if more["error"] != "user_error":
                self.alone.add(job)

    def reported(self, fact: Reported) -> None:
        """The core has heard of an outcome."""
        is_known = self.history.dispatched.get(fact.job) == (fact.attempt, fact.executor)
        if is_known and fact.error is not None and fact.error.code == BATCH_RAISED:
            self.alone.add(fact.job)
            self.history.reached["batch_raised"] += 1

    def dispatched(self, effect: DispatchBatch, spec: FunctionSpec, now: float) -> None:
        """A batch leaves: it is full, or its first input has waited, or it is in disgrace."""
        assert spec.batch is not None
        jobs = [one.job for one in effect.jobs]
        self.batches.setdefault(effect.executor, []).append(jobs)
        most = min(spec.batch.max_size, spec.max_pending_tasks)
        sure(len(jobs) <= most, "B1", "%d inputs in a batch of %d", len(jobs), most)
        bad = [job for job in jobs if job in self.alone]
        sure(len(jobs) == 1 or not bad, "B2", "%s in company, which went wrong before", bad)
        waited_s = now - min(self.ready[job] for job in jobs)
        is_due = len(jobs) == most or bad or waited_s >= spec.batch.wait_s - 1e-9
        sure(is_due, "B3", "%s left after %g s", jobs, waited_s)
        self.history.reached["batch_full" if len(jobs) == most > 1 else "batch_of_less"] += 1

    def stopped(self, executor: int, now: float, effects: list[Effect]) -> None:
        """A call is stopped: nobody in it needs it."""
        new = [[d.job for d in e.jobs] for e in effects if isinstance(e, DispatchBatch)]
        holder = self.history.holder
        held = [[j for j in jobs if holder.get(j) == executor] for jobs in self._of(executor)]
        useless = [
            b
            for b in [*held, *new]
            if b and all(self.history.may_stop(j, executor, now) for j in b)
        ]
        sure(useless, "B4", "executor %d is stopped, and each of its calls is needed", executor)

    def _of(self, executor: int) -> list[list[int]]:
        return self.batches.get(executor, [])
