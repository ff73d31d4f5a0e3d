"""The session channel from inside an executor: requests up, replies and interrupts down.

A thread reads it, started with the first request, so that an executor whose code never asks for
anything runs without one.
"""

from __future__ import annotations

import threading
from _socket import socket
from collections import deque
from collections.abc import Callable
from itertools import count

from apothic_emulator.executors import wire
from apothic_emulator.executors.wire import Buffer, Frame


def _no_credit(job: int, attempt: int, taken: int) -> None:
    """There is no generator to go on."""


class Control:
    """Sends requests and hands each reply to whoever asked.

    A finaliser may ask for something while its thread is at it, so nothing here waits for a lock:
    whoever finds the channel busy leaves, because the holder looks again.
    """

    def __init__(self, session_fd: int) -> None:
        self._socket = socket(fileno=session_fd)
        self._sending = threading.Lock()
        self._waiting: deque[Frame] = deque()
        self._pending: dict[int, Callable[[Frame | None], None]] = {}
        self._numbers = count(1)
        self._reader = threading.Thread(target=self._read, name="apothic-control", daemon=True)
        self._unstarted = [self._reader]
        self.on_interrupt: Callable[[int], None] = lambda _: None
        self.on_credit: Callable[[int, int, int], None] = _no_credit

    def first(self) -> Frame:
        """Block for what is sent before anything was asked.

        Raises:
            EOFError: the channel has ended.
        """
        frame = wire.receive_frame(self._socket)
        if frame is None:
            raise EOFError
        return frame

    def start(self) -> None:
        """See to it that the channel is read."""
        if self._unstarted:
            try:
                self._unstarted.pop().start()
            except IndexError:
                pass  # another thread was faster

    def request(
        self,
        job: int,
        body: Buffer,
        buffers: tuple[Buffer, ...],
        answer: Callable[[Frame | None], None],
    ) -> int:
        """Ask for something on behalf of a job; `answer` gets the reply, or None at the end.

        Gives the number under which it can be given up.
        """
        self.start()
        number = next(self._numbers) & 0xFFFFFFFF
        self._pending[number] = answer
        self._send(Frame(wire.COMMAND, 0, number, job, body, buffers))
        return number

    def give_up(self, number: int) -> None:
        """Want no reply to a request any more; there is one nevertheless, if only to say so."""
        if number in self._pending:
            self._send(Frame(wire.GIVE_UP, 0, number, 0, b""))

    def _send(self, frame: Frame) -> None:
        waiting = self._waiting
        waiting.append(frame)
        while waiting and self._sending.acquire(blocking=False):
            try:
                while waiting:
                    wire.send_all(self._socket, wire.frame_parts(waiting.popleft()))
            except OSError:
                waiting.clear()  # the channel is gone, and perhaps whoever reads it
            else:
                continue
            finally:
                self._sending.release()
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
