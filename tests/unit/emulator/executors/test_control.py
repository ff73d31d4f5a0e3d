from __future__ import annotations

import socket

from apothic_emulator.executors.control import Control
from apothic_emulator.executors.wire import Frame


def test_whoever_asks_after_the_channel_has_ended_is_told() -> None:
    near, far = socket.socketpair()
    far.close()
    answers: list[Frame | None] = []

    control = Control(near.detach())
    control.request(1, b"{}", (), answers.append)
    control.request(1, b"{}", (), answers.append)

    assert control._thread is not None
    control._thread.join()
    control._socket.close()
    assert answers == [None, None]
