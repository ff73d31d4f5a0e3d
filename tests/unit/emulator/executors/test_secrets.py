"""What an executor does with its secrets when it gets them."""

from __future__ import annotations

import json
import resource
import socket
from collections.abc import Iterator

import pytest

from apothic_emulator.executors import secrets, wire
from apothic_emulator.executors.boxed import Place
from apothic_emulator.executors.control import Control
from apothic_emulator.executors.wire import Frame


@pytest.fixture(autouse=True)
def core_dumps() -> Iterator[None]:
    """As before, after the test: whoever has secrets makes none."""
    before = resource.getrlimit(resource.RLIMIT_CORE)
    yield
    resource.setrlimit(resource.RLIMIT_CORE, before)


def test_a_container_without_a_place_for_secrets_fails_to_load_and_shows_no_value() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        given = json.dumps([{"TOKEN": "canary-in-a-coal-mine"}, {}]).encode()
        control = Control(theirs.detach())
        wire.send_all(ours, wire.frame_parts(Frame(wire.REPLY, 0, 0, 0, given)))

        with pytest.raises(secrets.Missing) as found:
            secrets.take(control, Place({}))
        control._socket.close()

    told = json.loads(found.value.body)
    assert told["code"] == "setup_failed"
    assert "cannot be kept in the container: [Errno 2]" in told["message"]
    assert "canary" not in str(told)
