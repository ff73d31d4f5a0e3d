"""Python programs and shells use the same server."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from apothic_backends.remote import frames
from apothic_backends.remote.frames import Hello
from tests.server.served import Served, served

PROGRAM = """
import apothic

app = apothic.App("both")
queue = apothic.Queue.from_name("both", create_if_missing=True)


@app.function()
def shout(text):
    return {"said": text.upper(), "by": [1, None, 2.5]}


if __name__ == "__main__":
    queue.put({"from": "python"})
    print(shout.remote("hello"))
    print(queue.get(partition="back", timeout_s=20))
"""


def test_a_program_and_a_shell_hand_things_to_one_another(server: Served, tmp_path: Path) -> None:
    server.reply("open-queue", queue="both")
    back = {"items": [{"data": ["from", {"a": "shell"}]}]}
    server.reply("put-items", queue="both", partition="back", items=back, count=1)

    out, said = server.program(tmp_path, PROGRAM, server.key("run")).communicate(timeout=60)

    assert said == ""
    result, got = out.splitlines()
    assert result == "{'said': 'HELLO', 'by': [1, None, 2.5]}"
    assert got == "['from', {'a': 'shell'}]"
    taken = server.reply("take-items", queue="both", timeout_s=0)
    assert taken["items"]["items"] == [{"codec": "json", "data": {"from": "python"}}]


def session(server: Served, token: str) -> ClientConnection:
    """A WebSocket of a client."""
    headers = {"Authorization": f"Bearer {token}"}
    return connect(f"ws://{server.own_host}/v1/session", additional_headers=headers)


@pytest.mark.parametrize("scope", ["agent", "metrics"])
def test_a_session_is_for_clients_alone(server: Served, scope: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        session(server, server.key(scope))

    assert refused.value.response.status_code == 403


@pytest.mark.parametrize("end", ["revoked", "expired"])
def test_a_session_ends_within_a_second_of_its_key(server: Served, end: str) -> None:
    token = server.key("run", ttl_s=1.0 if end == "expired" else None)
    with session(server, token) as socket:
        socket.send(frames.pack_value(frames.HELLO, 0, Hello("0" * 32, [])))
        socket.recv(20)

        if end == "revoked":
            server.reply("revoke-api-key", key_id=token.split("_")[1])

        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(2.0)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008


def test_a_session_hears_that_the_server_ends(home: Path) -> None:
    with served(home) as server, session(server, server.token) as socket:
        socket.send(frames.pack_value(frames.HELLO, 0, Hello("0" * 32, [])))
        socket.recv(20)

        assert server.stop() == 0

        with pytest.raises(ConnectionClosed):
            for _ in iter(lambda: socket.recv(20), None):
                pass


class Bomb:
    """What runs when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.path,)


def test_nothing_that_is_pickled_runs_in_the_server(server: Served, tmp_path: Path) -> None:
    from base64 import b64encode

    canary = tmp_path / "exploded"
    bomb = {"codec": "pickle5", "data": b64encode(pickle.dumps(Bomb(str(canary)))).decode()}
    server.reply("open-queue", queue="bombs")

    server.reply("put-items", queue="bombs", items={"items": [bomb]}, count=1)
    server.reply("put-key", name="bombs", key='"k"', value=bomb, create=True)
    taken = server.reply("take-items", queue="bombs", timeout_s=0)
    (read,) = server.reply("get-keys", name="bombs", keys=['"k"'])
    watched = server.reply("read-events", topic="dicts:bombs", snapshot=True)

    assert taken["items"]["items"][0]["codec"] == read["value"]["codec"] == "pickle5"
    assert bomb["data"] in str(watched)
    assert not canary.exists()
