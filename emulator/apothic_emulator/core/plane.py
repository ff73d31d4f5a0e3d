"""The control plane's one entrance: hands each input to the rule that owns it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from apothic_backends.commands import (
    CancelJob,
    GetJob,
    GetJobLogs,
    ReadEvents,
    RegisterFunction,
    ReleaseJob,
    RunJob,
    SubmitJob,
    WaitJob,
)
from apothic_backends.model.errors import (
    ApothicError,
    BackendClosed,
    InternalError,
    NotFound,
    QueueFull,
)
from apothic_backends.model.events import ALL_JOBS
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
    Printed,
    Recalled,
    Reported,
    StackDumped,
    Tick,
)
from apothic_emulator.core.functions import Function, check_spec
from apothic_emulator.core.jobs import NEVER, Job, Wait
from apothic_emulator.core.ledger import Ledger
from apothic_emulator.core.levels import Levels, check_level
from apothic_emulator.core.logs import JobLog
from apothic_emulator.core.pools import Pool, RoomWait

MOST_PAYLOAD_BYTES = 4 << 30
"""Arguments of all jobs that have not ended; one job alone may be larger."""

_WAITS: Any = object()
"""What a rule returns when the reply has been given, or comes later."""


class Plane:
    """State and rules. `alarm` is when to step with a `Tick` at the latest."""

    def __init__(self, epoch: str) -> None:
        self.pools: dict[int, Pool] = {}
        self._by_id: dict[str, Pool] = {}
        self.ledger = Ledger(epoch)
        self.attempts = Attempts(self.ledger, self.pools)
        self.levels = Levels(self.ledger, self.pools)
        self.scheduler = self.attempts.scheduler
        self.crowded: list[Pool] = []
        """Pools for whose room somebody waits."""
        self._commands: dict[type, Callable[[Any, Asked, float], Any]] = {
            RegisterFunction: self._register,
            SubmitJob: self._submit,
            WaitJob: self._wait,
            RunJob: self._run,
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
            Ended: self.attempts.ended,
        }

    @property
    def alarm(self) -> float:
        """The moment by which something is due; may be early, is never late."""
        return self.scheduler.alarm

    def tokens(self) -> list[object]:
        """Everybody who waits for a reply."""
        return list(self.ledger.waits)

    def step(self, inputs: Iterable[Input], now: float) -> Outcome:
        """Take inputs in order at one moment; gives replies by token, and effects in order."""
        for item in inputs:
            if isinstance(item, Asked):
                self._asked(item, now)
            elif isinstance(item, GivenUp):
                self._give_up(item.token, now)
            elif isinstance(item, Tick):
                self._tick(now)
            else:
                executor = self.ledger.executors.get(item.executor)
                if executor is not None and (
                    not executor.deaf or isinstance(item, (Ended, Recalled))
                ):
                    self._facts[type(item)](executor, item, now)
                    pool = self.pools[executor.function.number]
                    if pool.queue:
                        self.scheduler.fill(pool, now)
        if self.crowded:
            self._make_room(now)
        ledger, scheduler = self.ledger, self.scheduler
        ledger.publish()
        outcome = Outcome(ledger.replies, scheduler.effects)
        ledger.replies = []
        scheduler.effects = []
        return outcome

    def _asked(self, asked: Asked, now: float) -> None:
        ledger = self.ledger
        if asked.token in ledger.waits:
            return  # it gets its one answer already
        try:
            if asked.origin is not None:
                self._executor_of(asked.origin.executor)
            rule = self._commands.get(type(asked.command))
            if rule is None:
                raise InternalError(f"no rule for {type(asked.command).__name__}")
            reply = rule(asked.command, asked, now)
        except ApothicError as error:
            ledger.replies.append((asked.token, None, error))
            return
        if reply is not _WAITS:
            ledger.replies.append((asked.token, reply, None))

    def _executor_of(self, number: int) -> Executor:
        executor = self.ledger.executors.get(number)
        if executor is None or executor.deaf:
            raise BackendClosed("the process that asks was stopped")
        return executor

    # --- commands -------------------------------------------------------------------------------

    def _register(self, command: RegisterFunction, asked: Asked, now: float) -> str:
        check_spec(command.spec)
        for pool in self.pools.values():
            known = pool.function
            if known.spec == command.spec and known.code == command.code:
                return known.function_id
        function = Function(len(self.pools) + 1, command.spec, command.code)
        self.pools[function.number] = self._by_id[function.function_id] = Pool(function)
        return function.function_id

    def _pool(self, function_id: str) -> Pool:
        pool = self._by_id.get(function_id)
        if pool is None:
            number_of(function_id, "functions")
            raise NotFound(f"no function {function_id!r} here", function_id=function_id)
        return pool

    def _submit(self, command: SubmitJob, asked: Asked, now: float) -> Any:
        pool = self._pool(command.function_id)
        if not pool.room and self._fits(pool, command):
            return self._admit(pool, command, now).job_id
        if not command.wait_for_room:
            raise _queue_full(pool)
        caller = self._caller(asked, now)
        if caller is not None:
            check_level(caller, caller.level + 1)
        wait = RoomWait(asked.token, pool, command)
        self.ledger.waits[asked.token] = wait
        if pool not in self.crowded:
            self.crowded.append(pool)
        self._park(wait, asked, caller, now)
        return _WAITS

    def _run(self, command: RunJob, asked: Asked, now: float) -> Any:
        pool = self._pool(command.function_id)
        if pool.room or not self._fits(pool, command):
            raise _queue_full(pool)
        job = self._admit(pool, command, now)
        try:
            self._await(job, asked, now, last=True, owned=True)
        except ApothicError:
            self.attempts.cancel(job, now)
            self.ledger.release(job)
            raise
        self.ledger.waits[asked.token].runs = True
        return _WAITS

    def _give_up(self, token: object, now: float) -> None:
        """A reply is not wanted any more; the job of a `RunJob` goes with it."""
        wait = self.ledger.give_up(token)
        if wait is not None and wait.runs and wait.awaited is not None:
            self.attempts.cancel(wait.awaited, now)

    def _fits(self, pool: Pool, command: SubmitJob | RunJob) -> bool:
        """Whether a job may be queued now, by number and by bytes."""
        if not pool.has_room:
            return False
        held = self.ledger.payload_bytes
        return not held or held + command.arguments.nbytes <= MOST_PAYLOAD_BYTES

    def _admit(self, pool: Pool, command: SubmitJob | RunJob, now: float) -> Job:
        job = Job(self.ledger.next_number(), pool.function, command.arguments, now)
        self.ledger.add(job)
        pool.put(job)
        self.scheduler.fill(pool, now)
        return job

    def _make_room(self, now: float) -> None:
        """Admit submissions that wait, for as long as there is room."""
        for pool in self.crowded:
            self._admit_waiting(pool, now)
            while self.levels.lift(pool):
                self.scheduler.fill(pool, now)
                self._admit_waiting(pool, now)
        self.crowded = [pool for pool in self.crowded if pool.room]

    def _admit_waiting(self, pool: Pool, now: float) -> None:
        while pool.room and self._fits(pool, pool.room[0].command):
            wait = pool.room.popleft()
            self.ledger.answer(wait, self._admit(pool, wait.command, now).job_id)

    def _wait(self, command: WaitJob, asked: Asked, now: float) -> Any:
        job = self.ledger.find(command.job_id)
        self._await(job, asked, now, last=command.last, owned=command.owned)
        return _WAITS

    def _await(self, job: Job, asked: Asked, now: float, *, last: bool, owned: bool) -> Wait | None:
        """Answer with the job's outcome; gives the wait if that comes later."""
        if asked.origin is None:
            return self.ledger.wait(job, asked.token, last=last, owned=owned)
        caller = self._caller(asked, now)
        sunk: list[Pool] = []
        if caller is not None and not job.is_final:
            sunk = self.levels.sink(job, caller)
        wait = self.ledger.wait(job, asked.token, last=last, owned=owned)
        if wait is not None:
            self._park(wait, asked, caller, now)
            for pool in sunk:
                self.scheduler.fill(pool, now)
        return wait

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
        job = None if command.topic == ALL_JOBS else self.ledger.find(command.topic)
        limit = max(1, command.limit)
        if command.after is not None:
            number = job.number if job is not None else None
            batch = self.ledger.events.read(command.after, number, limit)
            if batch is not None:
                return batch
        caller: Job | None = None
        sunk: list[Pool] = []
        if job is not None and not job.is_final:
            caller = self._caller(asked, now)
            sunk = self.levels.sink(job, caller) if caller is not None else []
        self._park(self.ledger.await_events(asked.token, job, limit), asked, caller, now)
        for pool in sunk:
            self.scheduler.fill(pool, now)
        return _WAITS

    # --- waits of jobs --------------------------------------------------------------------------

    def _caller(self, asked: Asked, now: float) -> Job | None:
        """The job whose code asks, if it is one that its executor can be at work on."""
        if asked.origin is None:
            return None
        job = self.ledger.jobs.get(asked.origin.job)
        executor = self._executor_of(asked.origin.executor)
        return job if job is not None and self.attempts.works_on(executor, job, now) else None

    def _park(self, wait: Wait, asked: Asked, caller: Job | None, now: float) -> None:
        """A job's code blocks in the SDK: it lends its place meanwhile."""
        if asked.origin is None:
            return
        executor = self._executor_of(asked.origin.executor)
        wait.executor = executor.number
        executor.waits[wait.token] = wait
        if caller is not None:
            executor.park(wait, caller)
            if len(executor.line) > executor.slots:
                self.scheduler.recall(executor)
            self.scheduler.fill(self.pools[executor.function.number], now)

    # --- facts ----------------------------------------------------------------------------------

    def _printed(self, executor: Executor, fact: Printed, now: float) -> None:
        job = self.ledger.jobs.get(fact.job) if fact.job else next(iter(executor.line), None)
        if job is None or job.executor != executor.number:
            return
        if job.log is None:
            job.log = JobLog()
        job.log.add(fact.stream, fact.text)

    def _stack(self, executor: Executor, fact: StackDumped, now: float) -> None:
        executor.stack = fact.stack

    def _tick(self, now: float) -> None:
        """Do everything that is due, and find out when to look again."""
        scheduler = self.scheduler
        if now < scheduler.alarm:
            return
        scheduler.alarm = NEVER
        for executor in list(self.ledger.executors.values()):
            scheduler.wake_at(self.attempts.tick(executor, now))
        for pool in self.pools.values():
            if pool.delayed or pool.rest_until:
                scheduler.wake_at(pool.wake(now))
            scheduler.fill(pool, now)


def _queue_full(pool: Pool) -> QueueFull:
    spec = pool.function.spec
    if pool.has_room and not pool.room:
        text = f"{MOST_PAYLOAD_BYTES >> 30} GiB of arguments wait already"
    else:
        text = f"max_pending_tasks={spec.max_pending_tasks} jobs of {spec.name!r} wait already"
    return QueueFull(
        f"{text}. Wait for some, raise max_pending_tasks, or use map(), which waits for room",
        function=spec.name,
        max_pending_tasks=spec.max_pending_tasks,
    )
