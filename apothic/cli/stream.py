"""Follows all jobs of a program while it runs, in a thread that holds nobody up."""

from __future__ import annotations

import threading
import time
from typing import Any, Protocol

from apothic.cli.look import Look
from apothic.cli.output import line_of_event
from apothic.cli.screen import Screen
from apothic_backends.base import Backend, EventStream
from apothic_backends.commands import ReadEvents
from apothic_backends.model.events import ALL_JOBS, Event

_PAUSE_S = 0.03
"""Between two readings: lines come soon enough, and thousands of jobs wake the thread seldom."""

_FRAME_S = 0.1
"""Between two drawings of rows."""

_CALM_S = 0.4
"""What is over sooner than this gets no rows."""

_NOWHERE = "apps:-"
"""A topic that is told at once, to see how far events have come."""


class Sink(Protocol):
    """What makes lines and rows of events."""

    look: Look

    def take(self, event: Event) -> None: ...  # noqa: D102
    def take_lines(self) -> list[str]: ...  # noqa: D102
    def has_rows(self) -> bool: ...  # noqa: D102
    def rows(self, now: float, width: int) -> list[str]: ...  # noqa: D102


class JsonView:
    """As `View`, for programs: each event a line; without -v, of what jobs print only."""

    _TEXT = ("job.log", "log.gap", "stream.reset")

    def __init__(self, look: Look) -> None:
        self.look = look
        self._lines: list[str] = []

    def take(self, event: Event) -> None:
        """Take an event to be told."""
        if self.look.is_verbose or event.event in self._TEXT:
            self._lines.append(line_of_event(event))

    def take_lines(self) -> list[str]:
        """The lines to be printed now."""
        lines, self._lines = self._lines, []
        return lines

    def has_rows(self) -> bool:
        """Nothing here changes."""
        return False

    def rows(self, now: float, width: int) -> list[str]:
        """As there are none."""
        return []


class Follower:
    """Shows what happens from the moment that the backend is there, until it is to finish."""

    def __init__(self, view: Sink, screen: Screen) -> None:
        self._view = view
        self._screen = screen
        self._thread: threading.Thread | None = None
        self._is_over = threading.Event()
        self._due = threading.Event()
        self._busy_since: float | None = None

    def begin(self, backend: Backend) -> None:
        """Follow the jobs of this backend from here on."""
        if self._thread is None:
            stream = backend.watch(ALL_JOBS)
            self._thread = threading.Thread(
                target=self._run, args=(stream,), name="apothic-follow", daemon=True
            )
            self._thread.start()

    def finish(self, patience_s: float | None = None) -> None:
        """Show all that has happened until now, and follow no longer.

        Whoever reads what is shown may be slow: at most `patience_s` is waited for them.
        """
        if self._thread is not None:
            self._is_over.set()
            self._due.set()
            self._thread.join(patience_s)

    def _run(self, stream: EventStream) -> None:
        try:
            while not self._is_over.is_set():
                self._take(stream)
                self._show()
                self._sleep(stream)
            self._drain(stream)
        except Exception:  # noqa: BLE001, S110 - the backend has gone, or cannot tell
            pass
        finally:
            stream.close()
            self._screen.show(self._view.take_lines())

    def _take(self, stream: EventStream) -> None:
        """See everything that is here."""
        while (ticket := stream.more()) is not None and ticket.done:
            stream.take(ticket.result())
            while (event := stream.pop()) is not None:
                self._view.take(event)

    def _drain(self, stream: EventStream) -> None:
        """See everything that had happened when this was called.

        A backend replies in order: when it has told how far events have come, and the reply that
        was asked for before has not come, there is nothing more.
        """
        while True:
            self._take(stream)
            asked: Any = stream.more()
            stream.backend.start(ReadEvents(_NOWHERE, snapshot=True)).wait()
            if asked is None or not asked.done:
                return
            self._screen.show(self._view.take_lines())

    def _show(self) -> None:
        rows: list[str] = []
        if self._is_busy():
            rows = self._view.rows(time.time(), self._screen.width)
        self._screen.show(self._view.take_lines(), rows)

    def _is_busy(self) -> bool:
        """Whether something has been going on for long enough to be drawn."""
        view = self._view
        if not view.look.is_live or not view.has_rows():
            self._busy_since = None
            return False
        now = time.monotonic()
        if self._busy_since is None:
            self._busy_since = now
        return now - self._busy_since >= _CALM_S

    def _sleep(self, stream: EventStream) -> None:
        """Wait for what happens next, or for the next drawing."""
        self._due.clear()
        ticket: Any = stream.more()
        if self._is_over.is_set() or not ticket.on_done(self._due.set):
            return
        while not self._is_over.is_set() and not self._due.wait(self._frame_s()):
            self._show()
        ticket.off_done(self._due.set)
        self._is_over.wait(_PAUSE_S)

    def _frame_s(self) -> float | None:
        return _FRAME_S if self._busy_since is not None else None
