"""Functions, their jobs, what happens to those, and schedules."""

from __future__ import annotations

from apothic_backends.commands.base import Command
from apothic_backends.model.events import ALL_JOBS, Cursor, EventBatch
from apothic_backends.model.functions import FunctionSpec
from apothic_backends.model.jobs import ItemBatch, JobInput, JobLogs, JobOutcome, JobSnapshot
from apothic_backends.model.payloads import EMPTY_CALL, Payload
from apothic_backends.model.schedules import CronSchedule, PeriodSchedule, ScheduleSnapshot


class RegisterFunction(Command[str]):
    """Make a function known; the reply is its id (`functions:1`).

    `code` loads to the callable in the executor. The same spec and code give the same id.
    """

    adds = True

    spec: FunctionSpec
    code: Payload


class SubmitJob(Command[str]):
    """Queue one call; the reply is the job's id (`jobs:123`), given once the job is held.

    With `wait_for_room` a full queue holds the reply back; without it the answer is `QueueFull`.
    A `key` that a known job of the function was queued under gives that job again if the arguments
    are the same, else `IdempotencyConflict`. An `owned` job ends with the control plane, whatever
    that keeps: its caller waits for it, so that nobody could ask for it after a crash. Of an
    instance (`instances:7`) it is a `method` that is called.
    """

    adds = True

    function_id: str
    arguments: Payload
    wait_for_room: bool = False
    key: str | None = None
    owned: bool = False
    method: str = ""


class WaitJob(Command[JobOutcome]):
    """Wait until the job has ended.

    `last` gives up the caller's handle with the reply, so that the result is dropped with it. An
    `owned` job is cancelled when the process that waits for it dies.
    """

    job_id: str
    last: bool = False
    owned: bool = False


class RunJob(Command[JobOutcome]):
    """Queue one call and wait for its end: `SubmitJob`, and `WaitJob` with `last` and `owned`.

    The ticket's `job_id` says which job it has become, once it is queued. Giving the ticket up
    cancels the job, or its wait for room.
    """

    function_id: str
    arguments: Payload
    wait_for_room: bool = False
    method: str = ""


class OpenItems(Command[str]):
    """Queue one call of a generator function; the reply is the job's id, as of `SubmitJob`.

    The job is cancelled when the process that has opened it dies.
    """

    function_id: str
    arguments: Payload
    method: str = ""


class ReadItems(Command[ItemBatch]):
    """Take the items of a generator's job after the first `after` of them, waiting for the next.

    Items up to `after` are done with: they are dropped, and the generator may go on. It runs ahead
    of this position by a bounded amount and then waits. Whoever reads no further cancels the job
    and releases it.
    """

    job_id: str
    after: int = 0


class GetJob(Command[JobSnapshot]):
    """Look at a job."""

    job_id: str


class GetJobLogs(Command[JobLogs]):
    """Read what a job has printed so far, in all attempts or in one (counted from 1)."""

    job_id: str
    attempt: int | None = None


class GetJobInput(Command[JobInput]):
    """Read which function a job calls, and with what.

    Small inputs (64 KiB, no large buffers) are kept for as long as the job is known.
    """

    job_id: str


class GetDurability(Command[str]):
    """What an acknowledged change outlives.

    "process" (nothing: it ends with the control plane), "disk" (a crash, and a loss of power) or
    "server" (what the database server promises).
    """


class TellProgress(Command[None]):
    """Say how far the job that asks has come; watchers see it as `job.progress`."""

    done: float
    total: float | None = None
    message: str = ""


class CancelJob(Command[JobSnapshot]):
    """Stop a job: at once while it is queued; a running one is interrupted, then killed.

    The reply comes at once. A success that arrives before the stop stands.
    """

    job_id: str


class HoldJob(Command[bool]):
    """Stop the clock of a running job, as at a breakpoint, or let it go on.

    Its time limit, and those of jobs in the same process, wait meanwhile. The reply says whether
    the clock stands; that of a job which does not run cannot.
    """

    job_id: str
    held: bool


class KeepJob(Command[None]):
    """Say that whoever waits for the job may stop, and that somebody will come for its result.

    From here on it does not matter to the job that a wait was `last` or `owned`.
    """

    job_id: str


class ReleaseJob(Command[None]):
    """Say that nobody will ask for the job's result again."""

    job_id: str


class ReadEvents(Command[EventBatch]):
    """Read events after a position, waiting for the first.

    `topic` is `ALL_JOBS`, a job's id, `apps:NAME`, `queues:NAME` or `dicts:NAME`. Without `after`,
    a job is told from its beginning, and other topics from the next event on. `snapshot` (without
    `after`) gives what is now, to be read on from there. At most `limit` events come in one batch,
    beside snapshots; with a `limit` of 0 and nothing to tell, where it stands is told at once.
    `keys` and `prefix` choose among those of a topic that has keys.
    """

    topic: str = ALL_JOBS
    after: Cursor | None = None
    limit: int = 1000
    snapshot: bool = False
    keys: tuple[str, ...] = ()
    prefix: str = ""


class StartSchedule(Command[ScheduleSnapshot]):
    """Have a function run by itself from now on; the same schedule again changes nothing.

    Another schedule takes the place of the one before, and a period counts from now.
    """

    adds = True

    function_id: str
    schedule: CronSchedule | PeriodSchedule
    arguments: Payload = EMPTY_CALL


class StopSchedule(Command[None]):
    """Have a function run by itself no more; what has been started goes on."""

    function_id: str


class ListSchedules(Command[tuple[ScheduleSnapshot, ...]]):
    """Look at every schedule, the next one that is due first."""


class TriggerSchedule(Command[str]):
    """Run a function now as its schedule would, whether or not it has one: the job's id.

    `at` is the time (Unix seconds) for which it runs, now if there is none.
    """

    adds = True

    function_id: str
    at: float | None = None
    arguments: Payload = EMPTY_CALL
