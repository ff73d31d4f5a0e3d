"""Agents in virtual time: both real ends of the protocol, over links that cut, delay and duplicate.

A control plane with its records and agents with their executors, each of which is killed and
starts again at any moment. `python -m tests.simulation.agents FIRST END` runs many.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

from apothic_backends.commands import CancelJob, RegisterFunction, RunJob, SubmitJob
from apothic_backends.commands.queues import OpenQueue, PeekItems
from apothic_backends.model.functions import FunctionSpec, RetryPolicy
from apothic_backends.model.jobs import JobStatus
from apothic_backends.model.payloads import Payload
from apothic_backends.model.queues import split
from apothic_emulator.agent.remote import Fleet
from apothic_emulator.core import effects as e
from apothic_emulator.core.check import check
from apothic_emulator.core.facts import Asked, Input, Tick
from apothic_emulator.core.journal import Journal
from apothic_emulator.core.plane import Plane
from tests.simulation import seeds
from tests.simulation.chance import draw, pick
from tests.simulation.charges import a_dollar
from tests.simulation.history import sure
from tests.simulation.links import Link
from tests.simulation.machines import LONGEST_S, Executor, Machine
from tests.simulation.shares import Shares

LEASE_S = 30.0
CHAOS_S, END_S = 600.0, 1600.0
AGENTS = 3
CHECK_EVERY = 8
FAULTS = (
    "cut",
    "cut",
    "silence",
    "silence",
    "kill_agent",
    "restart",
    "restart",
    "restart",
    "crash",
    "crash",
    "crash",
    "crash_on_code",
    "kill_executor",
    "drain",
    "twice",
    "slow",
    "lose_gpu",
    "lose_gpu",
)
RETRIES = (0, 0, 2, 0, 2, 2)
"""Of each function."""


class Reply:
    """Where a reply goes; none does to a plane that has ended."""

    done = False

    def __init__(self, told: Callable[[Any], None], refused: Callable[[Any], None]) -> None:
        self.told, self.refused = told, refused

    def complete(self, value: Any) -> bool:
        self.told(value)
        return True

    def fail(self, error: Any) -> bool:
        self.refused(error)
        return True


class NoHome:
    """Nothing runs here."""

    def carry_out(self, effect: Any, touched: set[Any]) -> None:
        assert not isinstance(effect, (e.StartExecutor, e.Dispatch, e.Go)), effect


class World:
    """One run."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.now = 100.0
        self.heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self.events = self.draws = self.epoch = self.steps = 0
        self.records: dict[str, bytes] = {}
        self.links: list[Link] = []
        self.armed: Counter[str] = Counter()
        self.reached: Counter[str] = Counter()
        self.running: dict[int, tuple[int, Executor]] = {}
        self.begun: Counter[int] = Counter()
        self.alone: dict[int, float] = {}
        """When jobs began that have an executor for themselves, and one attempt ..."""
        self.took: dict[int, float] = {}
        """... and how long those took that have ended by themselves, by the clock there."""
        self.finished: dict[int, set[int]] = {}
        self.told: set[int] = set()
        """Jobs of which it is written down that they were told to begin."""
        self.acknowledged: dict[int, int] = {}
        self.final: dict[int, str] = {}
        self.endless: dict[int, bool] = {}
        """Jobs that go on until they are cancelled, and whether that is acknowledged."""
        self.put: list[bytes] = []
        """What code was told to be in the queue."""
        self.calm = draw(seed, 60, 0) % 6 == 0
        self.inbox: deque[Input] = deque()
        self.is_pumping = False
        self.shares = Shares(self)
        self.specs = [
            FunctionSpec(
                "sim",
                f"f{i}",
                retries=RetryPolicy(retries, 0.0),
                concurrent_requests=(1, 2, 1, 1, 1, 1)[i],
                max_containers=4,
                memory_mb=(1024, 2048, 1024, 1024, 1024, 512)[i],
                timeout_s=(9000.0, 9000.0, 20.0, 9000.0, 60.0, 9000.0)[i],
                gpu=((), (), (), ("H100", "T4"), (), ())[i],
                gpu_count=(0, 0, 0, 1, 2, 1)[i],
                gpu_share=i == 5,
                min_vram_gb=8 if i == 5 else 0,
            )
            for i, retries in enumerate(RETRIES)
        ]

    def at(self, when: float, what: Callable[..., None], *args: Any) -> None:
        self.events += 1
        heappush(self.heap, (when, self.events, what, args))

    def counted(self) -> int:
        self.draws += 1
        return self.draws

    def falls(self, kind: str) -> bool:
        if self.armed[kind]:
            self.armed[kind] -= 1
            self.reached[kind] += 1
            return True
        return False

    # --- the run --------------------------------------------------------------------------------

    def run(self) -> None:
        self.open()
        for spec in self.specs:
            self.ask(RegisterFunction(spec, Payload(spec.name.encode())), _ignore, _ignore)
        self.ask(OpenQueue("sim"), _ignore, _ignore)
        self.machines = [Machine(self, i) for i in range(AGENTS)]
        for i in range(180):
            self.at(100.0 + draw(self.seed, 61, i) % 6000 * CHAOS_S / 6000, self.client, i)
        for i in range(0 if self.calm else 30):
            kind = pick(self.seed, 62, i, FAULTS)
            self.at(100.0 + draw(self.seed, 63, i) % 6000 * CHAOS_S / 6000, self.fault, kind, i)
        while self.heap and self.now < END_S:
            self.now, _, what, args = heappop(self.heap)
            what(*args)
        self.judge()

    def open(self) -> None:
        self.epoch += 1
        self.inbox.clear()
        self.plane = Plane(
            f"p{self.epoch}",
            1000.0,
            journal=Journal(),
            has_home=False,
            lease_s=LEASE_S,
            price_of=a_dollar,
        )
        self.fleet = Fleet(NoHome(), self.inbox.append)
        self.plane.load(list(self.records.items()), self.now)
        self.inbox.append(Tick())  # the first thing that a host does

    def restart(self) -> None:
        """The control plane is killed, and the next one knows what was committed."""
        self.reached["restarted"] += 1
        for link in list(self.links):
            link.is_up = False
            link.machine.after(0.1 + link.machine.chance(30) / 10, link.machine.dial)
        self.links.clear()
        self.open()

    def ask(
        self, command: Any, told: Callable[[Any], None], refused: Callable[[Any], None]
    ) -> None:
        epoch = self.epoch
        reply = Reply(
            lambda it: told(it) if epoch == self.epoch else None,
            lambda it: refused(it) if epoch == self.epoch else None,
        )
        self.inbox.append(Asked(command, reply))
        self.pump()

    def pump(self) -> None:
        if self.is_pumping:
            return
        self.is_pumping = True
        try:
            while self.inbox:
                self.step(self.inbox.popleft())
        finally:
            self.is_pumping = False

    def step(self, item: Input) -> None:
        outcome = self.plane.step([item], self.now)
        if self.falls("restart"):
            self.restart()  # before anything was written down
            return
        for key, record in outcome.changes:
            if record is None:
                self.records.pop(key, None)
            else:
                self.records[key] = record
        self.told.update(it.job for it in outcome.effects if isinstance(it, e.Go))
        self.steps += 1
        if self.steps % CHECK_EVERY == 0:
            check(self.plane)
            self.look()
        elif any(isinstance(it, (e.Kill, e.Retire)) for it in outcome.effects):
            self.shares.look(self.plane)
        is_code = isinstance(item, Asked) and item.origin is not None
        if self.falls("crash") or (is_code and self.falls("crash_on_code")):
            self.restart()  # and before anybody heard of it
            return
        touched: set[Any] = set()
        for effect in outcome.effects:
            if isinstance(effect, e.StartExecutor):
                agent = self.plane.fleet.agents.far[effect.agent]
                sure(not agent.is_draining, "I12", "%s, and its agent leaves", effect)
            self.fleet.carry_out(effect, touched)
        for one in touched:
            self.fleet.flush(one)
        for token, value, error in outcome.replies:
            reply: Any = token
            if error is not None:
                reply.fail(error)
            else:
                reply.complete(value)
        self.arm(self.plane.alarm)

    def arm(self, moment: float) -> None:
        if moment < float("inf"):
            self.at(max(moment, self.now), self.tick, self.epoch)

    def tick(self, epoch: int) -> None:
        if epoch == self.epoch and self.plane.alarm <= self.now:
            self.inbox.append(Tick())
            self.pump()

    def client(self, i: int) -> None:
        function = f"functions:{draw(self.seed, 64, i) % len(RETRIES) + 1}"
        command = RunJob if draw(self.seed, 65, i) % 4 == 0 else SubmitJob
        if command is RunJob:
            self.ask(RunJob(function, Payload(b"x")), _ignore, _ignore)
            return

        def known(job_id: Any) -> None:
            job = int(job_id[5:])
            self.acknowledged[job] = int(function[10:]) - 1
            if i % 9 == 0:
                self.endless[job] = False
                self.at(self.now + 2.0, self.cancel, job, not self.calm and job % 3 == 0)

        self.ask(SubmitJob(function, Payload(b"x")), known, _ignore)

    def cancel(self, job: int, is_fatal: bool) -> None:
        """Ask until it is acknowledged; the control plane may die once it is written down."""
        if not self.endless[job]:
            self.armed["crash"] += is_fatal
            told = {job: True}
            self.ask(CancelJob(f"jobs:{job}"), lambda _: self.endless.update(told), _ignore)
            self.at(self.now + 5.0, self.cancel, job, False)

    def fault(self, kind: str, i: int) -> None:
        machine = self.machines[draw(self.seed, 66, i) % AGENTS]
        link = machine.link
        if kind in ("twice", "slow", "restart", "crash", "crash_on_code"):
            self.armed[kind] += 60 if kind == "twice" else 1
        elif kind == "kill_agent" and machine.is_alive:
            self.reached[kind] += 1
            machine.die()
        elif kind == "drain" and machine.is_alive:
            self.reached[kind] += 1
            machine.outpost.drain()
            machine.write()
        elif kind == "lose_gpu" and machine.is_alive and machine.outpost.capacity.gpus:
            self.reached[kind] += 1
            machine.lose_gpu(i)
            machine.write()
        elif kind == "kill_executor" and machine.executors:
            self.reached[kind] += 1
            executor = next(iter(machine.executors.values()))
            machine.after(0.0, executor.die)
        elif link is not None and link.is_up and kind == "cut":
            self.reached[kind] += 1
            link.cut()
        elif link is not None and link.is_up and kind == "silence":
            self.reached[kind] += 1
            link.is_silent = True
            self.at(self.now + (5.0, 40.0, 120.0)[i % 3], link.cut)

    # --- what must be true ----------------------------------------------------------------------

    def begins(self, job: int, attempt: int, executor: Executor) -> None:
        before = self.running.get(job)
        is_over = before is None or before[1].running.get(job) != before[0]
        is_kept = job in self.plane.ledger.jobs
        sure(is_over or not is_kept, "I5", "jobs:%d runs in two places", job)
        self.running[job] = attempt, executor
        self.begun[job] += 1
        if executor.name == "f0":
            self.alone[job] = self.now

    def finishes(self, job: int, attempt: int) -> None:
        self.finished.setdefault(job, set()).add(attempt)
        self.leaves(job)

    def leaves(self, job: int) -> None:
        if job in self.alone:
            self.took[job] = (self.now - self.alone[job]) * self.running[job][1].machine.rate

    def look(self) -> None:
        self.shares.look(self.plane)
        for number in self.acknowledged:
            job = self.plane.ledger.jobs.get(number)
            sure(job is not None, "I1", "jobs:%d was acknowledged and is gone", number)
            assert job is not None
            if job.is_final:
                told = f"{job.status.value} {job.result and job.result.data}"
                first = self.final.setdefault(number, told)
                sure(first == told, "I3", "jobs:%d was %s and is %s", number, first, told)

    def judge(self) -> None:
        there: list[bytes] = []
        self.ask(PeekItems("sim", 10_000), lambda it: there.extend(_apart(it)), _ignore)
        twice = [name for name, count in Counter(there).items() if count > 1]
        sure(not twice, "I5", "%s was put twice", twice)
        sure(set(self.put) <= set(there), "I1", "%s was put and is gone", self.put)
        known = self.plane.ledger.executors
        strangers = [n for machine in self.machines for n in machine.executors if n not in known]
        sure(not strangers, "I12", "executors %s work for nobody", strangers)
        for number, function in self.acknowledged.items():
            job = self.plane.ledger.jobs[number]
            sure(job.is_final, "L1", "jobs:%d has not ended: %s", number, job.status)
            self.reached[job.status.value] += 1
            if not RETRIES[function]:
                sure(job.status is not JobStatus.TIMED_OUT, "L1", "jobs:%d was not told", number)
                sure(
                    self.begun[number] <= 1,
                    "I5",
                    "jobs:%d began %d times",
                    number,
                    self.begun[number],
                )
            if job.status is JobStatus.SUCCEEDED:
                wanted = b"%d %d" % (number, job.attempt)
                sure(job.result is not None and job.result.data == wanted, "I4", "jobs:%d", number)
                sure(job.attempt in self.finished[number], "I4", "jobs:%d never finished", number)
            if job.status is JobStatus.LOST:
                sure(not self.calm, "I7", "jobs:%d was lost, and nothing went wrong", number)
                may_have_run = number in self.told or self.begun[number]
                sure(may_have_run, "I7", "jobs:%d was lost, and never began", number)
            sure(not self.calm or job.losses == 0, "I7", "jobs:%d was charged for nothing", number)

        self.judge_costs()
        self.shares.judge(self.plane)

    def judge_costs(self) -> None:
        """Each attempt costs what it took there, or what it ran until it was known to be lost."""
        rows = [row for row in self.plane.costs.rows.values() if "f0" in row.names]
        charged = sum(row.us for row in rows) / 1e6
        jobs = self.plane.ledger.jobs
        done = [j for j in self.took if j in jobs and jobs[j].status is JobStatus.SUCCEEDED]
        least = sum(self.took[j] for j in done if j in self.acknowledged) / 1.04  # or our clock
        unsure = len(self.alone) - len(self.took if self.calm else done)
        most = sum(self.took.values()) + unsure * (LONGEST_S + LEASE_S) * 1.06
        slack = 0.01 * len(self.alone)
        sure(least - slack <= charged, "P1", "%g s, and %g are charged", least, charged)
        sure(charged <= most + slack, "P1", "at most %g s, %g are charged", most, charged)


def _apart(found: Any) -> list[bytes]:
    """The items of a reply."""
    return split(found.items, found.count) if found.count else []


def _ignore(_: Any) -> None: ...


def failure_of(seed: int) -> str:
    """What is wrong in the run of a seed; nothing if nothing is."""
    return seeds.trouble(lambda it: World(it).run(), seed)


if __name__ == "__main__":
    seeds.main(failure_of)
