"""Clients whose connections break, at a control plane that is killed: each command happens once.

A client sends a command until it has the reply. On the way it may be lost or come twice, and so may
the reply; a connection may be cut while the command waits; and the control plane may be killed,
before what a step has changed is durable or between that and the reply.
"""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

from apothic_backends.commands import Command, RegisterFunction, SubmitJob
from apothic_backends.commands.queues import OpenQueue, PeekItems, PutItems, TakeItems
from apothic_backends.model.errors import QueueFull
from apothic_backends.model.functions import FunctionSpec
from apothic_backends.model.payloads import Payload
from apothic_backends.model.queues import joined, split
from apothic_emulator.core.check import check
from apothic_emulator.core.facts import Asked, GivenUp, Tick
from apothic_emulator.core.journal import Journal
from apothic_emulator.core.operations import ForgetOperations
from apothic_emulator.core.plane import Plane
from tests.simulation.history import sure

CLIENTS = 4
STEPS = 150
DEEDS = (*("ask",) * 16, *("cut",) * 4, "kill")
CALLS = ("submit", "put", "take", "wait for room")


class Call:
    """One command, and what its client has heard of it."""

    def __init__(self, client: int, number: int, kind: str, command: Command[Any]) -> None:
        self.operation = f"{client}/{number}"
        self.kind = kind
        self.command = command
        self.body = f"{client}-{number}"
        self.tokens: set[int] = set()
        """Under which the control plane may still answer."""
        self.outcome: Any = None


class Repeating:
    """One run of a seed."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.now = 100.0
        self.records: dict[str, bytes] = {}
        self.reached: Counter[str] = Counter()
        self.calls: dict[int, Call] = {}
        """What each client waits for."""
        self.done: list[Call] = []
        self._late: list[GivenUp] = []
        """Replies of which the control plane will hear that they have reached nobody."""
        self._last = 0
        self._numbers: Counter[int] = Counter()
        self._begin()
        self.step(*self._asked(RegisterFunction(FunctionSpec("sim", "f"), Payload(b"code"))))
        self.step(*self._asked(OpenQueue("q")))

    def _begin(self) -> None:
        self.plane = Plane("sim", journal=Journal())
        self.plane.load(list(self.records.items()), self.now)
        self.step(Tick())

    def _asked(self, command: Any) -> list[Asked]:
        self._last += 1
        return [Asked(command, self._last)]

    def run(self) -> None:
        for _ in range(STEPS):
            self.now += self.random.random()
            getattr(self, self.random.choice(DEEDS))()
        while self._late:
            self.step()
        for _ in range(3):  # nothing fails any more
            for client in list(self.calls):
                self.send(client, is_calm=True)
        self._audit()

    # --- what happens ---------------------------------------------------------------------------

    def ask(self) -> None:
        """A client asks for something new, or again for what it has no reply to."""
        client = self.random.randrange(CLIENTS)
        if client not in self.calls:
            self._numbers[client] += 1
            number = self._numbers[client]
            body = f"{client}-{number}".encode()
            kind = self.random.choice(CALLS)
            self.calls[client] = Call(client, number, kind, _command(kind, body))
        self.send(client)

    def send(self, client: int, *, is_calm: bool = False) -> None:
        call = self.calls[client]
        times = 1 if is_calm else self.random.choice((0, 1, 1, 1, 2))
        self.reached["twice"] += times == 2
        asked: list[Asked] = []
        for _ in range(times):
            self._last += 1
            call.tokens.add(self._last)
            asked.append(Asked(call.command, self._last, None, call.operation))
        is_killed = not is_calm and self.random.random() < 0.1
        is_lost = not is_calm and self.random.random() < 0.2
        self.step(*asked, is_killed=is_killed, is_lost=is_lost)

    def cut(self) -> None:
        """The connection of a client is gone: what waits is given up, and asked again later."""
        if self.calls:
            call = self.random.choice(list(self.calls.values()))
            tokens, call.tokens = sorted(call.tokens), set()
            parked = [GivenUp(it) for it in tokens if it in self.plane.ledger.waits]
            self.reached["cut while it waits"] += bool(parked)
            if self.random.random() < 0.5:  # else the control plane has not noticed so far
                self.step(*parked)

    def kill(self) -> None:
        self.reached["killed"] += 1
        for call in self.calls.values():
            call.tokens.clear()
        self._late.clear()
        self._begin()

    # --- the control plane ----------------------------------------------------------------------

    def step(self, *inputs: Any, is_killed: bool = False, is_lost: bool = False) -> None:
        if self._late and self.random.random() < 0.5:
            inputs = (self._late.pop(), *inputs)
        outcome = self.plane.step(inputs, self.now)
        check(self.plane)
        if is_killed and self.random.random() < 0.5:
            self.kill()  # before it is durable
            return
        for key, record in outcome.changes:
            if record is None:
                self.records.pop(key, None)
            else:
                self.records[key] = record
        if is_killed:
            self.reached["killed before the reply"] += bool(outcome.replies)
            self.kill()
            return
        for token, value, error in outcome.replies:
            self._replied(token, value, error, is_lost=is_lost)

    def _replied(self, token: Any, value: Any, error: Any, *, is_lost: bool) -> None:
        owner = next((c for c, call in self.calls.items() if token in call.tokens), None)
        if owner is None:
            undone = getattr(value, "undo", None) is not None
            self.reached["went back"] += undone
            self._late.append(GivenUp(token, value))
            return
        call = self.calls[owner]
        call.tokens.discard(token)
        if is_lost:
            self.reached["lost on its way"] += 1
            return
        sure(error is None or isinstance(error, QueueFull), "N16", "%r for %s", error, call.kind)
        call.outcome = value
        del self.calls[owner]
        self.done.append(call)
        if self.random.random() < 0.5:
            self.step(*self._asked(ForgetOperations((call.operation,))))

    # --- what has to be true --------------------------------------------------------------------

    def _audit(self) -> None:
        """Each call that was answered has happened once, and no other more often."""
        for call in self.calls.values():
            is_owed = any(token in self.plane.ledger.waits for token in call.tokens)
            sure(is_owed, "N16", "nobody owes an answer to %s", call.operation)
        called: Counter[str] = Counter()
        for job in self.plane.ledger.jobs.values():
            called[bytes(job.arguments.data).decode()] += 1
        taken = [text for call in self.done if call.kind == "take" for text in _texts(call.outcome)]
        [(_, items, _)] = self.plane.step(self._asked(PeekItems("q", 1000)), self.now).replies
        left = _texts(items)
        there = Counter([*taken, *left])
        for call in self.done:
            if call.kind == "put":
                sure(
                    there[call.body] == 1,
                    "N16",
                    "%s is there %d times",
                    call.body,
                    there[call.body],
                )
            elif call.kind != "take":
                sure(called[call.body] == 1, "N16", "%s ran %d times", call.body, called[call.body])
        most = max([*there.values(), *called.values()], default=0)
        sure(most <= 1, "N16", "something happened %d times", most)


def _command(kind: str, body: bytes) -> Command[Any]:
    if kind == "put":
        return PutItems("q", joined([body]), 1, timeout_s=0.0)
    if kind == "take":
        return TakeItems("q", 2)
    return SubmitJob("functions:1", Payload(body), wait_for_room=kind == "wait for room")


def _texts(items: Any) -> list[str]:
    return [bytes(data).decode() for data in split(items.items, items.count)]
