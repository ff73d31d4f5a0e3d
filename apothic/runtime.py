"""What code can ask about the place it runs in."""

from __future__ import annotations

from typing import cast

from apothic._connect import connect
from apothic_backends.base import WorkerBackend
from apothic_backends.model.record import Record
from apothic_backends.registry import is_worker


class CurrentJob(Record):
    """The job that this thread or task works on, and which attempt at it this is, from 1."""

    job_id: str
    attempt: int


def is_local() -> bool:
    """Whether this is the user's own process and not a worker."""
    return not is_worker()


def current_job() -> CurrentJob | None:
    """The job that this code runs for; None outside a worker."""
    if not is_worker():
        return None
    current = cast(WorkerBackend, connect()).current_job()
    return None if current is None else CurrentJob(*current)
