"""Events as a control plane tells them."""

from __future__ import annotations

from typing import Any

from apothic_backends.model.events import Cursor, Event


def told(name: str, job: int = 1, at: float = 0.0, **data: Any) -> Event:
    """An event of a job."""
    about = {"job_id": f"jobs:{job}", "attempt": 1, "at": at}
    return Event(name, {**about, **data}, Cursor("e", 1))


def queued(job: int = 1, at: float = 0.0, name: str = "infer") -> Event:
    """A call of a function."""
    return told("job.queued", job, at, app_name="demo", function_name=name)


def printed(text: str, job: int = 1, stream: str = "stdout") -> Event:
    """Text of a job."""
    return told("job.log", job, stream=stream, text=text, seq=1)


def ended(job: int = 1, at: float = 0.0, status: str = "succeeded") -> Event:
    """The end of a job."""
    return told("job.end", job, at, status=status)


def running(job: int = 1, at: float = 0.0) -> Event:
    """A job that begins."""
    return told("job.running", job, at)
