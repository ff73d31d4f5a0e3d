"""Every job's history, as it is told by events: what may follow what."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable

from apothic_backends.base import Backend
from apothic_backends.model.events import ALL_JOBS, Event

NEXT = {
    "": ("job.queued",),
    "job.queued": ("job.running", "job.queued", "job.result"),
    "job.running": ("job.queued", "job.retry", "job.result"),
    "job.retry": ("job.running", "job.queued", "job.result"),
    "job.result": ("job.end",),
    "job.end": (),
}
"""What may come after what; what jobs print and how far they are may come in between."""

_PATIENCE_S = 60.0

ASIDE = ("job.log", "job.progress", "log.gap")


class History:
    """Follows all jobs on a thread of its own, from the first event on."""

    def __init__(self, backend: Backend) -> None:
        self.failures: list[str] = []
        self.last: dict[str, str] = {}
        """The latest event of each job."""
        self.ends: Counter[str] = Counter()
        self.retries = 0
        self.events = 0
        self._seq = -1
        self._is_closing = False
        self._attempt: dict[str, int] = {}
        self._stream = backend.watch(ALL_JOBS)
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def close(self, last_job: Callable[[], object]) -> None:
        """Stop when everything that has happened was taken, up to the end of one more job."""
        self._is_closing = True
        last_job()
        self._thread.join(_PATIENCE_S)
        if self._thread.is_alive():
            self.failures.append("the end of the last job was not told")

    def open_jobs(self) -> list[str]:
        """Those that have not ended yet."""
        return [job for job, last in list(self.last.items()) if last != "job.end"]

    def _follow(self) -> None:
        try:
            for event in self._stream:
                self._take(event)
                if self._is_closing and not self.open_jobs():
                    return
        except Exception as error:
            self.failures.append(f"the stream of events broke: {error!r}")

    def _take(self, event: Event) -> None:
        self.events += 1
        seq = event.cursor.seq
        if seq <= self._seq:
            self.failures.append(f"event {seq} came after {self._seq}")
        self._seq = seq
        if event.event == "stream.reset":
            self.failures.append(f"the stream was reset: {event.data}")
        elif event.event not in ASIDE:
            self._move(event)

    def _move(self, event: Event) -> None:
        job, name, attempt = event.data["job_id"], event.event, event.data["attempt"]
        before = self.last.get(job, "")
        if name not in NEXT[before]:
            self.failures.append(f"{job}: {name} came after {before or 'nothing'}")
        if attempt < self._attempt.get(job, 0) and name == "job.running":
            self.failures.append(f"{job}: attempt {attempt} ran after {self._attempt[job]}")
        self._attempt[job] = attempt
        self.last[job] = name
        self.retries += name == "job.retry"
        if name == "job.end":
            self.ends[event.data["status"]] += 1
