"""Items that were taken go back if they have reached nobody, after a restart, too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from apothic_emulator.core.messages import GONE, Message, of_head
from apothic_emulator.core.partitions import Queue

Put = Callable[[Queue, list[Message], list[bytes], float], None]


class Untake:
    """Gives messages their old places again; called with the present moment."""

    __slots__ = ("_items", "_messages", "_put", "_queue")

    def __init__(self, put: Put, queue: Queue, messages: list[Message], items: list[bytes]) -> None:
        self._put, self._queue = put, queue
        self._messages, self._items = messages, items

    def __call__(self, now: float) -> None:
        """Do it."""
        self._put(self._queue, self._messages, self._items, now)

    def tell(self) -> list[Any] | None:
        """What it takes to do that after a restart, beside the items; None if there is no way."""
        if not self._queue.number:
            return None  # it does not outlive the control plane
        return [self._queue.number, [[it.number, *it.head()] for it in self._messages]]


def restored(put: Put, queue: Queue, heads: list[list[Any]], items: list[bytes]) -> Untake:
    """The same after a restart; nobody else gets the numbers of these messages."""
    messages: list[Message] = []
    for (number, *head), data in zip(heads, items, strict=True):
        name, message = of_head(number, head, data, queue.wall_offset)
        message.state, message.claim = GONE, None
        message.partition = queue.partition(name)
        queue.tidy(message.partition)
        messages.append(message)
        queue.last = max(queue.last, number)
    return Untake(put, queue, messages, items)
