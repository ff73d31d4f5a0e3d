"""A job as whoever follows it knows it."""

from __future__ import annotations

from typing import Any

from apothic.cli.tally import Tally

_LONG_S = 100.0
"""From here on in minutes."""


class Seen:
    """A job that has not ended."""

    __slots__ = ("is_running", "job_id", "label", "prefix", "progress", "since", "tally", "texts")

    def __init__(self, job_id: str, tally: Tally | None) -> None:
        self.job_id = job_id
        self.tally = tally
        name = tally.name if tally is not None else ""
        self.label = f"{name} {short(job_id)}".lstrip()
        self.prefix = f"{self.label} | "
        self.is_running = False
        self.since: float | None = None
        """When it entered the state that it is in."""
        self.progress: dict[str, Any] | None = None
        self.texts: dict[str, str] = {}
        """The unfinished line of each stream."""

    @property
    def is_of_map(self) -> bool:
        """Whether it is one of many, so that its own progress is not shown."""
        return self.tally is not None and self.tally.is_map


def short(job_id: str) -> str:
    """`j:123` for `jobs:123`."""
    return job_id.replace("jobs:", "j:", 1)


def seconds(value: float) -> str:
    """A duration in few characters."""
    value = max(0.0, value)
    if value < _LONG_S:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
