"""Which item of a queue is where, as far as clients and watchers can know."""

from __future__ import annotations

from collections import Counter
from typing import Any

from apothic_backends.model.queues import QueueItems, Receipt, split
from tests.simulation.history import sure

_ENDS = ("lapsed", "released", "retried", "dead")


class Books:
    """What was put, what has come out, and who holds what."""

    def __init__(self) -> None:
        self.put: set[str] = set()
        """Put and acknowledged."""
        self.tried: set[str] = set()
        self.out: Counter[str] = Counter()
        """Taken, or acknowledged: how often."""
        self.swept_away: set[str] = set()
        """Taken by somebody who never heard of it, because the control plane ended."""
        self.doubtful: set[str] = set()
        """Acknowledged by somebody who has not heard of it."""
        self.held: dict[int, int] = {}
        """The fences of claims that are held, by the number of the message."""
        self.fences: dict[int, int] = {}
        """The latest of each message."""
        self._ended: dict[int, int] = {}
        """Those that have ended, which is not committed yet."""
        self._back: set[str] = set()
        """What was taken and given back by nobody, which is not committed either."""

    def told(self, told: dict[str, Any] | None) -> None:
        """A watcher would hear something."""
        if told is not None and told.get("what") in _ENDS:
            message = told.get("message", 0)
            if message in self.held:
                self._ended[message] = self.held.pop(message)

    def committed(self) -> None:
        """What was told stands."""
        self._ended.clear()
        self._back.clear()

    def restarted(self, unsaid: list[Any]) -> None:
        """What was not committed has not been; what was given to nobody is gone, unless claimed."""
        self.held.update(self._ended)
        self.doubtful.update(self._back)
        self._ended.clear()
        self._back.clear()
        for value in unsaid:
            if isinstance(value, QueueItems) and not value.receipts:
                self.swept_away.update(texts_of(value))

    def given(self, items: QueueItems) -> None:
        """A client has got items."""
        texts = texts_of(items)
        for text in texts:
            sure(text in self.tried, "I8", "%s came out and was never put", text)
            sure(not self.out[text], "I8", "%s came out again", text)
            sure(text not in self.swept_away, "I8", "%s was taken, and came out", text)
        for text, receipt in zip(texts, items.receipts, strict=False):
            sure(receipt.message not in self.held, "I8", "%s is given out twice", text)
            before = self.fences.get(receipt.message, 0)
            sure(receipt.fence > before, "I8", "fence %d of %s again", receipt.fence, text)
            self.held[receipt.message] = self.fences[receipt.message] = receipt.fence
        if not items.receipts:
            self.out.update(texts)

    def undone(self, items: QueueItems) -> None:
        """Nobody has got items that were on their way: they go back."""
        if not items.receipts:
            self._back.update(texts_of(items))

    def acked(self, receipt: Receipt, text: str) -> None:
        """A client knows that an item is dealt with."""
        fence = self.held.pop(receipt.message, None)
        sure(fence == receipt.fence, "I8", "%s: a stale receipt counts", text)
        self.out[text] += 1

    def close(self) -> None:
        """Everything was taken out."""
        known = self.out.keys() | self.swept_away | self.doubtful
        lost = self.put - known
        sure(not lost, "I8", "lost: %s", sorted(lost))


def texts_of(items: QueueItems) -> list[str]:
    """What items say."""
    return [data.decode() for data in split(items.items, items.count)]
