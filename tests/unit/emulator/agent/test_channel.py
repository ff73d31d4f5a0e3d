from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given, settings, strategies as st

from apothic_emulator.agent import channel
from apothic_emulator.agent.channel import Channel, ChannelError, Frame, parse

OPS = st.lists(
    st.tuples(
        st.sampled_from(["send", "send", "pass", "pass", "pass", "twice", "lose", "cut", "finish"]),
        st.booleans(),
        st.binary(max_size=40),
    ),
    max_size=120,
)


class Ends:
    """Two ends, and a link between them that may do anything but garble."""

    def __init__(self) -> None:
        self.ends = (Channel(most_frame=16), Channel(most_frame=16))
        self.link: tuple[deque[bytes], deque[bytes]] = (deque(), deque())
        self.sent: tuple[list[bytes], list[bytes]] = ([], [])
        self.got: tuple[list[bytes], list[bytes]] = ([], [])

    def write(self, side: int) -> None:
        while (data := self.ends[side].next_frame()) is not None:
            self.link[side].append(data)

    def hand_over(self, side: int, data: bytes) -> None:
        """The other end takes a frame; if that cannot come, it hangs up."""
        other = 1 - side
        try:
            message = self.ends[other].take(parse(data))
        except ChannelError:
            self.cut()
            return
        if message is not None:
            self.got[side].append(bytes(message))

    def cut(self) -> None:
        for link in self.link:
            link.clear()
        taken = [end.taken for end in self.ends]
        self.ends[0].resume(taken[1])
        self.ends[1].resume(taken[0])

    def do(self, op: str, side: int, body: bytes) -> None:
        if op == "send":
            self.ends[side].send([body])
            self.sent[side].append(body)
        self.write(side)
        if op == "cut":
            self.cut()
        elif op == "finish":
            self.ends[side].finish(self.ends[side].taken)
        elif self.link[side] and op != "send":
            data = self.link[side].popleft()
            for _ in range({"pass": 1, "twice": 2, "lose": 0}[op]):
                self.hand_over(side, data)

    def heal(self) -> None:
        self.cut()
        for _ in range(4):
            for side in (0, 1):
                self.ends[side].finish(self.ends[side].taken)
                self.write(side)
                while self.link[side]:
                    self.hand_over(side, self.link[side].popleft())


@settings(max_examples=400, deadline=None)
@given(OPS)
def test_every_message_arrives_once_and_in_order_over_any_link(
    ops: list[tuple[str, bool, bytes]],
) -> None:
    ends = Ends()
    for op, side, body in ops:
        ends.do(op, int(side), body)
        for way in (0, 1):
            assert ends.got[way] == ends.sent[way][: len(ends.got[way])]
    ends.heal()

    assert ends.got == ends.sent
    for end in ends.ends:
        assert end.nbytes == 0
        assert not end.is_behind


def test_what_is_not_done_with_is_held() -> None:
    ends = Ends()
    ends.do("send", 0, b"a")
    ends.do("pass", 0, b"")
    ends.write(1)
    assert ends.ends[0].nbytes == 1

    ends.do("finish", 1, b"")
    ends.do("pass", 1, b"")

    assert ends.ends[0].nbytes == 0


def test_whoever_can_wait_should_when_too_much_is_held() -> None:
    end = Channel()
    assert not end.is_full

    end.send([bytes(channel.MOST_WAITING + 1)])

    assert end.is_full


def test_a_message_is_cut_so_that_what_is_urgent_need_not_wait() -> None:
    end = Channel()
    end.send([bytes(channel.MOST_FRAME), b"x"])

    sizes = []
    while (data := end.next_frame()) is not None:
        sizes.append(len(parse(data).body))
    assert sizes == [channel.MOST_FRAME, 1]


def test_an_empty_message_is_a_message() -> None:
    ends = Ends()
    ends.do("send", 0, b"")
    ends.do("pass", 0, b"")

    assert ends.got[0] == [b""]


@pytest.mark.parametrize("at", range(24))
def test_no_bit_can_change_unnoticed(at: int) -> None:
    data = bytearray(Frame(channel.DATA, 1, 2, b"12").pack())
    data[at] ^= 4

    with pytest.raises(ChannelError):
        parse(data)


@pytest.mark.parametrize("data", [b"", b"x" * 21, bytes(channel.MOST_FRAME + 23)])
def test_what_is_no_frame_is_refused(data: bytes) -> None:
    with pytest.raises(ChannelError, match="bytes"):
        parse(data)


@pytest.mark.parametrize("kind", [0, channel.LAST + 1])
def test_a_frame_of_no_known_kind_is_refused(kind: int) -> None:
    with pytest.raises(ChannelError, match="kind"):
        parse(Frame(kind, 0, 0).pack())


def test_a_number_that_is_left_out_breaks_the_connection() -> None:
    with pytest.raises(ChannelError, match="frame 2 after 0"):
        Channel().take(Frame(channel.DATA, 2, 0))


def test_what_was_not_sent_cannot_be_acknowledged() -> None:
    end = Channel()
    end.send([b"x"])  # and nobody has written it

    with pytest.raises(ChannelError, match="not sent"):
        end.take(Frame(channel.ACK, 0, 1))


@pytest.mark.parametrize("taken", [-1, 1])
def test_nobody_can_have_what_was_not_sent(taken: int) -> None:
    with pytest.raises(ChannelError, match="frames"):
        Channel().resume(taken)


def test_a_message_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel, "MOST_MESSAGE", 3)
    end = Channel()
    end.take(Frame(channel.DATA, 1, 0, b"ab", channel.MORE))

    with pytest.raises(ChannelError, match="more than"):
        end.take(Frame(channel.DATA, 2, 0, b"cd", channel.MORE))
