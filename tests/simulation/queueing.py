"""Queues under faults: clients vanish, replies are lost, the control plane is killed.

    python -m tests.simulation.queueing --seeds 1000

Looked at, as Jepsen's checker `total-queue` does: when all is healed and the queue is drained,
every item that was put and acknowledged has come out (lost: 0), nothing has come out that was not
put (unexpected: 0), and no item was given out again unless its claim had lapsed, or was given
back, in between (duplicates). A receipt that is stale settles nothing, and one that is not holds
over a restart. Whoever does not know whether something was heard says it again: that counts once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from apothic_backends.commands.queues import (
    AckItems,
    BuryItem,
    ClaimItems,
    GetQueue,
    ListDeadLetters,
    OpenQueue,
    PutItems,
    RedriveItems,
    RenewClaim,
    ReturnItem,
    TakeItems,
)
from apothic_backends.model.errors import ApothicError, NotFound
from apothic_backends.model.queues import QueueItems, Receipt, StaleClaim, joined
from apothic_emulator.core.effects import Outcome
from apothic_emulator.core.facts import Asked, GivenUp, Tick
from tests.simulation import driving
from tests.simulation.books import Books, texts_of
from tests.simulation.driving import Client, Driven, Replies, Reply, Script
from tests.simulation.history import sure

CLIENTS = 8
PARTITIONS = ("", "left")
LEASES = (0.5, 2.0, 5.0)
FAULTS = ("vanish", "vanish", "lost reply", *driving.CRASHES)
OPENING = OpenQueue("q", max_items=30, max_deliveries=3)


class QueueWorld(Driven):
    """One run."""

    expected = (StaleClaim, NotFound)

    def __init__(self, seed: int) -> None:
        self.books = Books()
        super().__init__(seed)
        self._items = 0
        self._owed: dict[int, Reply] = {}
        self._given_up: set[int] = set()
        self._late: list[tuple[int, Any, BaseException | None]] = []
        """Replies that are on their way."""
        self.is_healed = False
        self.ask(OPENING, _ignore)
        self.clients = [Client(self, i) for i in range(CLIENTS)]

    def run(self) -> None:
        """From the first event to the last look."""
        for client in self.clients:
            self.at(self.chance.random(), client.go_on)
        for _ in range(self.chance.choice((0, 5, 20))):
            self.at(self.chance.uniform(0, self.chaos_s), self._fault, self.chance.choice(FAULTS))
        while self.following < self.chaos_s + 60.0:
            self.happen()
        self._drain()

    # --- faults ---------------------------------------------------------------------------------

    def _fault(self, kind: str) -> None:
        if kind in driving.CRASHES:
            self.crash(kind)
        elif kind == "vanish":
            self.reached[kind] += 1
            self.chance.choice(self.clients).vanish()
        else:
            self._lose()

    def _lose(self) -> None:
        """Whoever waits now has gone by the time that its reply comes."""
        waiting = [client for client in self.clients if client.token]
        if waiting:
            client = self.chance.choice(waiting)
            self._given_up.add(client.token)
            self.reached["lost reply"] += 1
            client.replace()

    def restarted(self, unsaid: Sequence[Outcome]) -> None:
        """Clients go down with the control plane, or hear that it is gone."""
        values = [value for outcome in unsaid for _, value, _ in outcome.replies]
        self.books.restarted(values + [value for _, value, _ in self._late])
        owed, self._owed = self._owed, {}
        self._late.clear()
        self._given_up.clear()
        self.ask(OPENING, _ignore)
        if self.chance.random() < 0.5:
            for client in [*self.clients]:
                client.replace()
            return
        for reply in owed.values():
            self.at(self.now + 0.1, reply, None, ConnectionError("it was killed"))

    # --- between clients and the core -----------------------------------------------------------

    def ask(self, command: Any, reply: Reply) -> int:
        """Ask for something; the token of the reply."""
        self._tokens += 1
        token = self._tokens
        self._owed[token] = reply
        self.step([Asked(command, token)])
        return token

    def give_up(self, token: int) -> None:
        """Wait for a reply no more; one that is on its way will find nobody."""
        if self._owed.pop(token, None) is not None and not self._is_late(token):
            self.step([GivenUp(token)])

    def _is_late(self, token: int) -> bool:
        return self.is_unsaid(token) or any(token == late for late, _, _ in self._late)

    def told(self, name: str, told: Any) -> None:
        """Watchers would hear of something."""
        self.books.told(told)

    def committed(self) -> None:
        """What was decided up to here stands."""
        self.books.committed()

    def say(self, replies: Replies) -> None:
        """Replies leave the control plane."""
        for token, value, error in replies:
            assert isinstance(token, int)
            self._late.append((token, value, error))
            self.at(self.now + self.chance.choice((0.0, 0.0, 0.01)), self._deliver, token)

    def _deliver(self, token: int) -> None:
        found = next((late for late in self._late if late[0] == token), None)
        if found is None:
            return  # it ended with its control plane
        self._late.remove(found)
        _, value, error = found
        reply = self._owed.pop(token, None)
        if token in self._given_up or reply is None:
            if isinstance(value, QueueItems) and value.count:
                self.reached["undone"] += 1
                self.books.undone(value)
            self.step([GivenUp(token, value)])
            return
        if isinstance(value, QueueItems):
            self.books.given(value)
        reply(value, error)

    def late_s(self) -> float:
        """How late a tick comes."""
        return 0.0 if self.is_healed else self.chance.choice((0.0, 0.0, 0.3))

    # --- what clients do ------------------------------------------------------------------------

    def draw_script(self, client: Client) -> Script:
        """What a client does next."""
        scripts = (self._put, self._put, self._put_once, self._get, self._work, self._work)
        return self.chance.choice((*scripts, self._redrive))()

    def _fresh(self) -> str:
        self._items += 1
        self.books.tried.add(f"{self._items}")
        return f"{self._items}"

    def _put(self) -> Script:
        chance = self.chance
        texts = [self._fresh() for _ in range(chance.choice((1, 1, 3)))]
        how: dict[str, Any] = {"timeout_s": chance.choice((0.0, 1.0, None))}
        how |= {"partition": chance.choice(PARTITIONS), "delay_s": chance.choice((0.0, 0.0, 1.0))}
        items = joined([text.encode() for text in texts])
        try:
            yield PutItems("q", items, len(texts), **how)
        except ConnectionError:
            pass
        except ApothicError as error:
            self.reached[error.code] += 1
        else:
            self.books.put.update(texts)

    def _put_once(self) -> Script:
        """Put under a key, for as long as nobody says that it has been."""
        text, is_in = self._fresh(), None
        partition = self.chance.choice(PARTITIONS)
        command = PutItems("q", joined([text.encode()]), 1, partition, None, key=text)
        while is_in is None:
            try:
                is_in = yield command
            except ConnectionError:
                self.reached["put again"] += 1
        self.reached["put already"] += not is_in
        self.books.put.add(text)

    def _get(self) -> Script:
        chance = self.chance
        count, timeout_s = chance.choice((1, 4)), chance.choice((0.0, 1.0, 5.0))
        yield TakeItems("q", count, chance.choice(PARTITIONS), timeout_s)

    def _work(self) -> Script:
        """Claim, take some time, and settle in some way."""
        chance = self.chance
        count, lease_s = chance.choice((1, 1, 3)), chance.choice(LEASES)
        items: Any = yield ClaimItems("q", count, chance.choice(PARTITIONS), 2.0, lease_s)
        for text, receipt in zip(texts_of(items), items.receipts, strict=True):
            yield chance.choice((0.0, 0.1, 0.4, 3.0))
            try:
                yield from self._settle(text, receipt)
            except StaleClaim:
                self.reached["stale"] += 1

    def _settle(self, text: str, receipt: Receipt) -> Script:
        way = self.chance.choice(("ack", "ack", "ack", "retry", "release", "bury", "renew"))
        if way == "renew":
            yield RenewClaim(receipt, 5.0)
            yield self.chance.choice((1.0, 7.0))
        if way in ("ack", "renew"):
            yield from self._ack(text, receipt)
        elif way == "retry":
            yield ReturnItem(receipt, self.chance.choice((0.0, 0.5)), error="no")
        elif way == "release":
            yield ReturnItem(receipt, uncharged=True)
        else:
            yield BuryItem(receipt, "bad")
            self.reached["buried"] += 1

    def _ack(self, text: str, receipt: Receipt) -> Script:
        """Acknowledge, for as long as nobody says whether that counts."""
        books, tries, is_new = self.books, 0, None
        books.doubtful.add(text)
        while is_new is None:
            tries += 1
            try:
                is_new = yield AckItems((receipt,))
            except ConnectionError:
                self.reached["acked again"] += 1
            except StaleClaim:
                books.doubtful.discard(text)  # else it would be known that it was acknowledged
                raise
        sure(is_new or tries > 1, "I8", "%s was acknowledged by nobody, and is", text)
        books.doubtful.discard(text)
        books.acked(receipt, text)
        again = yield AckItems((receipt,))
        sure(again == 0, "I8", "%s acknowledged twice", text)

    def _redrive(self) -> Script:
        moved: Any = yield RedriveItems("q", 3)
        self.reached["redriven"] += moved

    # --- the end --------------------------------------------------------------------------------

    def _drain(self) -> None:
        """Take everything out, and see whether it is all that it should be."""
        self.is_healed = True
        self.now += 100.0
        for client in self.clients:
            client.is_gone = True
        self.settle()
        waiting = [token for token in self._owed if not self._is_late(token)]
        self.step([*(GivenUp(token) for token in waiting), Tick()])
        self.settle()
        self._given_up.update(token for token, _, _ in self._late)
        for token, _, _ in [*self._late]:
            self._deliver(token)
        self.settle()
        sure(not self._late, "L1", "replies without end")
        for _ in range(3):
            for partition in PARTITIONS:
                self.books.given(self._answer(TakeItems("q", 1000, partition, 0.0)))
            self.now += 20.0
            self.step([Tick()])
            self._answer(RedriveItems("q"))
        left = self._answer(GetQueue("q"))
        sure(left.partitions == {}, "L2", "%s are left", left.partitions)
        sure(not self._answer(ListDeadLetters("q")).letters, "L2", "dead letters are left")
        self.books.close()

    def _answer(self, command: Any) -> Any:
        self._tokens += 1
        outcome = self.plane.step([Asked(command, self._tokens)], self.now)
        ((_, value, error),) = [it for it in outcome.replies if it[0] == self._tokens]
        assert error is None
        return value


def _ignore(*_: object) -> None:
    pass


def failure_of(seed: int) -> str:
    """What a seed finds; empty if nothing."""
    return driving.failure_of(QueueWorld, seed)


if __name__ == "__main__":
    driving.main(QueueWorld, "python -m tests.simulation.queueing")
