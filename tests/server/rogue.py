"""An agent that says whatever it is told to, with the key of an agent, over the real protocol."""

from __future__ import annotations

import secrets
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from websockets.sync.client import ClientConnection, connect

from apothic_backends.model.payloads import Payload
from apothic_emulator.agent import channel, messages
from apothic_emulator.agent.channel import Channel, Frame, parse
from apothic_emulator.agent.messages import Answer
from apothic_emulator.core.effects import Dispatch, Go, StartExecutor
from apothic_emulator.core.facts import Accepted, Loaded, Reported
from apothic_emulator.core.hellos import Capacity, HeldExecutor, Join, Welcome
from tests.server.served import PATIENCE_S, Served

NONE = Payload(b"N.")


class Rogue:
    """One connection of it, which was welcomed."""

    def __init__(self, connection: ClientConnection, held: tuple[HeldExecutor, ...]) -> None:
        self._connection = connection
        self._channel = Channel()
        self._beats = 0
        self._waiting: list[Any] = []
        """What it was told, and has not looked at."""
        join = Join(secrets.token_hex(4), secrets.token_hex(4), Capacity(1, 100_000), "", held)
        self._send(Frame(channel.HELLO, 0, 0, messages.to_bytes(join), channel.VERSION))
        self.welcome: Welcome = messages.from_bytes(self._next().body)
        self._beat()
        self.executor = self.job = 0
        """What it runs."""

    def take_on(self) -> None:
        """Begin the job that it gets, as any agent does."""
        self.executor = self._until(StartExecutor).executor
        self.say(Loaded(self.executor))
        dispatched: Dispatch = self._until(Dispatch)
        self.job = dispatched.job
        self.say(Accepted(self.executor, self.job, dispatched.attempt))
        self._until(Go)

    def report(self) -> None:
        """Its job has ended, and that is written down."""
        self.say(Reported(self.executor, self.job, 1, NONE))

    def say(self, *told: Any) -> None:
        """Say all that, and wait until it was heard and is done with."""
        for message in told:
            self._channel.send([messages.to_bytes(message)])
        while (data := self._channel.next_frame()) is not None:
            self._connection.send(data)
        self._beat()

    @property
    def answers(self) -> int:
        """How many questions were answered."""
        return sum(type(message) is Answer for message in self._waiting)

    def _beat(self) -> None:
        self._beats += 1
        self._send(Frame(channel.BEAT, self._beats, self._channel.done))
        while not self._hear():
            pass

    def _hear(self) -> bool:
        """Take a frame in; whether it answers a beat."""
        frame = self._next()
        message = self._channel.take(frame)
        self._channel.finish(self._channel.taken)
        if message is not None:
            self._waiting.append(messages.from_bytes(message, messages.DOWN))
        return frame.kind == channel.BEAT

    def _until(self, kind: type[Any]) -> Any:
        while True:
            for at, message in enumerate(self._waiting):
                if type(message) is kind:
                    return self._waiting.pop(at)
            self._hear()

    def _send(self, frame: Frame) -> None:
        self._connection.send(frame.pack())

    def _next(self) -> Frame:
        data = self._connection.recv(PATIENCE_S)
        assert isinstance(data, bytes)
        return parse(data)


@contextmanager
def rogue(server: Served, token: str, *held: HeldExecutor) -> Generator[Rogue]:
    """One for the block, which says at first that it has these executors."""
    headers = {"Authorization": f"Bearer {token}"}
    with connect(f"ws://{server.own_host}/v1/agent", additional_headers=headers) as connection:
        yield Rogue(connection, held)
