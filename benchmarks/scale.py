"""Many machines and many more jobs in virtual time: what a step costs, and who waits."""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from heapq import heappop, heappush
from typing import Any

JOB_S = 5.0
"""How long the shortest jobs take; the longest take twice as long."""
BEAT_S = 10.0
"""How often a machine is heard of."""
CORES = 4
"""Of each machine; a worker takes one."""
WORKERS = 32
"""Of each function: with more machines there are more functions, too."""
WARM_S = 30.0
"""After this long all workers are up, and steps are timed until the last job is submitted."""
LOAD = 0.9
"""How much of all machines the jobs need."""
EVERY = 50
"""One job in so many is of a function that needs a whole machine."""
COUNTED = 17
"""Of one step in so many it is counted what it calls; those are not timed."""


class Cost:
    """What steps of one kind have taken: seconds of a processor, and calls of functions."""

    def __init__(self) -> None:
        self.seconds, self.steps = 0.0, 0
        self.calls, self.counted = 0, 0

    @property
    def us(self) -> float:
        """Microseconds of a step."""
        return self.seconds / max(1, self.steps) * 1e6

    @property
    def each(self) -> float:
        """Calls in a step, of Python's functions and of C's."""
        return self.calls / max(1, self.counted)

    def count(self, _frame: Any, what: str, _arg: Any) -> None:
        """Something is called, perhaps."""
        self.calls += what in ("call", "c_call")


class Fleet:
    """Machines that take whatever they are given, and are heard of."""

    def __init__(self, machines: int) -> None:
        from apothic_backends.commands import RegisterFunction  # noqa: PLC0415 - only ours
        from apothic_backends.model.functions import FunctionSpec  # noqa: PLC0415
        from apothic_backends.model.payloads import Payload  # noqa: PLC0415
        from apothic_emulator.core.hellos import Capacity, Heard, Join  # noqa: PLC0415
        from apothic_emulator.core.plane import Plane  # noqa: PLC0415

        self.nothing, self.heard = Payload(b""), Heard
        self.plane = Plane("bench", has_home=False)
        self.now, self.steps, self.tokens = 0.0, 0, 0
        self.settled, self.waiting = Cost(), Cost()
        """Of steps before which nobody waited for a place; and of the others."""
        self.is_timed = False
        self.heap: list[tuple[float, int, Any]] = []
        self.waits: dict[str, float] = defaultdict(float)
        """The longest that a job of each function has waited."""
        self.answers: dict[int, Any] = {}
        self.queued: dict[int, float] = {}
        self.machines, self.functions = machines, machines * CORES // WORKERS
        limits = {"cpu": 1, "max_containers": WORKERS, "max_pending_tasks": 10**6}
        for number in range(self.functions):
            spec = FunctionSpec("bench", f"f{number}", **limits)
            self.ask(RegisterFunction(spec, self.nothing))
        whole = FunctionSpec("bench", "whole", **{**limits, "cpu": CORES, "max_containers": 10**4})
        self.ask(RegisterFunction(whole, self.nothing))
        for number in range(machines):
            welcome = self.ask(Join(f"m{number}", "1", Capacity(CORES, 16_384)))
            self.at(number / machines * BEAT_S, welcome)

    def at(self, moment: float, what: Any) -> None:
        """Bring that in then."""
        self.tokens += 1
        heappush(self.heap, (moment, self.tokens, what))

    def ask(self, command: Any) -> Any:
        """The reply to a command."""
        from apothic_emulator.core.facts import Asked  # noqa: PLC0415 - as above

        self.tokens += 1
        token = self.tokens
        self.step(Asked(command, token))
        return self.answers.pop(token)

    def step(self, item: Any) -> None:
        """One step, timed; what it wants done is done."""
        starved = self.plane.scheduler.agents.starved.values()
        cost = self.waiting if any(pool.queue for pool in starved) else self.settled
        self.steps += 1
        if not self.is_timed:
            outcome = self.plane.step([item], self.now)
        elif self.steps % COUNTED:
            before = time.thread_time()
            outcome = self.plane.step([item], self.now)
            cost.seconds += time.thread_time() - before
            cost.steps += 1
        else:
            sys.setprofile(cost.count)
            outcome = self.plane.step([item], self.now)
            sys.setprofile(None)
            cost.counted += 1
        for token, value, error in outcome.replies:
            if error is not None:
                raise error
            self.answers[token] = value
        for effect in outcome.effects:
            self.carry_out(effect)

    def carry_out(self, effect: Any) -> None:
        """Do what a machine would, and say so when it would have."""
        from apothic_emulator.core import effects as e, facts as f  # noqa: PLC0415 - as above

        if isinstance(effect, e.StartExecutor):
            self.at(self.now + 0.5, f.Loaded(effect.executor))
        elif isinstance(effect, e.Dispatch):
            self.at(self.now + 0.01, f.Accepted(effect.executor, effect.job, effect.attempt))
        elif isinstance(effect, e.Go):
            job = self.plane.ledger.jobs[effect.job]
            name = job.function.spec.name
            self.waits[name] = max(self.waits[name], self.now - self.queued.pop(effect.job))
            done = f.Reported(effect.executor, effect.job, job.attempt, self.nothing)
            self.at(self.now + JOB_S * (1 + effect.job % 11 / 10), done)
        elif isinstance(effect, e.Recall):
            self.at(self.now, f.Recalled(effect.executor, ()))
        elif isinstance(effect, (e.Retire, e.Kill)):
            self.at(self.now + 0.1, f.Ended(effect.executor, "exit"))

    def submit(self, number: int) -> None:
        """Queue a job of the function whose turn it is."""
        from apothic_backends.commands import SubmitJob  # noqa: PLC0415 - as above

        is_whole = number % EVERY == EVERY - 1
        function = self.functions + 1 if is_whole else number % self.functions + 1
        job_id = self.ask(SubmitJob(f"functions:{function}", self.nothing))
        self.queued.setdefault(int(job_id[5:]), self.now)

    def run(self, jobs: int) -> dict[str, float]:
        """Submit jobs evenly, and go on until all have ended: what that took, and who waited."""
        from apothic_emulator.core.facts import Asked, Reported, Tick  # noqa: PLC0415 - as above

        left, number = jobs, 0
        per_s = self.machines * CORES / (JOB_S * 1.5) * LOAD / (1 + (CORES - 1) / EVERY)
        while left:
            due = [self.heap[0][0] if self.heap else float("inf"), self.plane.alarm]
            submit_at = number / per_s if number < jobs else float("inf")
            self.now = max(self.now, min(*due, submit_at))
            self.is_timed = self.now > WARM_S and number < jobs  # while there is as much to do
            if submit_at <= self.now:
                self.submit(number)
                number += 1
            elif self.heap and self.heap[0][0] <= self.now:
                what = heappop(self.heap)[2]
                if isinstance(what, Reported):
                    left -= 1
                if hasattr(what, "session"):
                    self.at(self.now + BEAT_S, what)
                    self.tokens += 1
                    what = Asked(self.heard(what.agent, what.session, True), self.tokens)
                self.step(what)
            else:
                self.step(Tick())
            self.answers.clear()
        if self.queued:
            raise ValueError(f"{len(self.queued)} jobs never began")
        whole_s = self.waits.pop("whole")
        longest_s = max(self.waits.values())
        return {
            "us": self.settled.us,
            "calls": self.settled.each,
            "waiting_us": self.waiting.us,
            "waiting_calls": self.waiting.each,
            "longest_s": longest_s,
            "whole_s": whole_s,
        }
