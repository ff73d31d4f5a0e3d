from __future__ import annotations

import socket
import threading

from apothic_emulator.executors import wire
from apothic_emulator.executors.control import Control
from apothic_emulator.executors.wire import Frame


def test_whoever_asks_after_the_channel_has_ended_is_told() -> None:
    near, far = socket.socketpair()
    far.close()
    answers: list[Frame | None] = []

    control = Control(near.detach())
    control.request(1, b"{}", (), answers.append)
    control.request(1, b"{}", (), answers.append)

    control._reader.join()
    control._socket.close()
    assert answers == [None, None]


def test_a_finaliser_may_ask_while_a_request_is_written() -> None:
    near, far = socket.socketpair()
    control = Control(near.detach())

    class Body(bytes):
        """Asks for something else while it is written."""

        def __len__(self) -> int:
            if not asked:
                asked.append(control.request(1, b"{}", (), lambda _: None))
            return super().__len__()

    asked: list[int] = []
    first = control.request(1, Body(b"[]"), (), lambda _: None)

    frames = [wire.receive_frame(far) for _ in range(2)]
    assert {frame.attempt for frame in frames if frame} == {first, *asked}
    far.close()
    control._reader.join()
    control._socket.close()


def test_what_is_given_up_is_told_while_a_reply_is_owed() -> None:
    near, far = socket.socketpair()
    control = Control(near.detach())
    answered = threading.Event()
    number = control.request(1, b"{}", (), lambda _: answered.set())
    control.give_up(number)
    wire.send_all(far, wire.frame_parts(Frame(wire.FAILURE, 0, number, 1, b"{}")))
    assert answered.wait(30)
    control.give_up(number)
    control.request(1, b"{}", (), lambda _: None)

    kinds = [frame.kind for _ in range(3) if (frame := wire.receive_frame(far))]
    assert kinds == [wire.COMMAND, wire.GIVE_UP, wire.COMMAND]
    far.close()
    control._reader.join()
    control._socket.close()
