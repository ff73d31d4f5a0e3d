"""Job: a call that runs by itself, and the handle to it."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Generic, Literal, Protocol, TypeVar, overload

from apothic._twins import awaited, blocking, stream, twin
from apothic._values import flag, seconds, text
from apothic.watches import Lines, Watch, check_lines, check_watch
from apothic_backends.model.errors import UsageError
from apothic_backends.model.events import Cursor
from apothic_backends.model.ids import number_of
from apothic_backends.model.jobs import JobStatus

T = TypeVar("T")


class Link(Protocol):
    """What carries out the wishes below: a `_calls.JobLink`."""

    job_id: str

    async def status(self) -> JobStatus: ...  # noqa: D102
    async def wait(self, timeout_s: float | None) -> Any: ...  # noqa: D102
    async def cancel(self) -> None: ...  # noqa: D102
    async def logs(self, attempt: int | None, stream: str) -> str: ...  # noqa: D102
    def watch(self, after: Cursor | None, *, snapshot: bool) -> Any: ...  # noqa: D102
    def release(self) -> None: ...  # noqa: D102


class Gather:
    """`Job.gather`: blocks when called; its `aio` is the same to be awaited.

    The results of several jobs, in the order of the arguments. The first job that fails has its
    error raised at once, and the others go on; with `return_exceptions` all are waited for, and
    errors stand in the place of results.
    """

    __slots__ = ()

    name = "Job"

    @overload
    def __call__(
        self,
        *jobs: Job[T],
        timeout_s: float | None = None,
        return_exceptions: Literal[False] = False,
    ) -> list[T]: ...
    @overload
    def __call__(
        self, *jobs: Job[T], timeout_s: float | None = None, return_exceptions: bool
    ) -> list[T | Exception]: ...
    def __call__(self, *jobs: Job[Any], **how: Any) -> Any:
        """Wait for all of them.

        Raises:
            WaitTimeout: `timeout_s` seconds passed (None waits for ever); the jobs run on.
            JobError: a job did not succeed; or the very exception that its code raised.
            BackendClosed: a job belongs to another control plane.
        """
        return blocking(self, "gather", lambda: self._all(jobs, **how))

    @overload
    async def aio(
        self,
        *jobs: Job[T],
        timeout_s: float | None = None,
        return_exceptions: Literal[False] = False,
    ) -> list[T]: ...
    @overload
    async def aio(
        self, *jobs: Job[T], timeout_s: float | None = None, return_exceptions: bool
    ) -> list[T | Exception]: ...
    async def aio(self, *jobs: Job[Any], **how: Any) -> Any:
        """The same on asyncio or trio."""
        return await awaited(self._all(jobs, **how))

    async def _all(
        self,
        jobs: tuple[object, ...],
        timeout_s: float | None = None,
        return_exceptions: object = False,  # noqa: FBT002 - by keyword, as declared above
    ) -> list[Any]:
        links = [_link_of(job) for job in jobs]
        from apothic._arrivals import gather  # most programs only declare  # noqa: PLC0415

        return await gather(
            links,
            seconds("timeout_s", timeout_s),
            keeps_errors=flag("return_exceptions", return_exceptions),
        )


def _link_of(job: object) -> Any:
    if not isinstance(job, Job):
        raise UsageError(f"Job.gather() takes jobs, as in Job.gather(*jobs), not {job!r}")
    return job._link()  # noqa: SLF001


class Job(Generic[T]):
    """A call that was spawned. The result is kept while somebody may ask for it.

    That is: while this handle lives, or for as long as results are kept at all once its `job_id`
    was read or the handle was pickled, because then another handle may come back for it.
    """

    def __init__(self, job_id: str, link: Link | None = None) -> None:
        self._id = job_id
        self._made_with = link
        self._is_sole = link is not None

    gather = Gather()

    @classmethod
    def from_id(cls, job_id: str) -> Job[Any]:
        """The handle of the job with that id; whether there is one shows at the first use.

        Raises:
            UsageError: that is not the id of a job.
        """
        number_of(text("job_id", job_id), "jobs")
        return Job(job_id)

    @property
    def job_id(self) -> str:
        """The id under which any process finds the job again: `jobs:123`."""
        self._is_sole = False
        return self._id

    @property
    def aio(self) -> JobAio[T]:
        """The same methods, to be awaited."""
        return JobAio(self)

    def _link(self) -> Link:
        from apothic._calls import JobLink  # most programs only declare  # noqa: PLC0415

        return self._made_with or JobLink(self._id)

    @twin
    async def status(self) -> JobStatus:
        """Where the job is in its life.

        Raises:
            NotFound: there is no such job, or it is forgotten.
        """
        return await self._link().status()

    @twin
    async def wait(self, timeout_s: float | None = None) -> T:
        """Wait for the result, as often as you like; each time gives a fresh copy.

        Raises:
            WaitTimeout: `timeout_s` seconds passed; the job runs on.
            JobError: the job did not succeed; or the very exception that its code raised.
        """
        result: T = await self._link().wait(seconds("timeout_s", timeout_s))
        return result

    @twin
    async def cancel(self) -> None:
        """Stop the job: at once while it is queued, else it is interrupted, then killed.

        Nothing happens to a job that has ended.
        """
        await self._link().cancel()

    @property
    def logs(self) -> Logs:
        """What the job prints: so far, or as it comes."""
        return Logs(self)

    @stream
    def watch(self, *, snapshot: bool = False, after: Cursor | None = None) -> Watch:
        """Follow what happens to the job, from its beginning to its end.

        `snapshot` begins with what is now instead, as `job.snapshot`; `after` begins after an event
        of another watch. A job that has ended can be watched as well.

        Raises:
            UsageError: `after` is no position, or both are given.
            NotFound: there is no such job, or it is forgotten; when the first event is read.
        """
        from apothic._watches import Reading  # most watch nothing  # noqa: PLC0415

        check_watch(after, snapshot=snapshot)
        return Watch(Reading(self._link().watch(after, snapshot=snapshot)), owner=self)

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel by id; from here on the result is not dropped with this handle."""
        return (Job, (self.job_id,))

    def __eq__(self, other: object) -> bool:
        """Equal when it is the same job."""
        return isinstance(other, Job) and self._id == other._id

    def __hash__(self) -> int:
        """By the job."""
        return hash(self._id)

    def __repr__(self) -> str:
        """The id."""
        return f"<Job {self._id}>"

    def __del__(self) -> None:
        """Let the result go with its only handle."""
        try:
            if self._is_sole and self._made_with is not None:
                self._made_with.release()
        except Exception:  # noqa: BLE001, S110 - nobody to tell, and modules may be gone already
            pass


