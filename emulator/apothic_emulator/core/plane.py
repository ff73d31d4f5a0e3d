"""The control plane's one entrance: hands each input to the rule that owns it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from apothic_backends.commands import (
    CancelJob,
    Command,
    GetJob,
    GetJobLogs,
    ReadEvents,
    RegisterFunction,
    ReleaseJob,
    SubmitJob,
    WaitJob,
)
from apothic_backends.model.errors import ApothicError, NotFound, QueueFull, SlotDeadlock
from apothic_backends.model.ids import number_of
from apothic_emulator.core.attempts import Attempts
from apothic_emulator.core.effects import Outcome
from apothic_emulator.core.executors import Executor
from apothic_emulator.core.facts import (
    Asked,
    Ended,
    GivenUp,
    Input,
    Loaded,
    LoadFailed,
    Origin,
    Printed,
    Recalled,
    Reported,
    StackDumped,
    Tick,
)
from apothic_emulator.core.functions import Function
from apothic_emulator.core.jobs import Job
from apothic_emulator.core.ledger import Ledger
from apothic_emulator.core.logs import JobLog
from apothic_emulator.core.pools import Pool
from apothic_emulator.core.scheduler import NEVER

MOST_LEVELS = 32
"""How many callers may wait above one another, each holding a process."""

MOST_PAYLOAD_BYTES = 4 << 30
"""Arguments of all jobs that have not ended; one job alone may be larger."""

_WAITS: Any = object()
"""What a rule returns when the reply comes later."""


class Plane:
    """State and rules. `alarm` is when to step with a `Tick` at the latest."""

    def __init__(self, epoch: str) -> None:
        self.pools: dict[int, Pool] = {}
        self.ledger = Ledger(epoch)
        self.attempts = Attempts(self.ledger, self.pools)
        self.scheduler = self.attempts.scheduler
        self._now = 0.0
        self._crowded: list[Pool] = []
        """Pools for whose room somebody waits."""
        self._parked: dict[object, tuple[Executor, Job]] = {}
        """Waits of jobs for the control plane: token to the executor and the job that waits."""
        self._commands: dict[type, Callable[[Any, Asked, float], Any]] = {
            RegisterFunction: self._register,
            SubmitJob: self._submit,
            WaitJob: self._wait,
            GetJob: self._get,
            GetJobLogs: self._logs,
            CancelJob: self._cancel,
            ReleaseJob: self._release,
            ReadEvents: self._read,
        }
        self._facts: dict[type, Callable[[Any, Any, float], None]] = {
            Loaded: lambda executor, _, now: self.attempts.loaded(executor, now),
            LoadFailed: self.attempts.load_failed,
            Reported: self.attempts.reported,
            Recalled: self.attempts.recalled,
            Printed: self._printed,
            StackDumped: self._stack,
            Ended: self._ended,
        }

    @property
    def alarm(self) -> float:
        """The moment by which something is due; may be early, is never late."""
        return self.scheduler.alarm

    def step(self, inputs: Iterable[Input], now: float) -> Outcome:
        """Take inputs in order at one moment; gives replies by token, and effects in order."""
        self._now = now
        for item in inputs:
            kind = type(item)
            if kind is Asked:
                self._asked(item, now)  # type: ignore[arg-type]  # checked by the line above
            elif kind is GivenUp:
                self._given_up(item)  # type: ignore[arg-type]
            elif kind is Tick:
                self._tick(now)
            else:
                executor = self.scheduler.executors.get(item.executor)  # type: ignore[union-attr]
                if executor is not None and (not executor.deaf or kind is Ended):
                    self._facts[kind](executor, item, now)
        if self._crowded:
            self._make_room(now)
        if self._parked:
            self._unpark()
        self.ledger.publish()
        outcome = Outcome(self.ledger.replies, self.scheduler.effects)
        self.ledger.replies = []
        self.scheduler.effects = []
        return outcome

    def _asked(self, asked: Asked, now: float) -> None:
        try:
            reply = self._commands[type(asked.command)](asked.command, asked, now)
        except ApothicError as error:
            self.ledger.replies.append((asked.token, None, error))
            return
        if reply is not _WAITS:
            self.ledger.replies.append((asked.token, reply, None))

    def tokens(self) -> list[object]:
        """Everybody who waits for a reply."""
        crowded = [asked.token for pool in self._crowded for asked in pool.room]
        return crowded + self.ledger.tokens()

    # --- commands -------------------------------------------------------------------------------

    def _register(self, command: RegisterFunction, asked: Asked, now: float) -> str:
        for pool in self.pools.values():
            known = pool.function
            if known.spec == command.spec and known.code == command.code:
                return known.function_id
        function = Function(len(self.pools) + 1, command.spec, command.code)
        self.pools[function.number] = Pool(function)
        return function.function_id

    def _submit(self, command: SubmitJob, asked: Asked, now: float) -> Any:
        pool = self.pools.get(number_of(command.function_id, "functions"))
        if pool is None:
            raise NotFound(f"no function {command.function_id!r} here")
        nbytes = self.ledger.payload_bytes
        too_large = nbytes and nbytes + command.arguments.nbytes > MOST_PAYLOAD_BYTES
        if pool.has_room and not too_large and not pool.room:
            return self._admit(pool, asked, now)
        if not command.wait_for_room:
            raise _queue_full(pool, too_large=bool(too_large))
        self._park(asked)
        pool.room.append(asked)
        if pool not in self._crowded:
            self._crowded.append(pool)
        return _WAITS

    def _admit(self, pool: Pool, asked: Asked, now: float) -> str:
        command = asked.command
        assert isinstance(command, SubmitJob), "only submissions wait for room"
        job = Job(self.ledger.next_number(), pool.function, command.arguments, now)
        if asked.origin is not None:
            parent = self.ledger.jobs.get(asked.origin.job)
            job.level = parent.level + 1 if parent is not None else 0
        self.ledger.add(job)
        pool.queue.append(job)
        self.scheduler.fill(pool, now)
        return job.job_id

    def _make_room(self, now: float) -> None:
        """Admit submissions that wait, for as long as there is room."""
        for pool in self._crowded:
            while pool.room and pool.has_room:
                asked = pool.room.popleft()
                self.ledger.replies.append((asked.token, self._admit(pool, asked, now), None))
        self._crowded = [pool for pool in self._crowded if pool.room]

    def _wait(self, command: WaitJob, asked: Asked, now: float) -> Any:
        job = self.ledger.find(command.job_id)
        waiting = self._job_of(asked.origin)
        if waiting is not None and not job.is_final and waiting.level >= MOST_LEVELS:
            raise SlotDeadlock(
                f"{waiting.job_id} waits for {job.job_id} with {waiting.level} callers waiting "
                f"above it; at most {MOST_LEVELS} may. Use spawn() and return the job, or a loop",
                level=waiting.level,
            )
        if self.ledger.wait(job, asked.token, last=command.last):
            self._park(asked, job, owned=command.owned)
        return _WAITS

    def _get(self, command: GetJob, asked: Asked, now: float) -> Any:
        return self.ledger.find(command.job_id).snapshot()

    def _logs(self, command: GetJobLogs, asked: Asked, now: float) -> Any:
        return (self.ledger.find(command.job_id).log or JobLog()).read()

    def _cancel(self, command: CancelJob, asked: Asked, now: float) -> Any:
        job = self.ledger.find(command.job_id)
        self.attempts.cancel(job, now)
        return job.snapshot()

    def _release(self, command: ReleaseJob, asked: Asked, now: float) -> None:
        job = self.ledger.jobs.get(number_of(command.job_id, "jobs"))
        if job is not None:
            self.ledger.release(job)

    def _read(self, command: ReadEvents, asked: Asked, now: float) -> Any:
        self.ledger.read(asked.token, command.topic, command.after, command.limit)
        return _WAITS

    # --- waits of jobs for jobs -----------------------------------------------------------------

    def _job_of(self, origin: Origin | None) -> Job | None:
        return self.ledger.jobs.get(origin.job) if origin is not None else None

    def _park(self, asked: Asked, awaited: Job | None = None, *, owned: bool = False) -> None:
        """A job's code blocks in the SDK: its executor takes nobody's place meanwhile."""
        waiting = self._job_of(asked.origin)
        executor = self.scheduler.executors.get(asked.origin.executor) if asked.origin else None
        if waiting is None or executor is None or waiting not in executor.line:
            return
        waiting.parked += 1
        self._parked[asked.token] = executor, waiting
        executor.waits[asked.token] = awaited if owned else None
        if len(executor.line) > executor.slots:
            self.scheduler.recall(executor)
        self.scheduler.fill(self.pools[executor.function.number], self._now)

    def _unpark(self) -> None:
        """Whoever has an answer works on."""
        for token, _, _ in self.ledger.replies:
            wait = self._parked.pop(token, None)
            if wait is not None:
                executor, waiting = wait
                executor.waits.pop(token, None)
                waiting.parked = max(0, waiting.parked - 1)

    # --- facts ----------------------------------------------------------------------------------

    def _ended(self, executor: Executor, fact: Ended, now: float) -> None:
        for token in executor.waits:
            self._parked.pop(token, None)
            self._forget(token)
        self.attempts.ended(executor, fact, now)

    def _printed(self, executor: Executor, fact: Printed, now: float) -> None:
        job = self.ledger.jobs.get(fact.job) if fact.job else next(iter(executor.line), None)
        if job is None or job not in executor.line:
            return
        if job.log is None:
            job.log = JobLog()
        job.log.add(fact.stream, fact.text)

    def _stack(self, executor: Executor, fact: StackDumped, now: float) -> None:
        executor.stack = fact.stack

    def _given_up(self, fact: GivenUp) -> None:
        self._forget(fact.token)
        wait = self._parked.pop(fact.token, None)
        if wait is not None:
            wait[0].waits.pop(fact.token, None)
            wait[1].parked = max(0, wait[1].parked - 1)

    def _forget(self, token: object) -> None:
        """Nobody waits for the token any more."""
        self.ledger.give_up(token)
        for pool in self._crowded:
            pool.room = type(pool.room)(a for a in pool.room if a.token is not token)

    def _tick(self, now: float) -> None:
        """Do everything that is due, and find out when to look again."""
        if now < self.scheduler.alarm:
            return
        self.scheduler.alarm = NEVER
        for executor in list(self.scheduler.executors.values()):
            self.scheduler.wake_at(self.attempts.tick(executor, now))
        for pool in self.pools.values():
            if pool.delayed:
                self._wake_delayed(pool, now)

    def _wake_delayed(self, pool: Pool, now: float) -> None:
        due = [job for job in pool.delayed if job.not_before <= now]
        pool.delayed = [job for job in pool.delayed if job.not_before > now]
        pool.queue.extend(sorted(due, key=lambda job: job.not_before))
        for job in pool.delayed:
            self.scheduler.wake_at(job.not_before)
        self.scheduler.fill(pool, now)


def _queue_full(pool: Pool, *, too_large: bool) -> QueueFull:
    spec = pool.function.spec
    if too_large:
        text = f"{MOST_PAYLOAD_BYTES >> 30} GiB of arguments wait already"
    else:
        text = f"max_pending_tasks={spec.max_pending_tasks} jobs of {spec.name!r} wait already"
    return QueueFull(
        f"{text}. Wait for some, raise max_pending_tasks, or use map(), which waits for room",
        function=spec.name,
        max_pending_tasks=spec.max_pending_tasks,
    )
