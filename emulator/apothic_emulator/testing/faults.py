"""Faults at will: workers that die, reports that are lost or late."""

from __future__ import annotations

import random
import signal
from typing import Final

from apothic_backends.model.errors import UsageError
from apothic_emulator.agent.line import Post
from apothic_emulator.core.facts import Ended, Excess, Input, Reported
from apothic_emulator.core.jobs import Job
from apothic_emulator.core.plane import Plane
from apothic_emulator.host.host import Host
from apothic_emulator.host.virtual import VirtualClock
from apothic_emulator.testing.spans import Span, seconds_of

RECEIVE_S: Final = 0.02
"""What a worker gets to receive a job before it is killed under it."""

POINTS = ("job.report",)
"""Where messages can be lost or late."""


class Fault:
    """One that is still to fall."""

    def __init__(self, kind: str, function: str, job: int, times: int, chance: float) -> None:
        self.kind = kind
        self.function = function
        """Its name; empty for any."""
        self.job = job
        """Its number; 0 for any."""
        self.times = times
        self.chance = chance
        self.delay_s = 0.0

    def aims_at(self, job: Job) -> bool:
        """Whether that job is meant."""
        is_function = not self.function or job.function.spec.name == self.function
        return self.times > 0 and is_function and self.job in (0, job.number)

    def __str__(self) -> str:
        """What it does, to whom."""
        whom = f"jobs:{self.job}" if self.job else self.function or "any job"
        return f"{self.kind} of {whom}"


