"""Dicts under faults: clients that stop, vanish and come late, a control plane that starts anew.

    python -m tests.simulation.sharing --seeds 1000

Everything is drawn from the seed, and time is virtual. Looked at: what clients saw of each key is
linearizable; a fence lets writes through exactly while it is held; of each lock and each term there
is one holder at a time, in the order in which they asked, with growing fences; a lease ends not
before its time and within a second after; a mirror made of a snapshot and events is the dict; and
when all is healed everybody is served.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter, deque
from collections.abc import Callable, Generator
from heapq import heappop, heappush
from random import Random
from typing import Any

from apothic_backends.commands.dicts import (
    AcquireLock,
    GetKeys,
    PopKey,
    PutKey,
    ReadDict,
    ReleaseLock,
    RenewKey,
    RenewLock,
)
from apothic_backends.model.errors import Fenced, LockLost
from apothic_backends.model.payloads import Payload
from apothic_emulator.core.check import check
from apothic_emulator.core.facts import Asked, GivenUp, Input, Tick
from apothic_emulator.core.journal import Journal
from apothic_emulator.core.plane import Plane
from tests.linearizability import Op, violation
from tests.simulation.history import Violation, sure

CHAOS_S = 120.0
END_S = 400.0
CLIENTS = 6
KEYS = ('"a"', '"b"', '"c"')
GUARDED = '"guarded"'
LOCKS = (("lock", '"l"'), ("term", '"chief"'))
LATE_S = 1.0

Script = Generator[Any, Any, object]


class Client:
    """Runs one script after another; each yields commands, or seconds to pass."""

    def __init__(self, world: SharedWorld, number: int) -> None:
        self.world = world
        self.number = number
        self.token = 0
        self.frozen_until = 0.0
        self.script: Script = iter(())  # type: ignore[assignment]

    def go_on(self, value: object = None, error: BaseException | None = None) -> None:
        """What was waited for is here."""
        world = self.world
        if world.clients[self.number] is not self:
            return  # it has vanished
        if world.now < self.frozen_until:
            world.at(self.frozen_until, self.go_on, value, error)
            return
        self.token = 0
        try:
            wish = self.script.throw(error) if error is not None else self.script.send(value)
        except StopIteration:
            if world.now < CHAOS_S:
                self.script = world.draw_script(self)
                world.at(world.now + world.chance.choice((0.0, 0.1, 1.0)), self.go_on)
            else:
                world.done.add(self.number)
            return
        if isinstance(wish, float):
            world.at(world.now + wish, self.go_on)
        else:
            self.token = world.ask(wish, self.go_on)

    def vanish(self) -> None:
        """Its process dies; another takes its place. What it held is held until the lease ends."""
        if self.token:
            self.world.send(GivenUp(self.token), drop=self.token)
        self.script.close()
        other = Client(self.world, self.number)
        self.world.clients[self.number] = other
        other.script = self.world.draw_script(other)
        self.world.at(self.world.now + 0.5, other.go_on)


class SharedWorld:
    """One run."""

    def __init__(self, seed: int) -> None:
        self.chance = Random(seed)
        self.now = 0.0
        self.steps = 0
        self.records: dict[str, bytes] = {}
        self.holders = Holders(self)
        self.ops: dict[str, list[Op]] = {key: [] for key in KEYS}
        self.reached: Counter[str] = Counter()
        self.done: set[int] = set()
        self._heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._events = self._tokens = self._values = 0
        self._owed: dict[int, tuple[Callable[..., None], float]] = {}
        self._inbox: deque[Input] = deque()
        self.paused_until = 0.0
        self.stood_still: list[tuple[float, float]] = []
        self._tick_at = float("inf")
        self.plane = self._begin(0)
        self.clients = [Client(self, i) for i in range(CLIENTS)]

    def _begin(self, epoch: int) -> Plane:
        plane = Plane(f"sim{epoch}", journal=Journal())
        log: Any = plane.shared.feed.events
        append = log.append

        def tapped(name: str, subject: Any, at: float, attempt: int, told: Any = None) -> None:
            self.holders.told(name, told)
            append(name, subject, at, attempt, told)

        log.append = tapped
        return plane

    # --- time -----------------------------------------------------------------------------------

    def at(self, when: float, what: Callable[..., None], *args: Any) -> None:
        self._events += 1
        heappush(self._heap, (max(when, self.now), self._events, what, args))

    def run(self) -> None:
        for client in self.clients:
            client.script = self.draw_script(client)
            self.at(self.chance.random(), client.go_on)
        for _ in range(self.chance.choice((0, 4, 12))):
            kind = self.chance.choice(("freeze", "vanish", "pause", "restart", "late"))
            self.at(self.chance.uniform(0.0, CHAOS_S), self._fault, kind)
        while self._heap and self.now < END_S:
            self.now, _, what, args = heappop(self._heap)
            what(*args)
            self._flush()
        self._final()

    def _flush(self) -> None:
        while self._inbox and self.now >= self.paused_until:
            self._step(self._inbox.popleft())

    def _step(self, item: Input) -> None:
        """One at a time, so that the second pair of eyes sees what the core sees."""
        self.steps += 1
        if isinstance(item, Asked):
            self.holders.asked(item)
        elif isinstance(item, GivenUp):
            self.holders.gives_up(item.token)
        outcome = self.plane.step([item], self.now)
        for key, record in outcome.changes:
            if record is None:
                self.records.pop(key, None)
            else:
                self.records[key] = record
        for token, value, error in outcome.replies:
            assert isinstance(token, int)
            self.holders.replied(token, value, error)
            owed = self._owed.pop(token, None)
            if owed is not None:
                self.at(self.now + self._delay(), owed[0], value, error)
        self.holders.stepped(item)
        check(self.plane)
        alarm = self.plane.alarm
        if alarm < self._tick_at:
            self._tick_at = alarm
            self.at(alarm, self._tick, alarm)

    def _tick(self, planned: float) -> None:
        if planned != self._tick_at:
            return
        if self.now < self.paused_until:
            self.at(self.paused_until, self._tick, planned)
            return
        self._flush()  # what has come in is looked at first
        self._tick_at = float("inf")
        self._step(Tick())

    def _delay(self) -> float:
        return self.chance.choice((0.0, 0.001, 0.01, 0.1, 0.5))

    # --- between clients and the control plane --------------------------------------------------

    def ask(self, command: Any, reply: Callable[..., None]) -> int:
        self._tokens += 1
        token = self._tokens
        self._owed[token] = reply, self.now
        self.at(self.now + self._delay(), self._arrive, Asked(command, token))
        return token

    def _arrive(self, item: Input) -> None:
        if not isinstance(item, Asked) or item.token in self._owed:
            self._inbox.append(item)

    def send(self, item: Input, *, drop: int) -> None:
        self._owed.pop(drop, None)
        self.at(self.now + 0.5, self._arrive, item)

    # --- faults ---------------------------------------------------------------------------------

    def _fault(self, kind: str) -> None:
        self.reached[kind] += 1
        client = self.chance.choice(self.clients)
        if kind == "freeze":
            client.frozen_until = self.now + self.chance.choice((2.0, 20.0, 60.0))
        elif kind == "vanish":
            client.vanish()
        elif kind == "pause":
            self.paused_until = self.now + self.chance.choice((2.0, 20.0, 60.0))
            self.stood_still.append((self.now, self.paused_until))
            self.at(self.paused_until, lambda: None)
        elif kind == "late":
            client.frozen_until = self.now + 0.3
        else:
            self._restart()

    def _restart(self) -> None:
        """The control plane is killed, and another one takes up what was kept."""
        self._inbox.clear()
        owed, self._owed = self._owed, {}
        self.plane = self._begin(self.steps)
        self.plane.load(sorted(self.records.items()), self.now)
        self.holders.restarted()
        self._tick_at = self.plane.alarm
        if self._tick_at < float("inf"):
            self.at(self._tick_at, self._tick, self._tick_at)
        for reply, _ in owed.values():
            self.at(self.now + self._delay(), reply, None, ConnectionError("it was killed"))

    # --- scripts --------------------------------------------------------------------------------

    def draw_script(self, client: Client) -> Script:
        scripts = (self._write, self._read, self._swap, self._take, self._guard, self._guard)
        return self.chance.choice((*scripts, self._lease))(client)

    def fresh(self) -> str:
        self._values += 1
        return f"v{self._values}"

    def _op(self, kind: str, key: str, **how: Any) -> Op:
        op = Op(kind, self.now, **how)
        self.ops[key].append(op)
        return op

    def _write(self, client: Client, if_rev: int | None = None, key: str = "") -> Script:
        key = key or self.chance.choice(KEYS)
        op = self._op("put", key, value=self.fresh(), if_rev=if_rev)
        value = Payload(op.value.encode())
        try:
            op.result = yield PutKey("d", key, value, create=True, if_rev=if_rev)
        except ConnectionError:
            return
        op.ended = self.now

    def _read(self, client: Client, key: str = "") -> Generator[Any, Any, int]:
        op = self._op("get", key or self.chance.choice(KEYS))
        key = next(it for it, ops in self.ops.items() if ops and ops[-1] is op)
        try:
            [entry] = yield GetKeys("d", (key,), create=True)
        except ConnectionError:
            return 0
        op.result = None if entry is None else (entry.value.data.decode(), entry.rev)
        op.ended = self.now
        return 0 if entry is None else entry.rev

    def _swap(self, client: Client) -> Script:
        key = self.chance.choice(KEYS)
        rev = yield from self._read(client, key)
        yield self.chance.choice((0.0, 0.2, 2.0))
        yield from self._write(client, rev, key)

    def _take(self, client: Client) -> Script:
        op = self._op("pop", key := self.chance.choice(KEYS))
        try:
            entry = yield PopKey("d", key, create=True)
        except ConnectionError:
            return
        op.result = None if entry is None else (entry.value.data.decode(), entry.rev)
        op.ended = self.now

    def _guard(self, client: Client) -> Script:
        """Count under a lock, as slowly as may be, with the fence in every write."""
        kind, key = self.chance.choice(LOCKS)
        holder = f"{client.number}.{self.fresh()}"
        lease_s, fence = self.chance.choice((1.0, 5.0)), None
        timeout_s = self.chance.choice((None, None, 0.0, 3.0))
        wish = AcquireLock("d", kind, key, holder, holder, lease_s, timeout_s, create=True)
        try:
            fence = yield wish
            if fence is None:
                return
            for _ in range(self.chance.randrange(4)):
                yield self.chance.choice((0.0, 0.3, 3.0))
                if self.chance.random() < 0.5:
                    yield RenewLock("d", kind, key, fence, wait=self.chance.random() < 0.5)
                [entry] = yield GetKeys("d", (f"{GUARDED}{kind}",), create=True)
                count = 0 if entry is None else int(entry.value.data)
                value = Payload(b"%d" % (count + 1))
                yield PutKey("d", f"{GUARDED}{kind}", value, create=True, fence=fence)
            if self.chance.random() < 0.8:
                yield ReleaseLock("d", kind, key, holder)
        except (ConnectionError, Fenced, LockLost) as error:
            self.reached[type(error).__name__] += 1

    def _lease(self, client: Client) -> Script:
        key = f'"leased{client.number}"'
        try:
            value = Payload(self.fresh().encode())
            yield PutKey("d", key, value, create=True, lease_s=self.chance.choice((1.0, 5.0)))
            for _ in range(self.chance.randrange(3)):
                yield self.chance.choice((0.5, 0.9, 4.0))
                yield RenewKey("d", key, 5.0, create=True)
            if self.chance.random() < 0.2:
                yield PutKey("d", key, value)
        except ConnectionError:
            pass

    # --- the end --------------------------------------------------------------------------------

    def _final(self) -> None:
        sure(len(self.done) == CLIENTS, "L", "clients that wait for ever: %s", self.done)
        for key, ops in self.ops.items():
            why = violation(ops)
            sure(not why, "LIN", "%s: %s", key, why)
        self.holders.close()


class Holders:
    """What a second pair of eyes knows of locks, leases, guarded writes and the whole dict."""

    def __init__(self, world: SharedWorld) -> None:
        self.world = world
        self.held: dict[tuple[str, str], tuple[int, float, float]] = {}
        """The fence of each, when its lease began last, and how long that is."""
        self.latest: dict[tuple[str, str], int] = {}
        self.line: dict[tuple[str, str], list[int]] = {place: [] for place in LOCKS}
        self.counts: dict[str, int] = {}
        self.leases: dict[str, tuple[float, float]] = {}
        self.mirror: dict[str, bytes] = {}
        self._commands: dict[int, Any] = {}

    def asked(self, item: Asked) -> None:
        command: Any = item.command
        assert isinstance(item.token, int)
        self._commands[item.token] = command
        if isinstance(command, AcquireLock):
            self.line[command.kind, command.key].append(item.token)

    def gives_up(self, token: object) -> None:
        for line in self.line.values():
            if token in line:
                line.remove(token)  # type: ignore[arg-type]

    def replied(self, token: int, value: Any, error: BaseException | None) -> None:
        command, now = self._commands.pop(token, None), self.world.now
        if isinstance(command, AcquireLock):
            self._acquired(command, token, value)
        elif isinstance(command, RenewKey) and value:
            self.leases[command.key] = now, command.lease_s
        elif isinstance(command, PutKey) and command.fence is not None and error is None:
            before, after = self.counts.get(command.key, 0), int(command.value.data)
            sure(after == before + 1, "F", "%d was counted after %d", after, before)
            self.counts[command.key] = after
            is_held = any(held[0] == command.fence for held in self.held.values())
            sure(is_held, "F", "%s wrote with an old fence", command)

    def stepped(self, item: Input) -> None:
        """Renewing counts from here, also if the reply comes when it is time for the next."""
        command: Any = item.command if isinstance(item, Asked) else None
        if isinstance(command, RenewLock):
            place = command.kind, command.key
            held = self.held.get(place)
            if held is not None and held[0] == command.fence:
                self.held[place] = command.fence, self.world.now, held[2]

    def _acquired(self, command: AcquireLock, token: int, fence: int | None) -> None:
        place = command.kind, command.key
        line = self.line[place]
        if fence is not None:
            sure(line[0] == token, "FIFO", "%d was served before %d", token, line[0])
            self.world.reached[f"{command.kind}s"] += 1
            self.held[place] = fence, self.world.now, command.lease_s
        line.remove(token)

    def told(self, name: str, told: Any) -> None:
        op, key, rev = told.get("op"), told.get("key"), told["rev"]
        now = self.world.now
        if op == "put":
            self.mirror[key] = told["value"].data
            self.leases.pop(key, None)
            if told["lease_s"] is not None:
                self.leases[key] = now, told["lease_s"]
        elif op in ("deleted", "expired"):
            sure(key in self.mirror, "W", "%s goes, and is not there", key)
            del self.mirror[key]
            lease = self.leases.pop(key, None)
            if op == "expired":
                self._is_over(lease, key)
        elif op in ("locked", "elected"):
            place = "lock" if op == "locked" else "term", key
            sure(place not in self.held, "M", "%s has two holders", place)
            sure(rev > self.latest.get(place, 0), "M", "%s: a fence that is not larger", place)
            self.latest[place] = rev
            self.held[place] = rev, now, 0.0
        else:
            place = "lock" if "lock" in op else "term", key
            fence, began, lease_s = self.held.pop(place)
            sure(fence == rev, "M", "%s: another one has ended", place)
            if op.endswith("expired"):
                self._is_over((began, lease_s), place)

    def _is_over(self, lease: tuple[float, float] | None, what: object) -> None:
        sure(lease is not None, "E", "%s had no lease", what)
        assert lease is not None
        began, lease_s = lease
        end, now = began + lease_s, self.world.now
        self.world.reached["expired"] += 1
        sure(now >= end, "E", "%s: %g s too early", what, end - now)
        stood = any(a <= now and b >= began for a, b in self.world.stood_still)
        sure(stood or now <= end + LATE_S, "E", "%s: %g s late", what, now - end)

    def restarted(self) -> None:
        """Leases begin anew; nobody stands in line any more."""
        now = self.world.now
        self.held = {place: (it[0], now, it[2]) for place, it in self.held.items()}
        self.leases = {key: (now, lease_s) for key, (_, lease_s) in self.leases.items()}
        self.line = {place: [] for place in LOCKS}
        self._commands.clear()

    def close(self) -> None:
        world = self.world
        every: Any = ReadDict("d", values=False, create=True)
        keys: Any = world.plane.step([Asked(every, "keys")], world.now).replies[0][1]
        sure(set(keys.keys) == set(self.mirror), "W", "the mirror has other keys")
        each: Any = GetKeys("d", keys.keys)
        entries: Any = world.plane.step([Asked(each, "all")], world.now).replies[0][1]
        told = {key: it.value.data for key, it in zip(keys.keys, entries, strict=True)}
        sure(told == self.mirror, "W", "the mirror differs")
        sure(not self.held and not self.leases, "E", "leases that never end: %s", self.held)


def failure_of(seed: int) -> str:
    """What a seed finds; empty if nothing."""
    try:
        SharedWorld(seed).run()
    except (Violation, AssertionError) as error:
        return f"{type(error).__name__}: {error}"
    return ""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.sharing")
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args()
    reached: Counter[str] = Counter()
    steps = 0
    for seed in range(options.first, options.first + options.seeds):
        world = SharedWorld(seed)
        try:
            world.run()
        except Exception:
            sys.stderr.write(f"seed {seed}\n")
            raise
        reached += world.reached
        steps += world.steps
    sys.stdout.write(f"{options.seeds} seeds, {steps} steps\n")
    for what, times in sorted(reached.items()):
        sys.stdout.write(f"  {what:20} {times:8}\n")


if __name__ == "__main__":
    main()
