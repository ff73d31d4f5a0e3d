"""Clients that come and vanish: no more of them are kept than there is room for."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from apothic_backends.commands.queues import OpenQueue
from apothic_backends.remote import frames
from apothic_backends.remote.frames import Hello
from apothic_emulator.server import sessions
from apothic_emulator.server.session import Session
from apothic_emulator.server.sessions import Sessions


class Quiet:
    """A host that nobody asks for anything."""

    dead = None
    durability = "disk"

    def __init__(self) -> None:
        self.plane = self.reader = self
        self.posted: list[Any] = []

    def post(self, item: Any) -> None:
        self.posted.append(item)

    def watch(self) -> None:
        """Somebody looks anyway."""


async def visit(known: Sessions, client: int) -> None:
    """A client says hello, and its connection is cut."""
    hello = frames.pack_record(frames.HELLO, Hello(f"{client:032x}", []))
    messages: list[Any] = [
        {"type": "websocket.connect"},
        {"type": "websocket.receive", "bytes": hello},
        {"type": "websocket.disconnect"},
    ]

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        pass

    await known.serve(receive, send)


@pytest.mark.parametrize("comes_back", [False, True])
def test_of_clients_that_are_cut_off_the_first_is_over_when_there_are_too_many(
    monkeypatch: pytest.MonkeyPatch, comes_back: bool
) -> None:
    monkeypatch.setattr(sessions, "MOST_CUT", 3)

    async def visits() -> list[int]:
        known = Sessions(Quiet())  # type: ignore[arg-type]
        for client in (1, 2, 3, *[1] * comes_back, 4, 5):
            await visit(known, client)
        return [int(client, 16) for client in known._known]

    assert anyio.run(visits) == ([1, 4, 5] if comes_back else [3, 4, 5])


def test_what_is_given_up_is_answered_when_that_and_what_undoes_it_is_durable() -> None:
    host, told = Quiet(), Told()
    session = Session("c", host, frames.MOST_BYTES)  # type: ignore[arg-type]
    session.attach(told, set())  # type: ignore[arg-type]
    ask = frames.unpack(frames.pack_value(frames.ASK, 1, OpenQueue("q"), once=True))
    session.take(ask, bool)
    session.take(frames.unpack(frames.pack(frames.GIVE_UP, 1)), bool)
    assert told.kinds == []

    host.posted[-1].token.complete("disk")
    assert told.kinds == []
    host.posted[-1].token.complete("disk")

    assert told.kinds == [frames.FAIL]


class Told:
    """A connection."""

    def __init__(self) -> None:
        self.kinds: list[str] = []

    def put(self, data: bytes) -> None:
        self.kinds.append(frames.unpack(data).kind)