class Logs:
    """`job.logs`: blocks when called; its `aio` is the same to be awaited.

    `attempt` (counted from 1) and `stream` ("stdout" or "stderr") choose among what was printed.
    """

    __slots__ = ("_job",)

    def __init__(self, job: Job[Any]) -> None:
        self._job = job

    @overload
    def __call__(
        self,
        *,
        follow: Literal[False] = False,
        attempt: int | None = None,
        stream: str | None = None,
    ) -> str: ...
    @overload
    def __call__(
        self, *, follow: Literal[True], attempt: int | None = None, stream: str | None = None
    ) -> Lines: ...
    def __call__(
        self, *, follow: bool = False, attempt: int | None = None, stream: str | None = None
    ) -> str | Lines:
        """All of it so far, in the order written; or with `follow` each line as it comes.

        A megabyte of a job's output is kept, the beginning and the end of it; a line says how much
        is missing between them.

        Raises:
            InvalidOption: there are no such attempts or streams.
            NotFound: there is no such job, or it is forgotten.
        """
        if follow:
            return self._follow(attempt, stream)
        return blocking(self._job, "logs", lambda: self._read(attempt, stream))

    @overload
    def aio(
        self,
        *,
        follow: Literal[False] = False,
        attempt: int | None = None,
        stream: str | None = None,
    ) -> Coroutine[Any, Any, str]: ...
    @overload
    def aio(
        self, *, follow: Literal[True], attempt: int | None = None, stream: str | None = None
    ) -> Lines: ...
    def aio(
        self, *, follow: bool = False, attempt: int | None = None, stream: str | None = None
    ) -> Coroutine[Any, Any, str] | Lines:
        """The same: await the text, or go through the lines with `async for`."""
        if follow:
            return self._follow(attempt, stream)
        return awaited(self._read(attempt, stream))

    def _follow(self, attempt: int | None, stream: str | None) -> Lines:
        check_lines(attempt, stream)
        return Lines(self._job.watch(), attempt, stream)

    async def _read(self, attempt: int | None, stream: str | None) -> str:
        check_lines(attempt, stream)
        return await self._job._link().logs(attempt, stream or "text")  # noqa: SLF001


class JobAio(Generic[T]):
    """The methods of a job, to be awaited on asyncio or trio."""

    def __init__(self, job: Job[T]) -> None:
        self.status = job.status.aio
        self.wait = job.wait.aio
        self.cancel = job.cancel.aio
        self.logs = job.logs.aio
        self.watch = job.watch.aio