class Faults:
    """Makes things go wrong in one runtime. `seed` decides where chance is asked for.

    A function is meant by its handle or its name, a job by its handle or its id. A fault falls
    `times` times, on the next occasions; with `chance` below 1 some of them are spared.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.fallen: list[str] = []
        """What went wrong so far, for failure reports."""
        self._random = random.Random(seed)  # noqa: S311 - to be repeated, not to be kept secret
        self._armed: list[Fault] = []
        self._hit: dict[int, tuple[Fault, int]] = {}
        """Executors that are being killed, and under which job; what they still report is lost."""
        self._aimed: set[int] = set()
        self._post: Post = lambda _: None
        self._host: Host | None = None

    def attach(self, host: Host) -> None:
        """Serve this host, which was made with `sieve`."""
        self._host = host
        host.after_step(self._stepped)

    def sieve(self, post: Post) -> Post:
        """Stand between the workers and the core."""
        self._post = post
        return self._take

    # --- what users ask -------------------------------------------------------------------------

    def kill_worker(self, target: object = None, *, times: int = 1) -> None:
        """Kill the process under a job, or under the next one of a function, while it runs.

        Of a job that is not running yet, the next attempt is meant. Without a target it is
        whatever runs next.
        """
        self._arm(self._fault("kill", target, times, 1.0))

    def oom(self, fn: object = None, *, times: int = 1) -> None:
        """End the next attempt of a function as one that has used more memory than there is."""
        self._arm(self._fault("oom", fn, times, 1.0))

    def drop(self, point: str, *, fn: object = None, times: int = 1, chance: float = 1.0) -> None:
        """Lose the next report of a function, together with its worker: `drop("job.report")`.

        Its code has run to the end, and nobody will know what came of it.
        """
        _check_point(point)
        self._arm(self._fault("drop", fn, times, chance))

    def delay(
        self,
        point: str,
        span: Span,
        *,
        fn: object = None,
        times: int = 1,
        chance: float = 1.0,
    ) -> None:
        """Hold the next report of a function back for a length of the runtime's time."""
        _check_point(point)
        fault = self._fault("delay", fn, times, chance)
        fault.delay_s = seconds_of(span)
        self._arm(fault)

    @property
    def pending(self) -> list[str]:
        """What was asked for and has not happened."""
        return [str(fault) for fault in self._armed if fault.times > 0]

    # --- the occasions --------------------------------------------------------------------------

    def _fault(self, kind: str, target: object, times: int, chance: float) -> Fault:
        if times < 1 or not 0 < chance <= 1:
            raise UsageError(f"times={times} must be at least 1, and chance={chance} 0 to 1")
        job_id = getattr(target, "job_id", target)
        if isinstance(job_id, str) and job_id.startswith("jobs:"):
            return Fault(kind, "", int(job_id[5:]), times, chance)
        name = getattr(target, "name", target)
        if name is not None and not isinstance(name, str):
            raise UsageError(f"{target!r} is neither a function nor a job")
        return Fault(kind, name or "", 0, times, chance)

    def _arm(self, fault: Fault) -> None:
        self._armed.append(fault)
        if self._host is not None:
            self._host.look(self._stepped)

    def _stepped(self, plane: Plane) -> None:
        """Aim at jobs that run; under the core's lock."""
        if not any(fault.times for fault in self._armed):
            return
        for executor in plane.ledger.executors.values():
            for job in executor.running:
                fault = self._find(job, "kill", "oom")
                if fault is not None and executor.number not in self._aimed:
                    self._aimed.add(executor.number)
                    self._aim(executor.number, job, fault)

    def _aim(self, executor: int, job: Job, fault: Fault) -> None:
        """Kill once the worker has certainly received the job."""
        assert self._host is not None
        moment = (job.started_at or 0.0) + RECEIVE_S
        self._host.clock.call_at(moment, lambda: self._shoot(executor, job, fault))

    def _shoot(self, executor: int, job: Job, fault: Fault) -> None:
        if fault.times > 0 and job.executor == executor:
            self._kill(executor, job, fault)
        self._aimed.discard(executor)

    def _kill(self, executor: int, job: Job, fault: Fault) -> None:
        assert self._host is not None
        if executor not in self._hit:
            fault.times -= 1
            self._hit[executor] = fault, job.number
            self._note(fault, job)
            self._host.agent.zygotes.signal(executor, signal.SIGKILL)

    def _find(self, job: Job, *kinds: str) -> Fault | None:
        armed = (f for f in self._armed if f.kind in kinds and f.aims_at(job))
        return next(armed, None)

    # --- the sieve ------------------------------------------------------------------------------

    def _take(self, fact: Input) -> None:
        if type(fact) is Reported:
            if fact.executor in self._hit or self._meddle(fact):
                return
        elif type(fact) is Ended:
            self._ended(fact)
        self._post(fact)

    def _meddle(self, fact: Reported) -> bool:
        """Whether a report is not to come through, or not now."""
        if not self._armed or self._host is None:
            return False
        job = self._host.plane.ledger.jobs.get(fact.job)
        fault = self._find(job, "kill", "oom", "drop", "delay") if job is not None else None
        if job is None or fault is None:
            return False
        if fault.chance < 1 and self._random.random() >= fault.chance:
            fault.times -= 1
            return False
        if fault.kind != "delay":
            self._kill(fact.executor, job, fault)
            return True
        fault.times -= 1
        self._note(fault, job)
        self._hold(self._host, fact, fault.delay_s)
        return True

    def _hold(self, host: Host, fact: Reported, delay_s: float) -> None:
        held_up = host.clock.held_up if isinstance(host.clock, VirtualClock) else set[int]()
        held_up.add(fact.executor)

        def release() -> None:
            held_up.discard(fact.executor)
            self._post(fact)

        host.clock.call_at(host.clock.now() + delay_s, release)

    def _ended(self, fact: Ended) -> None:
        fault, job = self._hit.pop(fact.executor, (None, 0))
        if fault is None or self._host is None:
            return
        if job in fact.unstarted:  # it had not even received the job: another time
            fault.times += 1
        elif fault.kind == "oom":
            executor = self._host.plane.ledger.executors[fact.executor]
            limit_mb = executor.function.spec.memory_mb
            fact.reason, fact.excess = "oom", Excess(limit_mb, limit_mb + 1, "a fault of the test")

    def _note(self, fault: Fault, job: Job) -> None:
        self.fallen.append(f"{fault.kind}: {job.job_id} {job.function.spec.name}()")


def _check_point(point: str) -> None:
    if point not in POINTS:
        raise UsageError(f"nothing can be lost at {point!r}; there are: {', '.join(POINTS)}")
