"""Bytes on their way to an executor: written by whoever is there, never waited for."""

from __future__ import annotations

import threading
from collections import deque
from socket import socket

from apothic_emulator.executors.wire import Buffer


class Outgoing:
    """A non-blocking socket and what is still to be written to it.

    Pieces are added under the core's lock, so their order is the order of decisions. One thread
    at a time writes; another that finds it busy leaves, because the writer looks again.
    """

    __slots__ = ("_busy", "socket", "waiting")

    def __init__(self, target: socket) -> None:
        self.socket = target
        self.waiting: deque[Buffer] = deque()
        self._busy = threading.Lock()

    def flush(self) -> bool:
        """Write what the kernel takes; whether nothing is left."""
        while self.waiting:
            if not self._busy.acquire(blocking=False):
                return True  # its holder sees what was added here
            try:
                if not self._write():
                    return False
            finally:
                self._busy.release()
        return True

    def _write(self) -> bool:
        waiting = self.waiting
        while waiting:
            piece = waiting[0]
            try:
                sent = self.socket.send(piece)
            except BlockingIOError:
                return False  # whoever polls calls `flush` again when the kernel takes more
            except OSError:
                waiting.clear()  # the executor is gone; its end is reported elsewhere
                return True
            if sent < len(piece):
                waiting[0] = memoryview(piece)[sent:]
            else:
                waiting.popleft()
        return True

    def take_back(self) -> list[Buffer]:
        """Remove and give everything that is not written yet."""
        with self._busy:
            left = list(self.waiting)
            self.waiting.clear()
            return left
