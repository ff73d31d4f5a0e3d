"""The session channel from inside an executor: requests up, replies and interrupts down.

A thread reads it, started with the first request, so that an executor whose code never asks for
anything runs without one.
"""

from __future__ import annotations

import threading
from _socket import socket
from collections.abc import Callable

from apothic_emulator.executors import wire
from apothic_emulator.executors.wire import Buffer, Frame


def _no_credit(job: int, attempt: int, taken: int) -> None:
    """There is no generator to go on."""


class Control:
    """Sends requests and hands each reply to whoever asked."""

    def __init__(self, session_fd: int) -> None:
        self._socket = socket(fileno=session_fd)
        self._lock = threading.Lock()
        self._pending: dict[int, Callable[[Frame | None], None]] = {}
        self._last = 0
        self._thread: threading.Thread | None = None
        self.on_interrupt: Callable[[int], None] = lambda _: None
        self.on_credit: Callable[[int, int, int], None] = _no_credit

    def start(self) -> None:
        """See to it that the channel is read."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._read, name="apothic-control", daemon=True
                )
                self._thread.start()

    def request(
        self,
        job: int,
        body: Buffer,
        buffers: tuple[Buffer, ...],
        answer: Callable[[Frame | None], None],
    ) -> None:
        """Ask for something on behalf of a job; `answer` gets the reply, or None at the end."""
        self.start()
        with self._lock:
            self._last = number = (self._last + 1) & 0xFFFFFFFF
            self._pending[number] = answer
            try:
                wire.send_all(
                    self._socket,
                    wire.frame_parts(Frame(wire.COMMAND, 0, number, job, body, buffers)),
                )
            except OSError:
                is_sent = False  # the channel is gone, and perhaps whoever reads it
            else:
                is_sent = True
        if not is_sent:
            self._hang_up()

    def _read(self) -> None:
        try:
            while (frame := wire.receive_frame(self._socket)) is not None:
                if frame.kind == wire.INTERRUPT:
                    self.on_interrupt(frame.job)
                    continue
                if frame.kind == wire.CREDIT:
                    self.on_credit(frame.job, frame.attempt, wire.parse_number(frame.body))
                    continue
                answer = self._pending.pop(frame.attempt, None)
                if answer is not None:
                    answer(frame)
        except (OSError, wire.WireError):
            pass  # the channel is gone: everybody who waits is told so below
        self._hang_up()

    def _hang_up(self) -> None:
        """Tell everybody who waits, once, that no reply will come."""
        for number in list(self._pending):
            answer = self._pending.pop(number, None)
            if answer is not None:
                answer(None)
