"""What was sent to an executor, and goes back unless the code there that asked for it has it.

A reply may hold what would be lost with it: an item that was taken out of a queue. It is kept here
until the executor says, at the last moment, that its code has it: by a byte in the file that both
sides hold. That is no system call and wakes nobody, and it stays said if the process is killed
right after it.
"""

from __future__ import annotations

import threading
from mmap import mmap
from typing import Any

from apothic_emulator.executors import wire

Held = tuple[int, Any, Any]
"""The place of the byte, who asked, and the reply."""


class Lent:
    """The replies of one executor that have not been seen to have arrived, by their requests."""

    def __init__(self, flags: mmap) -> None:
        self._flags = flags
        # Held again by a finaliser that runs while it is held, and whose step sends such a reply.
        self._lock = threading.RLock()
        self._held: dict[int, Held] = {}
        self._free: list[int] = []
        self._unused = iter(range(wire.FIRST_PLACE, wire.SHARED_FLAGS))
        self._sweep_at = 1
        self._is_over = False

    def hold(self, number: int, request: Any, reply: Any) -> int:
        """Keep a reply that is about to be sent; the place of its byte, 0 if it cannot be sent.

        There are 65,000 places, and none any more when the executor is gone.
        """
        with self._lock:
            if self._is_over:
                return 0
            if len(self._held) >= self._sweep_at:
                self._sweep()
            place = self._free.pop() if self._free else next(self._unused, 0)
            if place:
                self._flags[place] = 0
                self._held[number] = place, request, reply
            return place

    def _sweep(self) -> None:
        """Forget what has arrived."""
        flags = self._flags
        for number, (place, _, _) in list(self._held.items()):
            if flags[place]:
                del self._held[number]
                self._free.append(place)
        self._sweep_at = 1 + 2 * len(self._held)

    def take_back(self, number: int) -> Held | None:
        """The reply to a request, which its executor has refused."""
        with self._lock:
            held = self._held.pop(number, None)
            if held is not None:
                self._free.append(held[0])
            return held

    def take_all_back(self) -> list[Held]:
        """The executor is gone: what has not arrived."""
        with self._lock:
            self._sweep()
            self._is_over = True
            return list(self._held.values())
