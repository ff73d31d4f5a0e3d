"""A control plane with queues, driven by hand; it writes down what must survive."""

from __future__ import annotations

from typing import Any

from apothic_backends.commands.queues import (
    AckItems,
    BuryItem,
    ClaimItems,
    ClearQueue,
    GetQueue,
    ListDeadLetters,
    OpenQueue,
    PeekItems,
    PutItems,
    ReturnItem,
    TakeItems,
)
from apothic_backends.model.queues import PartitionCounts, QueueItems, Receipt, joined, split
from apothic_emulator.core.check import check
from apothic_emulator.core.facts import Origin
from apothic_emulator.core.journal import Journal
from apothic_emulator.core.plane import Plane
from tests.unit.emulator.core.driving import Driver

EMPTY = PartitionCounts(0, 0, 0, 0)


class Queues(Driver):
    """A plane with the queue `q`; items are short texts."""

    def __init__(self, *, is_kept: bool = True, **settings: Any) -> None:
        super().__init__()
        self.records: dict[str, bytes] = {}
        if is_kept:
            self._attach(Journal())
        self.ask(OpenQueue("q", **settings))

    def _attach(self, journal: Journal) -> None:
        self.plane.journal = self.plane.shared.journal = journal

    def step(self, *inputs: Any) -> Any:
        outcome = self.plane.step(inputs, self.now)
        for token, value, error in outcome.replies:
            assert token not in self.answers
            self.answers[token] = error if error is not None else value
        for key, record in outcome.changes:
            if record is None:
                self.records.pop(key, None)
            else:
                self.records[key] = record
        self.effects = outcome.effects
        check(self.plane)
        return self.effects

    def restart(self) -> None:
        """Another plane, out of what was written down."""
        self.plane = Plane("there")
        self._attach(Journal())
        self.plane.load(self.records.items(), self.now)
        check(self.plane)

    def put(self, *items: str, **how: Any) -> Any:
        return self.ask(put(*items, **how))

    def take(self, count: int = 1, partition: str = "", queue: str = "q") -> list[str]:
        return texts(self.ask(TakeItems(queue, count, partition, 0.0)))

    def claim(self, count: int = 1, lease_s: float = 30.0, partition: str = "") -> list[Receipt]:
        return [*self.ask(ClaimItems("q", count, partition, 0.0, lease_s)).receipts]

    def claim_one(self, lease_s: float = 30.0) -> Receipt:
        (receipt,) = self.claim(1, lease_s)
        return receipt

    def ack(self, *receipts: Receipt) -> int:
        return self.ask(AckItems(receipts))

    def give_back(self, receipt: Receipt, **how: Any) -> None:
        self.ask(ReturnItem(receipt, **how))

    def bury(self, *items: str) -> None:
        """Put items and make dead letters of them."""
        self.put(*items)
        for receipt in self.claim(len(items)):
            self.ask(BuryItem(receipt, "bad"))

    def dead(self, **how: Any) -> list[str]:
        letters = self.ask(ListDeadLetters("q", **how))
        return [data.decode() for data in split(letters.items, len(letters.letters))]

    def seen(self, partition: str = "") -> list[str]:
        return texts(self.ask(PeekItems("q", 100, partition)))

    def clear(self, partition: str | None = None, **how: Any) -> int:
        return self.ask(ClearQueue("q", partition, **how))

    def counts(self, partition: str = "") -> PartitionCounts:
        return self.ask(GetQueue("q")).partitions.get(partition, EMPTY)

    def wait(self, *args: Any, **how: Any) -> Any:
        raise NotImplementedError

    def told(self) -> list[str]:
        """What has happened so far."""
        events = self.plane.shared.feed.events.since(0)
        return [str(event.data["what"]) for _, event in events if "what" in event.data]

    def origin(self) -> Origin:
        """Where a running job asks from."""
        return self.inside(self.ran())


def put(*items: str, queue: str = "q", **how: Any) -> PutItems:
    payload = joined([item.encode() for item in items])
    how.setdefault("timeout_s", 0.0)
    return PutItems(queue, payload, len(items), **how)


def texts(items: QueueItems) -> list[str]:
    return [data.decode() for data in split(items.items, items.count)]
