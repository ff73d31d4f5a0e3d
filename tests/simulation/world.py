"""A discrete-event world in virtual time around a real control plane."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from apothic_backends.commands import ReadEvents, RegisterFunction, SubmitJob
from apothic_backends.model.errors import BackendClosed
from apothic_backends.model.payloads import Payload
from apothic_emulator.core import eventlog, executors, ledger
from apothic_emulator.core.check import check
from apothic_emulator.core.effects import (
    DumpStack,
    Effect,
    Interrupt,
    Kill,
    Outcome,
    Terminate,
    sent,
)
from apothic_emulator.core.eventlog import Subject
from apothic_emulator.core.executors import ExecutorStatus
from apothic_emulator.core.facts import Asked, Ended, GivenUp, Input, Origin, Tick
from apothic_emulator.core.jobs import Job
from apothic_emulator.core.journal import Journal
from apothic_emulator.core.plane import Plane
from tests.simulation.batches import Company
from tests.simulation.chance import CLIENT, draw
from tests.simulation.charges import Charges, a_dollar
from tests.simulation.clients import CLIENTS, Clients, Owed, ignore
from tests.simulation.disk import Disk
from tests.simulation.fleet import Fleet
from tests.simulation.history import History, sure
from tests.simulation.plan import CHAOS_S, CRASHES, EPOCH_S, Plan
from tests.simulation.restarts import Before
from tests.simulation.scheduling import Multiples, Scheduling
from tests.simulation.surroundings import Reply
from tests.simulation.timeline import NEVER, Timeline

END_S = EPOCH_S + CHAOS_S + 400.0
"""When every job must have ended and every watcher have seen it."""

MOST_STEPS = 30_000


class World(Timeline):
    """One run. Everything that happens is an event of its timeline, or follows from one."""

    def __init__(self, plan: Plan, *, check_every: int = 256, trace: bool = False) -> None:
        super().__init__(EPOCH_S)
        self.plan = plan
        self.history = History()
        self.scheduling = Scheduling(plan, self.history)
        self.company = Company(self.history)
        self.charges = Charges()
        self.disk = Disk() if "durable" in plan.features else None
        """What outlives the control plane, if anything does."""
        self.steps = self.restarts = 0
        self.fired: Counter[str] = Counter()
        self.depth: dict[int, int] = {}
        self.trace = 0
        self._is_traced = trace
        self._check_every = check_every
        self.inbox: deque[Input] = deque()
        self._armed: Counter[str] = Counter()
        self._paused_until = 0.0
        self._tick_at = NEVER
        self._ticks_in_a_row = 0
        self.owed: dict[int, Owed] = {}
        self._last_token = 0
        self._first_executor = 0
        """Whatever has a smaller number went down with its control plane."""
        self.is_healed = False
        self._batches = "batches" in plan.features
        self.plane = self._begin()
        self.fleet = Fleet(self, self.company)
        self.clients = Clients(self)

    def _begin(self) -> Plane:
        """A control plane that knows nothing yet."""
        journal = None if self.disk is None else Journal()
        epoch = f"sim{self.restarts or ''}"
        plane = Plane(epoch, calendar=Multiples(), journal=journal, price_of=a_dollar)
        self._tap(plane)
        return plane

    def _tap(self, plane: Plane) -> None:
        log, history, company = plane.ledger.events, self.history, self.company
        append = log.append

        def tapped(name: str, subject: Subject, at: float, attempt: int, more: Any = None) -> None:
            if name == "job.queued" and attempt == 1:
                history.is_new(subject)
            history.event(name, subject, at, more, log.seq + 1)
            self.scheduling.event(name, at, more)
            company.event(name, subject, at, more)
            self.charges.event(plane, name, subject, at)
            append(name, subject, at, attempt, more)

        log.append = tapped
        printed = plane.ledger.printed

        def tapped_text(job: Job, stream: str, text: str, now: float) -> bool:
            history.prints(job.number, stream, text)
            return printed(job, stream, text, now)

        plane.ledger.printed = tapped_text

    @property
    def owned(self) -> dict[int, set[int]]:
        """Jobs that end with an executor."""
        return self.fleet.owned

    # --- time -----------------------------------------------------------------------------------

    def run(self) -> None:
        """From the first event until nothing is left to happen."""
        with tuned(self.plan):
            self._introduce()
            for i, (when, op) in enumerate(self.plan.ops):
                self.at(when, self.clients.act, op, i)
            for fault in self.plan.faults:
                self.at(fault.at, self._fault, fault.kind)
            self.at(EPOCH_S + CHAOS_S, self._heal)
            self.charges.pay(self)
            self.at(END_S, self.clients.leave)
            while self.following != NEVER:
                self.happen()
                while self._batches and self.following == self.now:
                    self.happen()
                if self.inbox and self.now >= self._paused_until:
                    self.flush()
            self._final()

    def _introduce(self) -> None:
        """Say which functions there are, and which of them run by themselves."""
        for spec in (*self.plan.specs, self.plan.generator):
            self.ask(RegisterFunction(spec, Payload(b"code")), ignore, None)
        for command in self.scheduling.commands:
            self.ask(command, self.scheduling.started, None)

    def flush(self) -> None:
        """Step the core with all that has come in."""
        inbox = self.inbox
        while inbox:
            if self._batches:
                batch = list(inbox)
                inbox.clear()
            else:
                batch = [inbox.popleft()]
            self._step(batch)

    def _step(self, batch: list[Input]) -> None:
        plane = self.plane
        pending = [len(p.queue) + len(p.delayed) for p in plane.pools.values()]
        self.history.next_step()
        self.fleet.about_to_hear(batch)
        self.charges.next_step(plane, batch)
        before = Before(plane) if self._armed.get("crash_before_commit") else None
        outcome = plane.step(batch, self.now)
        self.steps += 1
        sure(self.steps < MOST_STEPS, "L1", "%d steps and no end", self.steps)
        if outcome.changes and not self._commit(outcome, before, batch):
            return
        self.charges.committed()
        self.charges.stepped(plane, outcome.effects)
        for token, value, error in outcome.replies:
            self._replied(token, value, error)
        for effect in outcome.effects:
            if isinstance(effect, Terminate | Kill):
                self.history.dies(effect.executor)
            elif isinstance(effect, Interrupt | DumpStack):
                self._check_stop(effect.executor, outcome.effects, is_single=len(batch) == 1)
        for item in batch:
            self._was_stepped(item)
        for effect in outcome.effects:
            self.fleet.carry_out(effect)
        if self._is_traced:
            self._trace(outcome.replies, outcome.effects)
        if self.steps % self._check_every == 0:
            check(plane)
            self._audit(pending, batch)
        self._wake()

    def _wake(self) -> None:
        alarm = self.plane.alarm
        if alarm < self._tick_at:
            self._tick_at = alarm
            self.at(alarm, self._tick, alarm)

    def _check_stop(self, executor: int, effects: list[Effect], *, is_single: bool) -> None:
        known = self.plane.ledger.executors.get(executor)
        if known is not None and known.loaded:
            mine = [effect for effect in effects if effect.executor == executor]
            jobs = [job for effect in mine for job in sent(effect)]
            self.history.stopped(executor, self.now, jobs)
            if known.takes_batches and is_single:
                self.company.stopped(executor, self.now, mine)

    def _audit(self, pending: list[int], batch: list[Input]) -> None:
        """What can be seen from the core's own books only."""
        is_asked = len(batch) == 1 and isinstance(batch[0], Asked)
        for before, pool in zip(pending, self.plane.pools.values(), strict=False):
            most = pool.function.spec.max_pending_tasks
            after = len(pool.queue) + len(pool.delayed)
            sure(not is_asked or after <= max(most, before), "I12", "%d jobs pending", after)
            for executor in pool.executors.values():
                line, is_slow = executor.line, False
                if executor.status is ExecutorStatus.READY and len(line) > executor.slots:
                    is_slow = self.now - (line[0].started_at or self.now) > 1.0
                is_free = not executor.recalling and "large" not in self.plan.features
                sure(not (is_slow and is_free), "L1", "%s waits behind a slow call", line[-1:])

    def _trace(self, replies: list[Any], effects: list[Effect]) -> None:
        told = (
            round(self.now * 1e6),
            *(int(token) for token, _, _ in replies),
            *(n for e in effects for n in (len(type(e).__name__), e.executor)),
        )
        for number in told:
            self.trace = (self.trace * 1_000_003 ^ number) & ((1 << 64) - 1)

    def _tick(self, planned: float) -> None:
        if planned != self._tick_at:
            return
        if self.now < self._paused_until:
            self.at(self._paused_until, self._tick, planned)
            return
        self._tick_at = NEVER
        plane = self.plane
        if plane.alarm <= self.now:
            self.flush()
            if self.plane is not plane:
                return  # it has crashed, and the next one has an alarm of its own
            self._step([Tick()])
            if self.plane is not plane:
                return
            self.scheduling.ticked(self.now)
            is_stuck = plane.alarm <= self.now
            self._ticks_in_a_row = self._ticks_in_a_row + 1 if is_stuck else 0
            sure(self._ticks_in_a_row < 20, "L6", "the alarm never rests")
        self._wake()

    # --- between the core and the rest ----------------------------------------------------------

    def send(self, item: Input) -> None:
        """Something for the core."""
        if getattr(item, "executor", self._first_executor) >= self._first_executor:
            self.inbox.append(item)

    def ask(self, command: Any, reply: Reply, origin: Origin | None, client: int = -1) -> int:
        """Ask for something, and have the reply taken by somebody."""
        self._last_token += 1
        token = self._last_token
        executor = origin.executor if origin is not None else 0
        self.owed[token] = Owed(command, reply, client, executor)
        self.inbox.append(Asked(command, token, origin))
        return token

    def _replied(self, token: object, value: object, error: BaseException | None) -> None:
        assert isinstance(token, int)
        owed = self.owed.pop(token, None)
        sure(owed is not None, "I1", "a reply to %d, which nobody waits for", token)
        assert owed is not None
        if error is not None:
            self.history.refused(error, 0, is_held=False)
        elif isinstance(owed.command, SubmitJob):
            self.history.promised(int(str(value)[5:]), is_kept=not owed.command.owned)
        self.history.saw(value)
        owed.reply(value, error)

    def _was_stepped(self, item: Input) -> None:
        """What the core knows from now on."""
        self.fleet.heard(item)
        if isinstance(item, GivenUp):
            assert isinstance(item.token, int)
            self.owed.pop(item.token, None)
        elif isinstance(item, Ended):
            late = {asked.token for asked in self.inbox if isinstance(asked, Asked)}
            for token, owed in list(self.owed.items()):
                if owed.executor == item.executor and token not in late:
                    del self.owed[token]

    # --- faults ---------------------------------------------------------------------------------

    def falls(self, kind: str) -> bool:
        """Whether a fault of that kind is due here and now."""
        armed = self._armed
        if not armed or not armed.get(kind):
            return False
        armed[kind] -= 1
        self.fired[kind] += 1
        return True

    def _fault(self, kind: str) -> None:
        chance = draw(self.plan.seed, CLIENT, 1_000_000 + self.planned)
        if kind in CRASHES and self.disk is None:
            return
        if kind == "crash":
            self._restart(Before(self.plane))
        elif kind == "late_tick":
            self._paused_until = self.now + 30.0
            self.at(self._paused_until, ignore)
        elif kind == "early_tick":
            self.send(Tick())
        elif kind == "client_vanish":
            self.clients.vanish(chance % CLIENTS)
        elif kind == "dead_asks":
            self.ask(ReadEvents(), ignore, Origin(10_000_000, 1))
        elif kind == "sigstop":
            if not self.fleet.processes:
                return
            numbers = sorted(self.fleet.processes)
            self.fleet.processes[numbers[chance % len(numbers)]].freeze()
        else:
            self._armed[kind] += 1
            return
        self.fired[kind] += 1

    def cancel_at(self, when: float, job: int) -> None:
        """Have somebody stop a job."""
        self.at(when, self.clients.cancel, job)

    def _commit(self, outcome: Outcome, before: Before | None, batch: list[Input]) -> bool:
        """Keep what a step has changed; whether anybody will hear of it."""
        assert self.disk is not None
        if before is not None and self.falls("crash_before_commit"):
            self._restart(before)
            return False
        self.disk.keep(outcome.changes)
        self.scheduling.committed()
        self.charges.committed()
        if self.falls("crash_after_commit"):
            self.fleet.kept(batch)
            self._restart(Before(self.plane))
            return False
        return True

    def _restart(self, before: Before) -> None:
        """The program is killed with all that it has started, and another one takes over."""
        assert self.disk is not None
        self.restarts += 1
        self.inbox.clear()
        owed, self.owed = self.owed, {}
        self.fleet.end_all()
        self.history.restarted(before.jobs, before.under_way)
        self.scheduling.restarted()
        self.charges.restarted()
        last, self.plane = self.plane, self._begin()
        self.plane.scheduler.number_after(last.scheduler.last_executor)
        self._first_executor = self.fleet.last + 1
        self.plane.load(list(self.disk.records.items()), self.now)
        before.compare(self.plane, self.now)
        self.history.goes_on(before.ended)
        self.clients.restarted()
        self._introduce()
        gone = BackendClosed("the control plane was killed")
        for it in owed.values():
            if not it.executor:
                self.at(self.now + 0.01, it.reply, None, gone)
        self._tick_at = NEVER
        self._step([Tick()])

    def _heal(self) -> None:
        self._armed.clear()
        self.is_healed = True
        for stop in self.scheduling.stops:
            self.ask(stop, self.scheduling.stopped, None)
        for process in self.fleet.processes.values():
            process.thaw()

    # --- the end --------------------------------------------------------------------------------

    def _final(self) -> None:
        plane = self.plane
        check(plane)
        left = [job.job_id for job in plane.ledger.jobs.values() if not job.is_final]
        sure(not left, "L1", "%s never ended", left)
        sure(not plane.ledger.waits, "I1", "%d waits are left", len(plane.ledger.waits))
        is_empty = not plane.ledger.executors and not self.fleet.processes
        sure(is_empty, "L6", "executors are left")
        sure(plane.ledger.payload_bytes == 0, "L6", "payload bytes are left")
        sure(plane.alarm == NEVER, "L6", "an alarm is left")
        self.charges.compare(plane.costs)
        self.history.close()


@contextmanager
def tuned(plan: Plan) -> Generator[None]:
    """Limits so small that a run of a minute meets them."""
    before = eventlog.RETAINED, executors.LOAD_S, executors.BUILD_S, ledger.KEPT_JOBS
    eventlog.RETAINED = 50 if "far_reader" in plan.features else before[0]
    executors.LOAD_S, executors.BUILD_S = 3.0, 10.0
    ledger.KEPT_JOBS = 20 if "short_memory" in plan.features else before[2]
    try:
        yield
    finally:
        eventlog.RETAINED, executors.LOAD_S, executors.BUILD_S, ledger.KEPT_JOBS = before
