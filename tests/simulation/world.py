"""A discrete-event world in virtual time around a real control plane."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Generator
from contextlib import contextmanager
from heapq import heappop, heappush
from typing import Any

from apothic_backends.commands import (
    CancelJob,
    GetJob,
    GetJobLogs,
    KeepJob,
    ReadEvents,
    RegisterFunction,
    ReleaseJob,
    RunJob,
    SubmitJob,
    WaitJob,
)
from apothic_backends.model.events import ALL_JOBS, Cursor, EventBatch
from apothic_backends.model.payloads import Payload
from apothic_emulator.core import eventlog, executors, ledger
from apothic_emulator.core.check import check
from apothic_emulator.core.effects import (
    Credit,
    Dispatch,
    DispatchBatch,
    DumpStack,
    Effect,
    Interrupt,
    Kill,
    Recall,
    Retire,
    StartExecutor,
    Terminate,
    sent,
)
from apothic_emulator.core.eventlog import Subject
from apothic_emulator.core.executors import ExecutorStatus
from apothic_emulator.core.facts import (
    Asked,
    Ended,
    GivenUp,
    Input,
    Origin,
    Recalled,
    Reported,
    Tick,
)
from apothic_emulator.core.jobs import Job
from apothic_emulator.core.plane import Plane
from apothic_emulator.core.pools import RoomWait
from tests.simulation.batches import Company, process_of
from tests.simulation.chance import CLIENT, WATCH, draw, pick
from tests.simulation.history import History, Violation, sure
from tests.simulation.plan import CHAOS_S, DEPTH, EPOCH_S, Plan
from tests.simulation.processes import Process, Reply
from tests.simulation.scheduling import Multiples, Scheduling
from tests.simulation.streaming import Reader
from tests.simulation.watching import Watcher

NEVER = float("inf")
END_S = EPOCH_S + CHAOS_S + 400.0
"""When every job must have ended and every watcher have seen it."""

MOST_STEPS = 30_000
CLIENTS = 4


class World:
    """One run. Everything that happens is an event in `_heap`, or follows from one."""

    def __init__(self, plan: Plan, *, check_every: int = 256, trace: bool = False) -> None:
        self.plan = plan
        self.plane = Plane("sim", calendar=Multiples())
        self.history = History()
        self.scheduling = Scheduling(plan, self.history)
        self.company = Company(self.history)
        self.now = EPOCH_S
        self.steps = 0
        self.fired: Counter[str] = Counter()
        self.depth: dict[int, int] = {}
        self.processes: dict[int, Process] = {}
        self.trace = 0
        self._is_traced = trace
        self._check_every = check_every
        self._heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._events = 0
        self._inbox: deque[Input] = deque()
        self._armed: Counter[str] = Counter()
        self._paused_until = 0.0
        self._tick_at = NEVER
        self._ticks_in_a_row = 0
        self._tokens: dict[int, tuple[Reply, int, int]] = {}
        """Replies that are owed: who takes them, by client, and by executor."""
        self._last_token = 0
        self._mine: list[int] = []
        """Jobs of clients."""
        self._held: set[int] = set()
        """Those of them whose handle nobody has given up."""
        self.owned: dict[int, set[int]] = {}
        """Jobs that end with an executor, because its code waits for them."""
        self._ends: dict[int, Ended] = {}
        self._reading: dict[int, Watcher] = {}
        self._used_up: list[Process] = []
        """Those that have said in this very step that they take nothing more."""
        self.is_healed = False
        self._batches = "batches" in plan.features
        self._tap()

    def _tap(self) -> None:
        log, history, company = self.plane.ledger.events, self.history, self.company
        append = log.append

        def tapped(name: str, subject: Subject, at: float, attempt: int, more: Any = None) -> None:
            history.event(name, subject, at, more)
            self.scheduling.event(name, at, more)
            company.event(name, subject, at, more)
            append(name, subject, at, attempt, more)

        log.append = tapped
        printed = self.plane.ledger.printed

        def tapped_text(job: Job, stream: str, text: str, now: float) -> bool:
            history.prints(job.number, stream, text)
            return printed(job, stream, text, now)

        self.plane.ledger.printed = tapped_text

    # --- time -----------------------------------------------------------------------------------

    def at(self, when: float, what: Callable[..., None], *args: Any) -> None:
        self._events += 1
        heappush(self._heap, (when, self._events, what, args))

    def run(self) -> None:
        """From the first event until nothing is left to happen."""
        with tuned(self.plan):
            for spec in (*self.plan.specs, self.plan.generator):
                self.ask(RegisterFunction(spec, Payload(b"code")), _ignore, None)
            for command in self.scheduling.commands:
                self.ask(command, self.scheduling.started, None)
            for i, (when, op) in enumerate(self.plan.ops):
                self.at(when, self._act, op, i)
            for fault in self.plan.faults:
                self.at(fault.at, self._fault, fault.kind)
            self.at(EPOCH_S + CHAOS_S, self._heal)
            self.at(END_S, self._end)
            heap = self._heap
            while heap:
                when, _, what, args = heappop(heap)
                self.now = when
                what(*args)
                while self._batches and heap and heap[0][0] == when:
                    _, _, what, args = heappop(heap)
                    what(*args)
                if self._inbox and when >= self._paused_until:
                    self._flush()
            self._final()

    def _flush(self) -> None:
        inbox = self._inbox
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
        for process in self._used_up:
            process.told_to_end = True
        self._used_up.clear()
        for item in batch:
            if isinstance(item, Ended):
                self.history.dies(item.executor)
                self.history.asked_to_cancel.update(self.owned.pop(item.executor, ()))
        outcome = plane.step(batch, self.now)
        self.steps += 1
        sure(self.steps < MOST_STEPS, "L1", "%d steps and no end", self.steps)
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
            self._carry_out(effect)
        if self._is_traced:
            self._trace(outcome.replies, outcome.effects)
        if self.steps % self._check_every == 0:
            check(plane)
            self._audit(pending, batch)
        if plane.alarm < self._tick_at:
            self._tick_at = plane.alarm
            self.at(max(plane.alarm, self.now), self._tick, plane.alarm)

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
        alarm = self.plane.alarm
        if alarm <= self.now:
            self._flush()
            self._step([Tick()])
            self.scheduling.ticked(self.now)
            is_stuck = self.plane.alarm <= self.now
            self._ticks_in_a_row = self._ticks_in_a_row + 1 if is_stuck else 0
            sure(self._ticks_in_a_row < 20, "L6", "the alarm never rests")
        if self._tick_at == NEVER and self.plane.alarm != NEVER:
            self._tick_at = self.plane.alarm
            self.at(max(self._tick_at, self.now), self._tick, self._tick_at)

    # --- between the core and the rest ----------------------------------------------------------

    def send(self, item: Input) -> None:
        self._inbox.append(item)

    def ask(self, command: Any, reply: Reply, origin: Origin | None, client: int = -1) -> int:
        self._last_token += 1
        token = self._last_token
        self._tokens[token] = reply, client, origin.executor if origin is not None else 0
        self._inbox.append(Asked(command, token, origin))
        return token

    def _replied(self, token: object, value: object, error: BaseException | None) -> None:
        assert isinstance(token, int)
        owed = self._tokens.pop(token, None)
        sure(owed is not None, "I1", "a reply to %d, which nobody waits for", token)
        assert owed is not None
        if error is not None:
            self.history.refused(error, 0, is_held=False)
        self.history.saw(value)
        owed[0](value, error)

    def _was_stepped(self, item: Input) -> None:
        """What the core knows from now on."""
        if isinstance(item, Reported):
            process = self.processes.get(item.executor)
            if process is not None and process.retired:
                self._used_up += [process] if item.retire else []
            self.company.reported(item)
            self._take_off(item.executor, item.job, item.attempt)
        elif isinstance(item, Recalled):
            for job in item.jobs:
                self._take_off(item.executor, job, self.history.dispatched[job][0])
        elif isinstance(item, GivenUp):
            assert isinstance(item.token, int)
            self._tokens.pop(item.token, None)
        elif isinstance(item, Ended):
            self._ends.pop(item.executor, None)
            for job, executor in list(self.history.holder.items()):
                if executor == item.executor:
                    self.history.let_go(job, executor)
            late = {asked.token for asked in self._inbox if isinstance(asked, Asked)}
            for token, (_, _, executor) in list(self._tokens.items()):
                if executor == item.executor and token not in late:
                    del self._tokens[token]

    def _take_off(self, executor: int, job: int, attempt: int) -> None:
        if self.history.dispatched.get(job) == (attempt, executor):
            self.history.let_go(job, executor)
            process = self.processes.get(executor)
            if process is not None:
                process.line -= 1

    def _carry_out(self, effect: Effect) -> None:
        if isinstance(effect, StartExecutor):
            self._check_containers(effect)
            self.processes[effect.executor] = process_of(self, effect)
            return
        process = self.processes.get(effect.executor)
        if process is None:
            self._too_late(effect)
            return
        match effect:
            case Dispatch():
                process.line += 1
                sure(not process.told_to_end, "I12", "%s to an ending process", effect)
                self.history.dispatch(effect, process.spec, process.line)
                process.dispatch(effect)
            case DispatchBatch():
                self.company.dispatched(effect, process.spec, self.now)
                sure(not process.told_to_end, "I12", "%s to an ending process", effect)
                process.line += len(effect.jobs)
                for one in effect.jobs:
                    self.history.dispatch(one, process.spec, process.line)
                process.dispatch(*effect.jobs)
            case Recall():
                process.recall()
            case Interrupt():
                process.interrupt(effect)
            case Credit():
                process.credit(effect)
            case DumpStack():
                process.told_to_end = process.told_to_end or not process.loaded
                process.dump_stack()
            case Terminate():
                self.history.dies(effect.executor)
                self.history.innocent.update(process.running.keys())
                process.terminate()
            case Kill():
                self.history.dies(effect.executor)
                self.history.innocent.update(process.running.keys())
                process.kill()
            case Retire():
                process.retire()
            case _:
                raise Violation("I15", f"{effect}, and there is no agent")

    def _too_late(self, effect: Effect) -> None:
        """The process is gone, and the core is about to hear of it."""
        end = self._ends.get(effect.executor)
        if end is None:
            raise Violation("I15", f"{effect} for a process that has ended")
        end.unstarted = (*end.unstarted, *sent(effect))
        for one in effect.jobs if isinstance(effect, DispatchBatch) else (effect,):
            if isinstance(one, Dispatch):
                self.history.dispatch(one, self.plan.specs[0], 0)

    def _check_containers(self, effect: StartExecutor) -> None:
        alive = [p for p in self.processes.values() if p.function == effect.function]
        count = sum(1 for p in alive if not p.told_to_end and not p.retired) + 1
        most = effect.spec.max_containers
        if "nested" in self.plan.features:
            most *= 2 * DEPTH + 2
        sure(count <= most, "I12", "%d containers of %s", count, effect.spec.name)

    def gone(self, process: Process, end: Ended) -> None:
        del self.processes[process.number]
        self._ends[process.number] = end

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
        chance = draw(self.plan.seed, CLIENT, 1_000_000 + self._events)
        if kind == "late_tick":
            self._paused_until = self.now + 30.0
            self.at(self._paused_until, _ignore)
        elif kind == "early_tick":
            self.send(Tick())
        elif kind == "client_vanish":
            self._vanish(chance % CLIENTS)
        elif kind == "dead_asks":
            self.ask(ReadEvents(), _ignore, Origin(10_000_000, 1))
        elif kind == "sigstop":
            if not self.processes:
                return
            numbers = sorted(self.processes)
            self.processes[numbers[chance % len(numbers)]].freeze()
        else:
            self._armed[kind] += 1
            return
        self.fired[kind] += 1

    def _heal(self) -> None:
        self._armed.clear()
        self.is_healed = True
        for stop in self.scheduling.stops:
            self.ask(stop, self.scheduling.stopped, None)
        for process in self.processes.values():
            process.thaw()

    # --- clients --------------------------------------------------------------------------------

    def _act(self, op: str, i: int) -> None:
        chance = draw(self.plan.seed, CLIENT, i)
        function, client = (chance >> 8) % len(self.plan.specs) + 1, chance % CLIENTS
        if op == "remote" and chance & 2048:
            self._run(client, function, 1)
        elif op == "remote":
            self._submit(client, function, last=True)
        elif op == "spawn":
            self._submit(client, function, last=False)
        elif op == "map" and chance & 2048:
            self._run(client, function, chance % 25 + 1, waits=True)
        elif op == "map":
            for _ in range(chance % 25 + 1):
                self._submit(client, function, last=True, waits=True)
        elif op == "keyed":
            self._submit_under(f"{function}-{chance % 3}", client, function)
        elif op == "items":
            Reader(self, chance >> 16, None, client, _ignore).open(len(self.plan.specs) + 1)
        elif op == "keep":
            self._keep(client, chance)
        elif op == "watch":
            self._watch(client, i, chance)
        elif op == "give_up":
            self._give_up([t for t, (_, of, _) in self._tokens.items() if of >= 0], chance)
        elif op == "bad":
            self._bad(client, chance)
        elif self._mine:
            self._on_a_job(op, client, self._mine[chance % len(self._mine)], chance)

    def _on_a_job(self, op: str, client: int, job: int, chance: int) -> None:
        job_id, known = f"jobs:{job}", self._known(job)
        if op == "wait":
            last = chance & 1024 > 0
            if last:
                self._held.discard(job)
            self.ask(WaitJob(job_id, last=last), known, None, client)
        elif op == "cancel":
            self.cancel(job)
        elif op == "release":
            self._held.discard(job)
            self.ask(ReleaseJob(job_id), known, None, client)
        elif op == "get":
            self.ask(GetJob(job_id), known, None, client)
        elif op == "logs":
            self.ask(GetJobLogs(job_id), known, None, client)

    def _known(self, job: int) -> Reply:
        def reply(_: object, error: BaseException | None) -> None:
            if error is not None:
                self.history.refused(error, job, is_held=job in self._held)

        return reply

    def _run(self, client: int, function: int, count: int, *, waits: bool = False) -> None:
        for _ in range(count):
            run = RunJob(f"functions:{function}", Payload(b"x" * 10), waits)
            self.ask(run, _ignore, None, client)

    def _keep(self, client: int, chance: int) -> None:
        """Whoever runs a job will come for its result later."""
        waits = self.plane.ledger.waits.values()
        runs = [wait.awaited for wait in waits if wait.runs and wait.awaited is not None]
        runs = [job for job in runs if job.number not in self._mine]
        if not runs:
            return
        job = runs[chance % len(runs)]

        def kept(_: object, error: BaseException | None) -> None:
            if error is None and not job.is_final:
                self._mine.append(job.number)
                self._held.add(job.number)
                self.history.reached["kept"] += 1

        self.ask(KeepJob(job.job_id), kept, None, client)

    def _submit(self, client: int, function: int, *, last: bool, waits: bool = False) -> None:
        def submitted(value: object, error: BaseException | None) -> None:
            if error is not None:
                return
            job = int(str(value)[5:])
            self._mine.append(job)
            if last:
                self.ask(WaitJob(f"jobs:{job}", last=True), _ignore, None, client)
            else:
                self._held.add(job)

        command = SubmitJob(f"functions:{function}", Payload(b"x" * 10), waits)
        self.ask(command, submitted, None, client)

    def _submit_under(self, key: str, client: int, function: int) -> None:
        def submitted(value: object, error: BaseException | None) -> None:
            if error is None:
                known = self.plane.ledger.jobs
                is_known = self.history.keys.get(key) in known
                self.history.queued_under(key, int(str(value)[5:]), is_known=is_known)

        command = SubmitJob(f"functions:{function}", Payload(b"x" * 10), True, key)
        self.ask(command, submitted, None, client)

    def cancel(self, job: int) -> None:
        history = self.history
        history.asked_to_cancel.add(job)

        def cancelled(_: object, error: BaseException | None) -> None:
            if error is None:
                history.acknowledging.add(job)

        self.ask(CancelJob(f"jobs:{job}"), cancelled, None)

    def cancel_at(self, when: float, job: int) -> None:
        self.at(when, self.cancel, job)

    def _give_up(self, tokens: list[int], chance: int) -> None:
        if tokens and not self._inbox:
            self._give_up_later(tokens[chance % len(tokens)])

    def _vanish(self, client: int) -> None:
        for token in [t for t, (_, of, _) in self._tokens.items() if of == client]:
            self._give_up_later(token)

    def _give_up_later(self, token: int) -> None:
        wait = self.plane.ledger.waits.get(token)
        if isinstance(wait, RoomWait):  # it may get room, and so a job, before this is heard
            self._flush()
            wait = self.plane.ledger.waits.get(token)
        if wait is None:
            return  # it is still on its way, and nobody could say which job goes with it
        if wait.runs and wait.awaited is not None:
            self.history.asked_to_cancel.add(wait.awaited.number)
        _, client, executor = self._tokens[token]
        self._tokens[token] = _ignore, client, executor
        self.send(GivenUp(token))

    def _bad(self, client: int, chance: int) -> None:
        commands = (
            GetJob("jobs:99999999"),
            WaitJob("job:1"),
            CancelJob("jobs:" + "9" * 5000),
            GetJobLogs("jobs:0"),
            ReleaseJob("x"),
            SubmitJob("functions:77", Payload(b"")),
            ReadEvents("jobs:-1"),
            GetJob("jobs:١"),  # noqa: RUF001 - a digit, but not one of ours
        )
        self.ask(commands[chance % len(commands)], _must_fail, None, client)

    def _watch(self, client: int, i: int, chance: int) -> None:
        topic = f"jobs:{self._mine[chance % len(self._mine)]}" if self._mine else ALL_JOBS
        if chance & 4096:
            topic = ALL_JOBS
        zero = Cursor("sim", 0)
        starts = (None, None, zero, zero, Cursor("old", 5), Cursor("sim", 1 << 40))
        start = starts[(chance >> 20) % len(starts)]
        snapshot = start is None and chance & 8192 > 0
        watcher = Watcher(self.history, topic, start, snapshot=snapshot)
        self._read(watcher, client, i * 1000)

    def _read(self, watcher: Watcher, client: int, counter: int) -> None:
        def more(value: object, error: BaseException | None) -> None:
            if error is not None:
                return
            assert isinstance(value, EventBatch)
            watcher.take(value)
            if watcher.is_over:
                watcher.close()
                return
            pauses = (0.1, 2.0, 20.0) if "far_reader" in self.plan.features else (0.1, 1.0)
            pause_s = 0.1 if self.is_healed else pick(self.plan.seed, WATCH, counter, pauses)
            self.at(self.now + pause_s, self._read, watcher, client, counter + 1)

        token = self.ask(watcher.command(self.plan.seed, counter), more, None, client)
        self._reading[token] = watcher

    # --- the end --------------------------------------------------------------------------------

    def _end(self) -> None:
        """Everybody has had time enough."""
        for token in list(self._tokens):
            watcher = self._reading.get(token)
            sure(watcher is not None, "L1", "token %d is waited for and never answered", token)
            if watcher is not None:
                watcher.close()
                self._give_up_later(token)

    def _final(self) -> None:
        plane = self.plane
        check(plane)
        left = [job.job_id for job in plane.ledger.jobs.values() if not job.is_final]
        sure(not left, "L1", "%s never ended", left)
        sure(not plane.ledger.waits, "I1", "%d waits are left", len(plane.ledger.waits))
        sure(not plane.ledger.executors and not self.processes, "L6", "executors are left")
        sure(plane.ledger.payload_bytes == 0, "L6", "payload bytes are left")
        sure(plane.alarm == NEVER, "L6", "an alarm is left")
        for job, status in self.history.final.items():
            if status == "succeeded" and job not in self.history.lied_about:
                sure(self.history.executions[job] >= 1, "I4", "jobs:%d never ran", job)


def _ignore(*_: object) -> None:
    pass


def _must_fail(_: object, error: BaseException | None) -> None:
    sure(error is not None, "I15", "nonsense was accepted")


@contextmanager
def tuned(plan: Plan) -> Generator[None]:
    """Limits so small that a run of a minute meets them."""
    before = eventlog.RETAINED, executors.LOAD_S, ledger.KEPT_JOBS
    eventlog.RETAINED = 50 if "far_reader" in plan.features else before[0]
    executors.LOAD_S = 3.0
    ledger.KEPT_JOBS = 20 if "short_memory" in plan.features else before[2]
    try:
        yield
    finally:
        eventlog.RETAINED, executors.LOAD_S, ledger.KEPT_JOBS = before
