"""Queues under faults: clients vanish, replies are lost, the control plane starts anew.

    python -m tests.simulation.queueing --seeds 1000

Everything is drawn from the seed, and time is virtual. Looked at, as Jepsen's checker `total-queue`
does: when all is healed and the queue is drained, every item that was put and acknowledged has come
out (lost: 0), nothing has come out that was not put (unexpected: 0), and no item was given out
again unless its claim had lapsed, or was given back, in between (duplicates). And a receipt that is
stale settles nothing. Acknowledgements that nobody has heard of may count or not; what was taken
when the control plane ended went with it.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from heapq import heappop, heappush
from random import Random
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
from apothic_backends.model.queues import QueueItems, Receipt, StaleClaim, joined, split
from apothic_emulator.core.check import check
from apothic_emulator.core.facts import Asked, GivenUp, Input, Tick
from apothic_emulator.core.journal import Journal
from apothic_emulator.core.plane import Plane
from tests.simulation.history import Violation, sure

CHAOS_S = 60.0
CLIENTS = 8
PARTITIONS = ("", "left")
LEASES = (0.5, 2.0, 5.0)

Script = Generator[Any, Any, object]


class Client:
    """Runs one script after another; each yields commands, or seconds to pass."""

    def __init__(self, world: QueueWorld, number: int) -> None:
        self.world = world
        self.number = number
        self.token = 0
        self.is_gone = False
        self.script = world.draw_script()

    def go_on(self, value: object = None, error: BaseException | None = None) -> None:
        """What was waited for is here."""
        world = self.world
        self.token = 0
        if self.is_gone:
            return
        try:
            wish = self.script.throw(error) if error is not None else self.script.send(value)
        except StopIteration:
            if world.now < CHAOS_S:
                self.script = world.draw_script()
                world.at(world.now + world.chance.choice((0.0, 0.1, 1.0)), self.go_on)
            return
        except ApothicError as raised:
            sure(isinstance(raised, (StaleClaim, NotFound)), "I15", "%r", raised)
            world.at(world.now + 0.1, self.start_over)
            return
        if isinstance(wish, float):
            world.at(world.now + wish, self.go_on)
        else:
            self.token = world.ask(wish, self.go_on)

    def start_over(self) -> None:
        """Do something else."""
        self.script = self.world.draw_script()
        self.go_on()

    def vanish(self) -> None:
        """Its process dies, and another takes its place."""
        self.is_gone = True
        if self.token:
            self.world.give_up(self.token)
        other = self.world.clients[self.number] = Client(self.world, self.number)
        self.world.at(self.world.now + 0.5, other.go_on)


class Books:
    """Which item is where, as far as clients and watchers can know."""

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

    def told(self, name: str, told: dict[str, Any] | None) -> None:
        """A watcher hears something."""
        if told is not None and told.get("what") in ("lapsed", "released", "retried", "dead"):
            self.held.pop(told.get("message", 0), None)

    def given(self, items: QueueItems) -> None:
        """A client has got items."""
        texts = [data.decode() for data in split(items.items, items.count)]
        for text in texts:
            sure(text in self.tried, "I8", "%s came out and was never put", text)
            sure(not self.out[text], "I8", "%s came out again", text)
        for text, receipt in zip(texts, items.receipts, strict=False):
            sure(receipt.message not in self.held, "I8", "%s is given out twice", text)
            self.held[receipt.message] = receipt.fence
        if not items.receipts:
            self.out.update(texts)

    def acked(self, receipt: Receipt, text: str) -> None:
        fence = self.held.pop(receipt.message, None)
        sure(fence == receipt.fence, "I8", "%s: a stale receipt counts", text)
        self.out[text] += 1


class QueueWorld:
    """One run."""

    def __init__(self, seed: int) -> None:
        self.chance = Random(seed)
        self.now = 0.0
        self.steps = 0
        self.books = Books()
        self.reached: Counter[str] = Counter()
        self.records: dict[str, bytes] = {}
        self._heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._events = self._tokens = self._items = 0
        self._owed: dict[int, Callable[..., None]] = {}
        self._given_up: set[int] = set()
        self._late: list[tuple[int, Any, BaseException | None]] = []
        """Replies that are on their way."""
        self._tick_at = float("inf")
        self.is_healed = False
        self.plane = self._begin()
        opening: Any = OpenQueue("q", max_items=30, max_deliveries=3)
        self._step([Asked(opening, 0)])
        self.clients = [Client(self, i) for i in range(CLIENTS)]

    def _begin(self) -> Plane:
        plane = Plane(f"sim{self.steps}", journal=Journal())
        log: Any = plane.shared.feed.events
        append = log.append

        def tapped(name: str, subject: Any, at: float, attempt: int, told: Any = None) -> None:
            self.books.told(name, told)
            append(name, subject, at, attempt, told)

        log.append = tapped
        return plane

    # --- time -----------------------------------------------------------------------------------

    def at(self, when: float, what: Callable[..., None], *args: Any) -> None:
        self._events += 1
        heappush(self._heap, (max(when, self.now), self._events, what, args))

    def run(self) -> None:
        for client in self.clients:
            self.at(self.chance.random(), client.go_on)
        for _ in range(self.chance.choice((0, 5, 20))):
            fault = self.chance.choice((self._vanish, self._vanish, self._restart, self._lose))
            self.at(self.chance.uniform(0, CHAOS_S), fault)
        heap = self._heap
        while heap and heap[0][0] < CHAOS_S + 60.0:
            self.now, _, what, args = heappop(heap)
            what(*args)
        self._drain()

    def _vanish(self) -> None:
        self.reached["vanished"] += 1
        self.chance.choice(self.clients).vanish()

    def _lose(self) -> None:
        """Whoever waits now has gone by the time that its reply comes."""
        waiting = [client for client in self.clients if client.token]
        if waiting:
            client = self.chance.choice(waiting)
            self._given_up.add(client.token)
            self.reached["lost reply"] += 1
            client.is_gone = True
            other = self.clients[client.number] = Client(self, client.number)
            self.at(self.now + 0.5, other.go_on)

    def _restart(self) -> None:
        """The control plane ends, and another goes on with what was written down."""
        self.reached["restarted"] += 1
        for _, value, _ in self._late:
            if isinstance(value, QueueItems) and not value.receipts:
                texts = [data.decode() for data in split(value.items, value.count)]
                self.books.swept_away.update(texts)
        self._late.clear()
        self._owed.clear()
        self._given_up.clear()
        self.books.held.clear()  # each lease begins anew; who holds what is found out by its fence
        self.plane = self._begin()
        self.plane.load(self.records.items(), self.now)
        check(self.plane)
        self._schedule_tick()
        for i in range(CLIENTS):
            self.clients[i].is_gone = True
            self.clients[i] = Client(self, i)
            self.at(self.now + 0.1, self.clients[i].go_on)

    # --- between clients and the core -----------------------------------------------------------

    def ask(self, command: Any, reply: Callable[..., None]) -> int:
        self._tokens += 1
        self._owed[self._tokens] = reply
        self._step([Asked(command, self._tokens)])
        return self._tokens if self._tokens in self._owed else 0

    def give_up(self, token: int) -> None:
        if self._owed.pop(token, None) is not None and not self._is_late(token):
            self._step([GivenUp(token)])

    def _is_late(self, token: int) -> bool:
        """Whether its reply is on its way; then it will be found that nobody wants it."""
        return any(token == late for late, _, _ in self._late)

    def _step(self, inputs: Sequence[Input]) -> None:
        outcome = self.plane.step(inputs, self.now)
        self.steps += 1
        sure(self.steps < 20_000, "L1", "no end")
        for key, record in outcome.changes:
            if record is None:
                self.records.pop(key, None)
            else:
                self.records[key] = record
        for token, value, error in outcome.replies:
            assert isinstance(token, int)
            self._late.append((token, value, error))
            self.at(self.now + self.chance.choice((0.0, 0.0, 0.01)), self._deliver, token)
        if self.steps % 16 == 0:
            check(self.plane)
        self._schedule_tick()

    def _deliver(self, token: int) -> None:
        found = next((late for late in self._late if late[0] == token), None)
        if found is None:
            return  # it ended with its control plane
        self._late.remove(found)
        _, value, error = found
        reply = self._owed.pop(token, None)
        if token in self._given_up or reply is None:
            self.reached["undone"] += isinstance(value, QueueItems) and value.count > 0
            self._step([GivenUp(token, value)])
            return
        if isinstance(value, QueueItems):
            self.books.given(value)
        reply(value, error)

    def _schedule_tick(self) -> None:
        alarm = self.plane.alarm
        if alarm < self._tick_at:
            self._tick_at = alarm
            late_s = 0.0 if self.is_healed else self.chance.choice((0.0, 0.0, 0.3))
            self.at(alarm + late_s, self._tick, alarm)

    def _tick(self, planned: float) -> None:
        if planned == self._tick_at:
            self._tick_at = float("inf")
            self._step([Tick()])

    # --- what clients do ------------------------------------------------------------------------

    def draw_script(self) -> Script:
        draw = self.chance.choice
        return draw((self._put, self._put, self._get, self._work, self._work, self._redrive))()

    def _put(self) -> Script:
        chance = self.chance
        texts: list[str] = []
        for _ in range(chance.choice((1, 1, 3))):
            self._items += 1
            texts.append(f"{self._items}")
        self.books.tried.update(texts)
        how: dict[str, Any] = {"timeout_s": chance.choice((0.0, 1.0, None))}
        how |= {"partition": chance.choice(PARTITIONS), "delay_s": chance.choice((0.0, 0.0, 1.0))}
        items = joined([text.encode() for text in texts])
        try:
            yield PutItems("q", items, len(texts), **how)
        except ApothicError as error:
            self.reached[error.code] += 1
        else:
            self.books.put.update(texts)

    def _get(self) -> Script:
        chance = self.chance
        count, timeout_s = chance.choice((1, 4)), chance.choice((0.0, 1.0, 5.0))
        yield TakeItems("q", count, chance.choice(PARTITIONS), timeout_s)

    def _work(self) -> Script:
        """Claim, take some time, and settle in some way."""
        chance = self.chance
        count, lease_s = chance.choice((1, 1, 3)), chance.choice(LEASES)
        items: Any = yield ClaimItems("q", count, chance.choice(PARTITIONS), 2.0, lease_s)
        texts = [data.decode() for data in split(items.items, items.count)]
        for text, receipt in zip(texts, items.receipts, strict=True):
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
            self.books.doubtful.add(text)
            try:
                is_new = yield AckItems((receipt,))
            except StaleClaim:
                self.books.doubtful.discard(text)
                raise
            self.books.doubtful.discard(text)
            if is_new:
                self.books.acked(receipt, text)
                again = yield AckItems((receipt,))
                sure(again == 0, "I8", "%s acknowledged twice", text)
        elif way == "retry":
            yield ReturnItem(receipt, self.chance.choice((0.0, 0.5)), error="no")
        elif way == "release":
            yield ReturnItem(receipt, uncharged=True)
        else:
            yield BuryItem(receipt, "bad")
            self.reached["buried"] += 1

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
        waiting = [token for token in self._owed if not self._is_late(token)]
        self._step([*(GivenUp(token) for token in waiting), Tick()])
        self._given_up.update(token for token, _, _ in self._late)
        for token, _, _ in [*self._late]:
            self._deliver(token)
        sure(not self._late, "L1", "replies without end")
        for _ in range(3):
            for partition in PARTITIONS:
                self.books.given(self._answer(TakeItems("q", 1000, partition, 0.0)))
            self.now += 20.0
            self._step([Tick()])
            self._answer(RedriveItems("q"))
        left = self._answer(GetQueue("q"))
        sure(left.partitions == {}, "L2", "%s are left", left.partitions)
        sure(not self._answer(ListDeadLetters("q")).letters, "L2", "dead letters are left")
        known = self.books.out.keys() | self.books.swept_away | self.books.doubtful
        lost = self.books.put - known
        sure(not lost, "I8", "lost: %s", sorted(lost))

    def _answer(self, command: Any) -> Any:
        self._tokens += 1
        outcome = self.plane.step([Asked(command, self._tokens)], self.now)
        ((_, value, error),) = [it for it in outcome.replies if it[0] == self._tokens]
        assert error is None
        return value


def failure_of(seed: int) -> str | None:
    """What a seed has found, if anything."""
    try:
        QueueWorld(seed).run()
    except (Violation, AssertionError) as error:
        return f"seed {seed}: {error}"
    return None


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.queueing")
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args()
    reached: Counter[str] = Counter()
    steps = 0
    for seed in range(options.first, options.first + options.seeds):
        world = QueueWorld(seed)
        try:
            world.run()
        except AssertionError as error:
            sys.exit(f"seed {seed}: {error}")
        reached += world.reached
        steps += world.steps
    sys.stdout.write(f"{options.seeds} seeds, {steps} steps, {dict(reached)}\n")


if __name__ == "__main__":
    main()
