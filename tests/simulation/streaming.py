"""Generators in a run: the code that yields, and readers who take their time or leave early."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from apothic_backends.commands import CancelJob, OpenItems, ReadItems, ReleaseJob
from apothic_backends.model.functions import FunctionSpec, RetryPolicy
from apothic_backends.model.jobs import ItemBatch
from apothic_backends.model.payloads import Payload
from apothic_emulator.core.facts import Fact, Origin, Produced
from apothic_emulator.core.streams import MOST_AHEAD
from tests.simulation.chance import SPEC, STREAM, draw, pick
from tests.simulation.history import History, sure

Reply = Callable[[object, BaseException | None], None]

FAULTS = ("kill_between_items", "lost_items", "doubled_items", "forged_credit", "forged_items")
FORGED = Payload(b"forged")


def generator_spec(seed: int) -> FunctionSpec:
    """The one generator function of a run."""
    return FunctionSpec(
        app_name="sim",
        name="items",
        timeout_s=pick(seed, SPEC, 900, (2.0, 5.0, 20.0)),
        retries=RetryPolicy(pick(seed, SPEC, 901, (0, 1, 2)), 0.5),
        concurrent_requests=pick(seed, SPEC, 902, (1, 1, 2)),
        max_pending_tasks=20,
        max_containers=pick(seed, SPEC, 903, (1, 2)),
        is_generator=True,
    )


class Site(Protocol):
    """The process that a generator runs in."""

    number: int
    running: dict[int, tuple[int, str]]

    def at(self, delay_s: float, what: Callable[..., None], *args: Any) -> None: ...
    def say(self, fact: Fact) -> None: ...
    def falls(self, kind: str) -> bool: ...
    def die(self, reason: str, signal: int = 0) -> None: ...


class Producer:
    """A generator that runs; its items say where they belong."""

    def __init__(
        self,
        site: Site,
        seed: int,
        job: int,
        attempt: int,
        end: Callable[[], None],
        tell_most: Callable[[int], None],
    ) -> None:
        self.site = site
        self.tell_most = tell_most
        self.seed = seed
        self.job = job
        self.attempt = attempt
        self.end = end
        self.sent = self.said = self.taken = 0
        self.most = pick(seed, STREAM, job * 64 + attempt, (0, 1, 3, 40, 300, 2000))
        self.is_waiting = False
        tell_most(self.most)

    def credit(self, taken: int) -> None:
        self.taken = taken
        if self.is_waiting:
            self.is_waiting = False
            self.go_on()

    def go_on(self) -> None:
        """Yield some more, within credit."""
        if self.site.running.get(self.job, (0, ""))[0] != self.attempt:
            return
        if self.sent == self.most:
            self.end()
            return
        room = self.taken + MOST_AHEAD - self.sent
        if not room:
            self.is_waiting = True
            return
        chance = draw(self.seed, STREAM, -self.job * 64 - self.attempt - self.sent * 4096)
        count = min((1, 1, 7, 100, 256)[chance % 5], room, self.most - self.sent)
        if self.site.falls("kill_between_items"):
            self.site.die("signal", 9)
            return
        self._send(count)
        self.site.at((0.0001, 0.001, 0.2)[(chance >> 8) % 3], self.go_on)

    def _send(self, count: int) -> None:
        falls, after = self.site.falls, self.sent
        self.sent += count
        if falls("lost_items"):
            if self.sent == self.most:  # nothing comes after them: a lie about its own items
                self.sent = self.most = self.said
                self.tell_most(self.most)
            return
        if falls("forged_items"):
            self._say(after + 1, count, FORGED)
        if falls("forged_credit"):
            self._say(after, MOST_AHEAD + 1, FORGED)  # more than any reader can make room for
        items = Payload(b"%d %d %d %d" % (self.job, self.attempt, after, count))
        self._say(after, count, items)
        self.said = self.sent
        if falls("doubled_items"):
            self._say(after, count, items)

    def _say(self, after: int, count: int, items: Payload) -> None:
        said = Produced(self.site.number, self.job, self.attempt, after, count, items)
        self.site.say(said)


class Place(Protocol):
    """What a reader needs of the world."""

    now: float
    history: History

    @property
    def owned(self) -> dict[int, set[int]]: ...
    @property
    def is_healed(self) -> bool: ...
    def at(self, when: float, what: Callable[..., None], *args: Any) -> None: ...
    def ask(
        self, command: Any, reply: Reply, origin: Origin | None, client: int = -1
    ) -> object: ...


class Reader:
    """Whoever takes the items of one call, a client or the code of a job."""

    def __init__(
        self, world: Place, chance: int, origin: Origin | None, client: int, done: Reply
    ) -> None:
        self.world = world
        self.chance = chance
        self.origin = origin
        self.client = client
        self.done = done
        self.job = self.position = self.attempt = 0

    def open(self, function: int) -> None:
        command = OpenItems(f"functions:{function}", Payload(b"items"))
        self.world.ask(command, self._opened, self.origin, self.client)

    def _opened(self, value: object, error: BaseException | None) -> None:
        if error is not None:
            self.done(None, error)
            return
        self.job = int(str(value)[5:])
        if self.origin is not None:
            self.world.owned.setdefault(self.origin.executor, set()).add(self.job)
        self._read()

    def _read(self) -> None:
        command = ReadItems(f"jobs:{self.job}", self.position)
        self.world.ask(command, self._got, self.origin, self.client)

    def _got(self, value: object, error: BaseException | None) -> None:
        if error is not None:
            self.world.history.refused(error, self.job, is_held=False)
            self.done(None, error)
            return
        assert isinstance(value, ItemBatch)
        if value.items is not None:
            self._take(value, value.items)
        if value.outcome is not None:
            self._ended(value)
        elif self.chance % 7 == 0 and self.position > self.chance % 50:
            self._leave()
        else:
            self.world.at(self.world.now + self._pause_s(), self._read)

    def _take(self, batch: ItemBatch, items: Payload) -> None:
        job, attempt, after, count = map(int, items.data.split()) if items != FORGED else (0,) * 4
        sure(job == self.job, "I16", "items of jobs:%d as those of jobs:%d", job, self.job)
        sure(after == self.position, "I16", "items after %d, not %d", after, self.position)
        sure(count == batch.count, "I16", "%d items and not %d", batch.count, count)
        sure(self.attempt in (0, attempt), "I16", "items of two attempts at jobs:%d", job)
        self.attempt = attempt
        self.position += count
        self.world.history.given.add(job)

    def _pause_s(self) -> float:
        return 0.0 if self.world.is_healed else (0.0, 0.001, 0.3, 3.0)[(self.chance >> 8) % 4]

    def _leave(self) -> None:
        self.world.history.asked_to_cancel.add(self.job)
        self.world.history.reached["reader_left"] += 1
        for command in (ReleaseJob(f"jobs:{self.job}"), CancelJob(f"jobs:{self.job}")):
            self.world.ask(command, _ignore, self.origin, self.client)
        self.done(None, None)

    def _ended(self, batch: ItemBatch) -> None:
        assert batch.outcome is not None
        history = self.world.history
        history.saw(batch.outcome)
        history.reached[f"items_{batch.outcome.status.value}"] += 1
        result = batch.outcome.result
        if result is not None and not result.data.startswith(b"forged"):
            _, attempt, _ = result.data.split()
            most = history.yielded[self.job, int(attempt)]
            sure(self.position == most, "I16", "%d of %d items came", self.position, most)
        self.done(None, None)


def _ignore(*_: object) -> None:
    pass
