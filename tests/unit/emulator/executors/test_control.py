from __future__ import annotations

import signal
import socket
import threading
import time

from apothic_backends.ticket import Ticket
from apothic_emulator.executors import wire
from apothic_emulator.executors.control import Control
from apothic_emulator.executors.wire import Frame


def test_whoever_asks_after_the_channel_has_ended_is_told() -> None:
    near, far = socket.socketpair()
    far.close()
    answers: list[Frame | None] = []

    control = Control(near.detach())
    control.start()
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
    control.start()
    control._reader.join()
    control._socket.close()


def test_what_is_given_up_is_told_while_a_reply_is_owed() -> None:
    near, far = socket.socketpair()
    control = Control(near.detach())
    control.start()
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


def reply(number: int, body: bytes = b"{}") -> bytes:
    return b"".join(map(bytes, wire.frame_parts(Frame(wire.REPLY, 0, number, 1, body))))


def asked(control: Control) -> tuple[int, Ticket[bytes]]:
    """A request, and the ticket that its reply completes."""
    ticket: Ticket[bytes] = Ticket()

    def answer(frame: Frame | None) -> None:
        ticket.complete(bytes(frame.body) if frame else b"")

    return control.request(1, b"{}", (), answer), ticket


def test_whoever_waits_reads_and_no_thread_is_started() -> None:
    near, far = socket.socketpair()
    control = Control(near.detach())
    first, second = asked(control), asked(control)
    far.sendall(reply(second[0], b"two") + reply(first[0], b"one"))

    assert control.lead(first[1], None)

    assert (first[1].wait(), second[1].wait()) == (b"one", b"two")
    assert not control._reader.is_alive()
    far.close()
    control._socket.close()


def test_a_frame_that_comes_in_pieces_is_read_by_one_leader_after_the_other() -> None:
    near, far = socket.socketpair()
    control = Control(near.detach())
    number, ticket = asked(control)
    whole = reply(number, b"x" * 100_000)
    far.sendall(whole[:50])
    assert control.lead(ticket, time.monotonic() + 0.01)
    assert not ticket.done
    sender = threading.Thread(target=far.sendall, args=(whole[50:],))
    sender.start()

    assert control.lead(ticket, time.monotonic() + 30)

    assert ticket.wait() == b"x" * 100_000
    sender.join()
    far.close()
    control._socket.close()


def test_nobody_leads_where_a_thread_reads() -> None:
    near, far = socket.socketpair()
    control = Control(near.detach())
    control.start()
    number, ticket = asked(control)

    assert not control.lead(ticket, None)

    far.sendall(reply(number, b"by the thread"))
    assert ticket.wait(30) == b"by the thread"
    far.close()
    control._reader.join()
    control._socket.close()


def test_a_thread_that_is_started_meanwhile_goes_on_after_the_leader() -> None:
    near, far = socket.socketpair()
    control = Control(near.detach())
    first, second = asked(control), asked(control)
    control._reading.acquire()
    control.start()
    control._reading.release()
    far.sendall(reply(first[0], b"one") + reply(second[0], b"two"))

    assert (first[1].wait(30), second[1].wait(30)) == (b"one", b"two")
    far.close()
    control._reader.join()
    control._socket.close()


def test_a_leader_hears_that_the_channel_has_ended() -> None:
    near, far = socket.socketpair()
    control = Control(near.detach())
    _, ticket = asked(control)
    far.close()

    assert control.lead(ticket, None)

    assert ticket.wait() == b""
    control._socket.close()


def test_a_handler_that_raises_while_a_leader_reads_loses_nothing() -> None:
    near, far = socket.socketpair()
    control = Control(near.detach())
    number, ticket = asked(control)

    def interrupt(*_: object) -> None:
        raise TimeoutError("enough")

    before = signal.signal(signal.SIGALRM, interrupt)
    # Again after a second: an alarm that comes just before the thread blocks would wake nobody.
    signal.setitimer(signal.ITIMER_REAL, 0.01, 1.0)
    try:
        control.lead(ticket, None)
    except TimeoutError:
        pass
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
    far.sendall(reply(number, b"later"))

    assert control.lead(ticket, None)
    assert ticket.wait() == b"later"
    far.close()
    control._socket.close()
