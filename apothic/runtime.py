"""What code can ask about the place it runs in."""

from __future__ import annotations

from apothic._connect import connect, connected
from apothic._twins import awaited, blocking
from apothic._values import is_string, number, refuse
from apothic_backends.model.record import Record
from apothic_backends.registry import is_worker


class CurrentJob(Record):
    """The job that this thread or task works on, and which attempt at it this is, from 1."""

    job_id: str
    attempt: int


def is_local() -> bool:
    """Whether this is the user's own program and not the code of a job or its worker."""
    return not is_worker() and current_job() is None


def current_job() -> CurrentJob | None:
    """The job that this code runs for; None outside of one."""
    backend = connect() if is_worker() else connected()
    current = None if backend is None else backend.current_job()
    return None if current is None else CurrentJob(*current)


class Progress:
    """`progress`: blocks when called; its `aio` is the same to be awaited."""

    name = "progress"

    def __call__(self, done: float, total: float | None = None, message: str = "") -> None:
        """Say how far the job that this code runs for has come; watchers see `job.progress`.

        Outside of a job it does nothing, so that the function can be called in place.

        Raises:
            InvalidOption: `done` or `total` is below 0, or `message` no string.
        """
        if _is_told(done, total, message) and current_job() is not None:
            blocking(self, "__call__", lambda: _tell(done, total, message))

    async def aio(self, done: float, total: float | None = None, message: str = "") -> None:
        """The same, to be awaited."""
        if _is_told(done, total, message) and current_job() is not None:
            await awaited(_tell(done, total, message))


progress = Progress()


def _is_told(done: object, total: object, message: object) -> bool:
    number("done", done, 0)
    if total is not None:
        number("total", total, 0)
    if not is_string(message):
        refuse("message", message, "a string")
    return True


async def _tell(done: float, total: float | None, message: str) -> None:
    from apothic._drive import step  # in jobs only  # noqa: PLC0415
    from apothic_backends.commands import TellProgress  # noqa: PLC0415

    await step(connect().start(TellProgress(float(done), total, message)))
