"""Dicts under faults: clients that stop, vanish and come late, a control plane that is killed.

    python -m tests.simulation.sharing --seeds 1000

Looked at: what clients saw of each key is linearizable; a fence lets writes through exactly while
it is held; of each lock and each term there is one holder at a time, in the order in which they
asked, with growing fences; a lease ends not before its time and within a second after; a mirror
made of a snapshot and events is the dict; there are never more keys than there may be; and when all
is healed everybody is served. What was committed when the control plane was killed is there
afterwards, each lease with its full period.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Sequence
from typing import Any

from apothic_backends.commands.dicts import (
    AcquireLock,
    GetKeys,
    PopKey,
    PutKey,
    ReleaseLock,
    RenewKey,
    RenewLock,
)
from apothic_backends.model.errors import Fenced, LockLost, OverLimit
from apothic_backends.model.payloads import Payload
from apothic_emulator.core.effects import Outcome
from apothic_emulator.core.facts import Asked, GivenUp, Input
from apothic_emulator.core.quotas import Quotas
from tests.linearizability import Op, violation
from tests.simulation import driving
from tests.simulation.driving import Client, Driven, Replies, Reply, Script
from tests.simulation.history import sure
from tests.simulation.holders import GUARDED, LOCKS, Holders

END_S = 400.0
CLIENTS = 6
KEYS = ('"a"', '"b"', '"c"')
FAULTS = ("freeze", "vanish", "vanish", "vanish", "pause", "late", *driving.CRASHES)


class SharedWorld(Driven):
    """One run."""

    chaos_s = 120.0
    check_every = 1
    quotas = Quotas(keys=8)
    """Fewer than the scripts would write."""

    def __init__(self, seed: int) -> None:
        self.holders = Holders(self)
        super().__init__(seed)
        self.ops: dict[str, list[Op]] = {key: [] for key in KEYS}
        self._values = 0
        self._owed: dict[int, Reply] = {}
        self._inbox: deque[Input] = deque()
        self.paused_until = 0.0
        self.stood_still: list[tuple[float, float]] = []
        self.clients = [Client(self, i) for i in range(CLIENTS)]

    def run(self) -> None:
        """From the first event to the last look."""
        for client in self.clients:
            self.at(self.chance.random(), client.go_on)
        for _ in range(self.chance.choice((0, 6, 18))):
            self.at(self.chance.uniform(0, self.chaos_s), self._fault, self.chance.choice(FAULTS))
        while self.following < END_S:
            self.happen()
            self._flush()
        self._final()

    def _flush(self) -> None:
        while self._inbox and self.now >= self.paused_until:
            self._hear(self._inbox.popleft())

    def _hear(self, item: Input) -> None:
        """One at a time, so that the second pair of eyes sees what the core sees."""
        if isinstance(item, Asked):
            self.holders.asked(item)
        elif isinstance(item, GivenUp):
            self.holders.gives_up(item.token)
        self.step([item])

    def step(self, inputs: Sequence[Input]) -> Outcome:
        """Step the core, and look at what it has decided."""
        outcome = super().step(inputs)
        for token, value, error in outcome.replies:
            assert isinstance(token, int)
            self.holders.replied(token, value, error)
        for item in inputs:
            self.holders.stepped(item)
        dicts: Any = self.plane.shared.parts.get("dicts")
        sure(dicts is None or dicts.keys <= self.quotas.keys, "G5", "more keys than there may be")
        return outcome

    def say(self, replies: Replies) -> None:
        """Replies leave the control plane."""
        for token, value, error in replies:
            assert isinstance(token, int)
            reply = self._owed.pop(token, None)
            if reply is not None:
                self.at(self.now + self._delay(), reply, value, error)

    def tick(self, planned: float) -> None:
        """Something is due; what has come in is looked at first."""
        if planned == self._tick_at and self.now < self.paused_until:
            self.at(self.paused_until, self.tick, planned)
            return
        self._flush()
        super().tick(planned)

    def _delay(self) -> float:
        return self.chance.choice((0.0, 0.001, 0.01, 0.1, 0.5))

    # --- between clients and the control plane --------------------------------------------------

    def ask(self, command: Any, reply: Reply) -> int:
        """Ask for something; the token of the reply."""
        self._tokens += 1
        self._owed[self._tokens] = reply
        self.at(self.now + self._delay(), self._arrive, Asked(command, self._tokens))
        return self._tokens

    def _arrive(self, item: Input) -> None:
        if not isinstance(item, Asked) or item.token in self._owed:
            self._inbox.append(item)

    def give_up(self, token: int) -> None:
        """Wait for a reply no more. What is held is held until its lease ends."""
        self._owed.pop(token, None)
        self.at(self.now + 0.5, self._arrive, GivenUp(token))

    def told(self, name: str, told: Any) -> None:
        """Watchers would hear of something."""
        self.holders.told(told)

    def committed(self) -> None:
        """What was decided up to here stands."""
        self.holders.committed()

    # --- faults ---------------------------------------------------------------------------------

    def _fault(self, kind: str) -> None:
        if kind in driving.CRASHES:
            self.crash(kind)
            return
        self.reached[kind] += 1
        client = self.chance.choice(self.clients)
        if kind == "freeze":
            client.frozen_until = self.now + self.chance.choice((2.0, 20.0, 60.0))
        elif kind == "vanish":
            self.chance.choice([it for it in self.clients if it.token] or [client]).vanish()
        elif kind == "pause":
            self.paused_until = self.now + self.chance.choice((2.0, 20.0, 60.0))
            self.stood_still.append((self.now, self.paused_until))
            self.at(self.paused_until, _nothing)
        else:
            client.frozen_until = self.now + 0.3

    def restarted(self, unsaid: Sequence[Outcome]) -> None:
        """Everybody who waits hears that it is gone."""
        self._inbox.clear()
        owed, self._owed = self._owed, {}
        self.holders.restarted()
        for reply in owed.values():
            gone = ConnectionError("it was killed")
            self.at(self.now + self._delay(), reply, None, gone)

    # --- scripts --------------------------------------------------------------------------------

    def draw_script(self, client: Client) -> Script:
        """What a client does next."""
        scripts = (self._write, self._read, self._swap, self._take, self._guard, self._guard)
        return self.chance.choice((*scripts, self._lease))(client)

    def _fresh(self) -> str:
        self._values += 1
        return f"v{self._values}"

    def _op(self, kind: str, key: str, **how: Any) -> Op:
        op = Op(kind, self.now, **how)
        self.ops[key].append(op)
        return op

    def _write(self, client: Client, if_rev: int | None = None, key: str = "") -> Script:
        key = key or self.chance.choice(KEYS)
        op = self._op("put", key, value=self._fresh(), if_rev=if_rev)
        value = Payload(op.value.encode())
        try:
            op.result = yield PutKey("d", key, value, create=True, if_rev=if_rev)
        except ConnectionError:
            return
        except OverLimit as error:
            self.reached[type(error).__name__] += 1
            self.ops[key].remove(op)
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
        holder = f"{client.number}.{self._fresh()}"
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
        except (ConnectionError, Fenced, LockLost, OverLimit) as error:
            self.reached[type(error).__name__] += 1

    def _lease(self, client: Client) -> Script:
        key = f'"leased{client.number}"'
        try:
            value = Payload(self._fresh().encode())
            yield PutKey("d", key, value, create=True, lease_s=self.chance.choice((1.0, 5.0)))
            for _ in range(self.chance.randrange(3)):
                yield self.chance.choice((0.5, 0.9, 4.0))
                yield RenewKey("d", key, 5.0, create=True)
            if self.chance.random() < 0.2:
                yield PutKey("d", key, value)
            if self.chance.random() < 0.3:
                yield PopKey("d", key, create=True)
        except (ConnectionError, OverLimit):
            pass

    # --- the end --------------------------------------------------------------------------------

    def _final(self) -> None:
        sure(len(self.done) == CLIENTS, "L", "clients that wait for ever: %s", self.done)
        for key, ops in self.ops.items():
            why = violation(ops)
            sure(not why, "LIN", "%s: %s", key, why)
        self.holders.close()


def _nothing() -> None:
    pass


def failure_of(seed: int) -> str:
    """What a seed finds; empty if nothing."""
    return driving.failure_of(SharedWorld, seed)


if __name__ == "__main__":
    driving.main(SharedWorld, "python -m tests.simulation.sharing")
