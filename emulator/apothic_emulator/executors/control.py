"""The session channel from inside an executor: requests up, replies and interrupts down.

Whoever waits for a reply reads the channel itself, so that no switch of threads lies in between. A
thread reads it from the first moment on at which somebody wants to be told without waiting, as an
event loop does, or at which two wait.
"""

from __future__ import annotations

import threading
import time
from _socket import socket
from collections import deque
from collections.abc import Callable
from itertools import count
from select import POLLIN, poll
from typing import Any, Protocol

from apothic_emulator.executors import wire
from apothic_emulator.executors.wire import Buffer, Frame

_CHUNK = (64 * 1024,)

_LONGEST_S = 1_000_000.0
"""The kernel takes no longer timeout than 24 days; whoever waits looks at the clock afterwards."""


class Awaited(Protocol):
    """A ticket, as far as it matters here."""

    @property
    def done(self) -> bool:
        """Whether its reply is here."""
        ...


class Window:
    """Around a wait; whoever holds back Ctrl-C sets one that lets it through."""

    def __enter__(self) -> None:
        """Begin to wait."""

    def __exit__(self, *exc: object) -> None:
        """Go on."""


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
        self._numbers = count()
        self._reading = threading.Lock()
        self._frames = wire.FrameReader()
        self._received: deque[bytes] = deque()
        self._reader = threading.Thread(target=self._read, name="apothic-control", daemon=True)
        self._unstarted = [self._reader]
        self.window: Any = Window()
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
        """Have the channel read by a thread from now on."""
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

        Gives the number under which it can be given up. Somebody has to `lead`, or to have made
        a `start`, for the reply to be read.
        """
        number = next(self._numbers) % 0xFFFFFFFF + 1
        self._pending[number] = answer
        self._send(Frame(wire.COMMAND, 0, number, job, body, buffers))
        return number

    def tell(self, job: int, body: Buffer, buffers: tuple[Buffer, ...]) -> None:
        """Ask for something whose reply nobody wants: by the number 0, of which there is none."""
        self._send(Frame(wire.COMMAND, 0, 0, job, body, buffers))

    def give_up(self, number: int) -> None:
        """Want no reply to a request any more; there is one nevertheless, if only to say so."""
        if number in self._pending:
            self._send(Frame(wire.GIVE_UP, 0, number, 0, b""))

    def refuse(self, number: int) -> None:
        """Give back what has come with the reply to a request."""
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

    def lead(self, ticket: Awaited, deadline: float | None) -> bool:
        """Read until a ticket is done or the deadline has passed; False if somebody else reads."""
        if not self._unstarted or not self._reading.acquire(blocking=False):
            return False
        try:
            while not ticket.done and (deadline is None or self._is_readable(deadline)):
                if not self._read_on():
                    break
        finally:
            self._reading.release()
        return True

    def _is_readable(self, deadline: float) -> bool:
        """Whether something comes before the deadline."""
        if self._received:
            return True
        readable = poll()
        readable.register(self._socket, POLLIN)
        with self.window:
            left_s = min(_LONGEST_S, max(0.0, deadline - time.monotonic()))
            return bool(readable.poll(left_s * 1000))

    def _read(self) -> None:
        with self._reading:
            while self._read_on():
                pass

    def _read_on(self) -> bool:
        """Block for more, and hand it out; False when the channel has ended."""
        received, frames = self._received, self._frames
        try:
            if not received:
                with (
                    self.window
                ):  # in one call into C, so that no handler can raise between its halves
                    received.extend(map(self._socket.recv, _CHUNK))
            while received:
                data = received.popleft()
                if not data:
                    break
                only = frames.only(data)
                for frame in frames.feed(data) if only is None else (only,):
                    self._hand_out(frame)
            else:
                return True
        except wire.WireError:
            pass
        except OSError as error:
            if error.errno is None:
                raise  # a handler of signals has raised it, as `TimeoutError()`
        self._hang_up()  # the channel is gone: everybody who waits is told so
        return False

    def _hand_out(self, frame: Frame) -> None:
        if frame.kind == wire.INTERRUPT:
            self.on_interrupt(frame.job)
        elif frame.kind == wire.CREDIT:
            self.on_credit(frame.job, frame.attempt, wire.parse_number(frame.body))
        else:
            answer = self._pending.pop(frame.attempt, None)
            if answer is not None:
                answer(frame)

    def _hang_up(self) -> None:
        """Tell everybody who waits, once, that no reply will come."""
        for number in list(self._pending):
            answer = self._pending.pop(number, None)
            if answer is not None:
                answer(None)
