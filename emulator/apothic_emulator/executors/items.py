"""Generators: what they yield goes to the host in chunks, no further ahead than it has credit for.

The first item leaves at once. While it is under way the next ones are gathered; they leave together
when the reader has taken what went before, or when they are many. So an item waits for others only
while the reader has something to do, and a fast generator pays for a frame once in many items.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator
from functools import partial
from typing import Any, Protocol

from apothic_emulator.executors import calls, wire
from apothic_emulator.executors.control import Control
from apothic_emulator.executors.stops import Stopped, Stops
from apothic_emulator.executors.wire import Buffer, Frame

_MOST_UNKNOWN = 64
"""Jobs of which it is remembered that they were cancelled before they were received."""


Send = Callable[[Buffer, tuple[Buffer, ...]], None]


class Executor(Protocol):
    """What generators need of the executor that they run in."""

    control: Control
    stops: Stops

    def send(self, frame: Frame) -> None:
        """Send what a generator has yielded."""
        ...


def _send(
    executor: Executor, job: int, attempt: int, body: Buffer, buffers: tuple[Buffer, ...]
) -> None:
    executor.send(Frame(wire.ITEMS, 0, attempt, job, body, buffers))


class Outlet:
    """The items of one job on their way to the host.

    The generator's own thread offers them. The thread that reads the session channel hears what was
    taken, and that the job is cancelled: then it calls `wake`, if an offer was refused.
    """

    def __init__(self, send: Send, window: tuple[int, int], wake: Callable[[], object]) -> None:
        self.is_closed = False
        """Whether nobody wants any more."""
        self.wake = wake
        self._send = send
        self._most_items, self._most_bytes = window
        self._lock = threading.Lock()
        self._gathered: list[Buffer] = []
        self._gathered_bytes = 0
        self._sent = 0
        self._under_way: deque[tuple[int, int]] = deque()
        """The last number and the size of each chunk that was sent and is not taken."""
        self._ahead_bytes = 0
        self._taken = 0
        self._is_refused = False

    def offer(self, item: calls.Encoded) -> bool:
        """Take an item over, or drop it once closed; False if there is no credit for it.

        Then `wake` is called when to try again.
        """
        data, buffers = item
        size = len(data) + 4
        if buffers:
            size += sum(memoryview(buffer).nbytes for buffer in buffers)
        with self._lock:
            if self.is_closed:
                return True
            ahead = self._sent + len(self._gathered) - self._taken
            if ahead and (ahead >= self._most_items or self._ahead_bytes + size > self._most_bytes):
                self._is_refused = True
                return False
            self._gathered.append(data)
            self._gathered_bytes += size
            self._ahead_bytes += size
            if (
                not self._under_way
                or buffers  # they are the generator's, which may write to them when it goes on
                or len(self._gathered) * 2 >= self._most_items
                or self._gathered_bytes * 2 >= self._most_bytes
            ):
                self._flush(buffers)
            return True

    def flush(self) -> None:
        """Send what was gathered."""
        with self._lock:
            if self._gathered and not self.is_closed:
                self._flush(())

    def _flush(self, buffers: tuple[Buffer, ...]) -> None:
        pickles, self._gathered = self._gathered, []
        after = self._sent
        self._sent += len(pickles)
        self._under_way.append((self._sent, self._gathered_bytes))
        self._gathered_bytes = 0
        self._send(wire.items_body(after, pickles), buffers)

    def credit(self, taken: int) -> None:
        """The first `taken` items are done with."""
        with self._lock:
            self._taken = taken
            while self._under_way and self._under_way[0][0] <= taken:
                self._ahead_bytes -= self._under_way.popleft()[1]
            if self._gathered and not self._under_way:
                self._flush(())
            self._wake()

    def close(self) -> None:
        """Nobody wants any more."""
        with self._lock:
            self.is_closed = True
            self._wake()

    def _wake(self) -> None:
        if self._is_refused:
            self._is_refused = False
            self.wake()


class Outlets:
    """The outlets of the jobs that run, by number."""

    def __init__(self, executor: Executor, window: tuple[int, int]) -> None:
        self._executor = executor
        self._window = window
        self._open: dict[int, tuple[int, Outlet]] = {}
        self._unknown: deque[int] = deque(maxlen=_MOST_UNKNOWN)
        executor.control.on_credit = self.credit
        executor.control.on_interrupt = self.close
        executor.stops.on_stop = self.wake_all

    def open(self, wake: Callable[[], object]) -> Outlet:
        """An outlet for the job that begins."""
        current = calls.CURRENT.get()
        assert current is not None, "a generator runs for a job"
        job, attempt = current
        outlet = Outlet(partial(_send, self._executor, job, attempt), self._window, wake)
        self._open[job] = attempt, outlet
        if job in self._unknown:
            outlet.close()
        return outlet

    def forget(self) -> None:
        """The job has ended."""
        current = calls.CURRENT.get()
        if current is not None:
            self._open.pop(current[0], None)

    def credit(self, job: int, attempt: int, taken: int) -> None:
        """What the reader of a job is done with."""
        found = self._open.get(job)
        if found is not None and found[0] == attempt:
            found[1].credit(taken)

    def close(self, job: int) -> None:
        """A job is cancelled; perhaps it is still on its way here."""
        self._unknown.append(job)
        found = self._open.get(job)
        if found is not None:
            found[1].close()

    def wake_all(self) -> None:
        """The process is being stopped, so that whoever waits is to see why."""
        for _, outlet in list(self._open.values()):
            try:
                outlet.wake()
            except RuntimeError:
                continue  # it does not wait


def producer(outlets: Outlets, function: Callable[..., Any]) -> Callable[..., Any]:
    """In place of a generator function, what runs it to its end and sends what it yields."""

    def produce(*args: Any, **kwargs: Any) -> None:
        generator: Generator[Any, Any, Any] = function(*args, **kwargs)
        room = threading.Lock()
        room.acquire()
        outlet = outlets.open(room.release)
        try:
            for item in generator:
                encoded = calls.encode_item(item)
                del item  # it may be large, and the next one takes its time
                while not outlet.offer(encoded):
                    room.acquire()
                del encoded
                if outlet.is_closed:
                    raise Stopped
        finally:
            outlet.flush()
            generator.close()
            outlets.forget()

    calls.HIDDEN.add(produce.__code__)
    return produce
