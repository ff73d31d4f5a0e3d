"""Queues against a list of messages that is gone through from its beginning each time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from apothic_backends.commands.queues import (
    AckItems,
    BuryItem,
    ClaimItems,
    RedriveItems,
    RenewClaim,
    ReturnItem,
    TakeItems,
)
from apothic_backends.model.errors import QueueFull
from apothic_backends.model.queues import QueueItems, Receipt, StaleClaim
from apothic_emulator.core.facts import GivenUp
from tests.unit.emulator.core.queueing import Queues, put, texts

MOST_ITEMS = 8
MOST_DELIVERIES = 2
KEY_S = 300.0
NEVER = float("inf")

PARTITIONS = st.sampled_from(["", "p"])
COUNTS = st.integers(1, 3)
SECONDS = st.sampled_from([1.0, 2.0, 5.0])


@dataclass
class Model:
    """A message as it must be."""

    number: int
    partition: str
    text: str
    key: str | None = None
    shown_at: float = 0.0
    expires_at: float = NEVER
    state: str = "waits"
    deliveries: int = 0
    lease_s: float = 0.0
    due: float = NEVER
    fence: int = 0
    past: list[str] = field(default_factory=list[str])


class QueueMachine(RuleBasedStateMachine):
    """Every rule asks the control plane and the model for the same."""

    def __init__(self) -> None:
        super().__init__()
        self.driver = Queues(max_items=MOST_ITEMS, max_deliveries=MOST_DELIVERIES)
        self.messages: list[Model] = []
        self.dead: list[Model] = []
        self.keys: dict[str, float] = {}
        """Until when keys are known whose message is gone."""
        self.receipts: list[Receipt] = []
        self.acked: set[int] = set()
        self.last = 0
        self.undo: tuple[int, QueueItems, list[Model]] | None = None
        """The latest items that were taken, if that can be taken back."""

    # --- the model ------------------------------------------------------------------------------

    @property
    def now(self) -> float:
        return self.driver.now

    def _settle_time(self) -> None:
        """Everything that is due has happened."""
        for it in sorted(self.messages, key=lambda it: (it.due, it.number)):
            if it.state == "claimed" and it.due <= self.now:
                self._come_back(it, "lapsed", it.due)
        for it in [it for it in self.messages if it.state == "waits"]:
            if it.expires_at <= self.now:
                self._forget(it, max(it.expires_at, 0.0))

    def _forget(self, it: Model, at: float) -> None:
        self.messages.remove(it)
        if it.key is not None:
            self.keys[it.key] = at + KEY_S

    def _come_back(self, it: Model, how: str, now: float, delay_s: float = 0.0) -> None:
        it.past.append(how)
        it.due = NEVER
        if it.deliveries >= MOST_DELIVERIES:
            self._die(it)
        else:
            it.state, it.shown_at = "waits", now + delay_s

    def _die(self, it: Model) -> None:
        self.messages.remove(it)
        it.state = "dead"
        self.dead.append(it)

    def _visible(self, partition: str) -> list[Model]:
        self._settle_time()
        waiting = [it for it in self.messages if it.state == "waits" and it.shown_at <= self.now]
        waiting.sort(key=lambda it: it.number)
        return [it for it in waiting if it.partition == partition]

    def _is_known(self, key: str) -> bool:
        held = [it.key for it in (*self.messages, *self.dead)]
        return key in held or self.now < self.keys.get(key, 0.0)

    def _claimed(self, receipt: Receipt) -> Model | None:
        self._settle_time()
        return next((it for it in self.messages if it.fence == receipt.fence and it.fence), None)

    # --- what can be done -----------------------------------------------------------------------

    @rule(
        partition=PARTITIONS,
        count=COUNTS,
        ttl_s=st.sampled_from([None, None, 2.0, 5.0]),
        delay_s=st.sampled_from([0.0, 0.0, 2.0, 5.0]),
        key=st.sampled_from([None, None, "k", "l"]),
    )
    def put(
        self, partition: str, count: int, ttl_s: float | None, delay_s: float, key: str | None
    ) -> None:
        self._settle_time()
        count = 1 if key is not None else count
        found = [f"{self.last + i}" for i in range(1, count + 1)]
        command = put(*found, partition=partition, ttl_s=ttl_s, delay_s=delay_s, key=key)
        answer = self.driver.answers[self.driver.start(command)]
        if key is not None and self._is_known(key):
            assert answer is False
            return
        if len(self.messages) + count > MOST_ITEMS:
            assert isinstance(answer, QueueFull)
            return
        assert answer is True
        if key is not None:
            self.keys.pop(key, None)
        for text in found:
            self.last += 1
            expires_at = NEVER if ttl_s is None else self.now + ttl_s
            shown_at = self.now + delay_s
            self.messages.append(Model(self.last, partition, text, key, shown_at, expires_at))

    @rule(partition=PARTITIONS, count=COUNTS)
    def take(self, partition: str, count: int) -> None:
        expected = self._visible(partition)[:count]
        token = self.driver.start(TakeItems("q", count, partition, 0.0))
        answer = self.driver.answers[token]
        assert texts(answer) == [it.text for it in expected]
        for it in expected:
            self._forget(it, self.now)
        self.undo = (token, answer, expected) if expected else None

    @precondition(lambda self: self.undo is not None)
    @rule()
    def nobody_has_got_what_was_taken(self) -> None:
        assert self.undo is not None
        token, answer, taken = self.undo
        if any(it.key is not None and self._is_known_anew(it) for it in taken):
            return
        self.undo = None
        self.driver.step(GivenUp(token, answer))
        for it in taken:
            self.messages.append(it)
            if it.key is not None:
                self.keys.pop(it.key, None)

    def _is_known_anew(self, taken: Model) -> bool:
        return any(it.key == taken.key for it in (*self.messages, *self.dead))

    @rule(partition=PARTITIONS, count=COUNTS, lease_s=SECONDS)
    def claim(self, partition: str, count: int, lease_s: float) -> None:
        expected = self._visible(partition)[:count]
        answer: Any = self.driver.ask(ClaimItems("q", count, partition, 0.0, lease_s))
        assert texts(answer) == [it.text for it in expected]
        for it, receipt in zip(expected, answer.receipts, strict=True):
            it.state, it.lease_s, it.due = "claimed", lease_s, self.now + lease_s
            it.deliveries += 1
            assert receipt.fence > max(0, *(known.fence for known in self.receipts), it.fence)
            assert receipt.delivery == it.deliveries
            it.fence = receipt.fence
            self.receipts.append(receipt)

    @precondition(lambda self: self.receipts)
    @rule(
        data=st.data(),
        verb=st.sampled_from(["ack", "ack", "release", "retry", "uncharged", "bury", "renew"]),
        seconds=st.sampled_from([0.0, 0.0, 2.0]),
    )
    def settle(self, data: st.DataObject, verb: str, seconds: float) -> None:
        receipt = data.draw(st.sampled_from(self.receipts[-6:]))
        commands: dict[str, Any] = {
            "ack": AckItems((receipt,)),
            "release": ReturnItem(receipt, seconds),
            "retry": ReturnItem(receipt, seconds, error="no"),
            "uncharged": ReturnItem(receipt, seconds, uncharged=True),
            "bury": BuryItem(receipt, "bad"),
            "renew": RenewClaim(receipt, seconds + 1.0),
        }
        it = self._claimed(receipt)
        answer = self.driver.answers[self.driver.start(commands[verb])]
        if verb == "ack" and receipt.fence in self.acked:
            assert answer == 0
            return
        if it is None or it.state != "claimed":
            assert isinstance(answer, StaleClaim)
            return
        assert not isinstance(answer, Exception)
        self._settled(it, verb, seconds)

    def _settled(self, it: Model, verb: str, seconds: float) -> None:
        if verb == "ack":
            self.acked.add(it.fence)
            self._forget(it, self.now)
        elif verb == "bury":
            it.past.append("buried")
            self._die(it)
        elif verb == "renew":
            it.lease_s, it.due = seconds + 1.0, self.now + seconds + 1.0
        elif verb == "uncharged":
            it.deliveries -= 1
            it.state, it.due, it.shown_at = "waits", NEVER, self.now + seconds
        else:
            how = "released" if verb == "release" else "retried"
            self._come_back(it, how, self.now, seconds)

    @rule(count=COUNTS)
    def redrive(self, count: int) -> None:
        self._settle_time()
        room = MOST_ITEMS - len(self.messages)
        expected = self.dead[: min(count, room)]
        assert self.driver.ask(RedriveItems("q", count)) == len(expected)
        for it in expected:
            self.dead.remove(it)
            it.state, it.deliveries, it.past = "waits", 0, []
            it.shown_at, it.expires_at = 0.0, NEVER
            self.messages.append(it)

    @rule(partition=st.sampled_from([None, "", "p"]))
    def clear(self, partition: str | None) -> None:
        self._settle_time()
        waiting = [it for it in self.messages if it.state == "waits"]
        expected = [it for it in waiting if partition in (None, it.partition)]
        assert self.driver.clear(partition) == len(expected)
        for it in expected:
            self._forget(it, self.now)

    @rule(seconds=st.sampled_from([1.0, 2.0, 5.0, 400.0]))
    def time_passes(self, seconds: float) -> None:
        for _ in range(int(min(seconds, 10.0))):
            self.driver.pass_s(seconds / min(seconds, 10.0))
            self._settle_time()

    @rule()
    def restart(self) -> None:
        self._settle_time()
        self.driver.restart()
        self.undo = None
        for it in self.messages:
            if it.state == "claimed":
                it.due = self.now + it.lease_s

    # --- what is always true --------------------------------------------------------------------

    @invariant()
    def the_same_is_seen(self) -> None:
        self.driver.pass_s(0.0)  # what came back after its time is swept up with the next look
        for partition in ("", "p"):
            visible = self._visible(partition)
            assert self.driver.seen(partition) == [it.text for it in visible]
            mine = [it for it in self.messages if it.partition == partition]
            counts = self.driver.counts(partition)
            assert counts.ready == len(visible)
            assert counts.claimed == sum(it.state == "claimed" for it in mine)
            assert counts.delayed == len(mine) - counts.ready - counts.claimed
        assert self.driver.dead() == [it.text for it in self.dead]


QueueMachine.TestCase.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, print_blob=True
)
TestQueues = QueueMachine.TestCase
