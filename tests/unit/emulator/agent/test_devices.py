"""Devices of an agent: nobody gets one while a process that was killed still has it."""

from __future__ import annotations

from typing import Any

from apothic_backends.model.functions import FunctionSpec
from apothic_backends.model.payloads import Payload
from apothic_emulator.agent import channel, messages
from apothic_emulator.agent.channel import Channel, Frame, parse
from apothic_emulator.agent.messages import Devices, Give
from apothic_emulator.agent.outpost import Outpost
from apothic_emulator.core.effects import Dispatch, Kill, StartExecutor
from apothic_emulator.core.facts import Ended
from apothic_emulator.core.hellos import Capacity, Gpu, Welcome

ONE = Gpu("GPU-1", "H100", 81_559)


class Post:
    """An agent, and the far end of its channel."""

    def __init__(self) -> None:
        self.done: list[Any] = []
        self.outpost = Outpost(
            "a", "1", Capacity(4, 4096, (ONE,)), self.done.append, self.done.append
        )
        self.now = 0.0
        self.join()

    def join(self, *kills: int) -> None:
        """A control plane that knows nothing welcomes it."""
        self.far = Channel()
        self.outpost.hello(self.now)
        body = messages.to_bytes(Welcome(1, 1, "c", False, 30.0, kills))
        self.outpost.welcomed(Frame(channel.WELCOME, 0, 0, body), self.now)

    def tell(self, *said: Any) -> None:
        for message in said:
            self.far.send([messages.to_bytes(message)])
            data = self.far.next_frame()
            assert data is not None
            self.outpost.take(parse(data), self.now)

    def ended(self, executor: int) -> None:
        self.outpost.say(Ended(executor, "signal"), self.now)


def start(executor: int, *gpus: str) -> StartExecutor:
    return StartExecutor(executor, 1, FunctionSpec("app", "f"), Payload(b"f"), 1, gpus)


def test_an_executor_starts_when_the_one_before_has_ended() -> None:
    post = Post()
    post.tell(start(1, "GPU-1"), Kill(1), start(2, "GPU-1"))
    assert post.done == [start(1, "GPU-1"), Kill(1)]

    post.ended(1)

    assert post.done[2:] == [start(2, "GPU-1")]


def test_one_that_a_new_control_plane_does_not_know_holds_its_devices_too() -> None:
    post = Post()
    post.tell(start(1, "GPU-1"))
    post.join(1)
    post.tell(start(2, "GPU-1"))
    assert post.done == [start(1, "GPU-1"), Kill(1)]

    post.ended(1)

    assert post.done[2:] == [start(2, "GPU-1")]


def test_what_is_for_an_executor_that_has_not_started_waits_with_it() -> None:
    post = Post()
    give = Give(2, b"{}")
    call = Dispatch(2, 7, 1, Payload(b"x"))
    post.tell(start(1, "GPU-1"), start(2, "GPU-1"), give, call, Kill(2))
    assert post.done == [start(1, "GPU-1")]

    post.ended(1)

    assert post.done[1:] == [start(2, "GPU-1"), give, Kill(2)]


def test_other_devices_wait_for_nobody() -> None:
    post = Post()

    post.tell(start(1, "GPU-1"), start(2, "GPU-2"), start(3))

    assert post.done == [start(1, "GPU-1"), start(2, "GPU-2"), start(3)]


def shared(executor: int, min_vram_gb: int = 0) -> StartExecutor:
    spec = FunctionSpec("app", "f", gpu_count=1, gpu_share=True, min_vram_gb=min_vram_gb)
    return StartExecutor(executor, 1, spec, Payload(b"f"), 1, ("GPU-1",))


def test_those_that_share_wait_for_each_other_only_where_memory_runs_out() -> None:
    post = Post()

    post.tell(shared(1, 40), shared(2, 40), shared(3, 40))
    assert post.done == [shared(1, 40), shared(2, 40)]
    post.ended(2)

    assert post.done[2:] == [shared(3, 40)]


def test_one_that_shares_waits_for_one_that_does_not() -> None:
    post = Post()

    post.tell(start(1, "GPU-1"), shared(2))

    assert post.done == [start(1, "GPU-1")]


# --- changes -------------------------------------------------------------------------------------


def told(post: Post) -> list[Any]:
    """What the control plane hears."""
    heard: list[Any] = []
    while (data := post.outpost.channel.next_frame()) is not None:
        message = post.far.take(parse(data))
        if message is not None:
            heard.append(messages.from_bytes(message, messages.UP))
    return heard


LOST = Devices((ONE.replace(trouble="it fell off the bus"),))


def test_a_device_that_gets_into_trouble_is_told_of() -> None:
    post = Post()

    post.outpost.found(LOST)

    assert told(post) == [LOST]
    assert post.outpost.capacity.gpus == LOST.gpus


def test_it_is_told_with_the_first_word_where_there_is_no_control_plane_yet() -> None:
    outpost = Outpost("a", "1", Capacity(4, 4096, (ONE,)), lambda _: None, lambda _: None)

    outpost.found(LOST)

    assert not outpost.channel.is_unsent
    join = messages.from_bytes(parse(outpost.hello(0.0)).body)
    assert join.capacity.gpus == LOST.gpus


def test_it_is_told_again_where_the_first_word_was_said_before() -> None:
    post = Post()
    post.far = Channel()
    post.outpost.hello(post.now)
    post.outpost.found(LOST)

    body = messages.to_bytes(Welcome(1, 2, "d", False, 30.0))
    post.outpost.welcomed(Frame(channel.WELCOME, 0, 0, body), post.now)

    assert told(post) == [LOST]


def test_of_two_that_wait_the_first_comes_first() -> None:
    post = Post()
    post.tell(start(1, "GPU-1", "GPU-2"), start(2, "GPU-1"), start(3, "GPU-2"), start(4, "GPU-1"))

    post.ended(1)
    assert post.done[1:] == [start(2, "GPU-1"), start(3, "GPU-2")]

    post.ended(2)
    assert post.done[3:] == [start(4, "GPU-1")]


def test_all_that_wait_end_with_the_lease() -> None:
    post = Post()
    post.tell(start(1, "GPU-1"), start(2, "GPU-1"))

    post.outpost.tick(29.0)
    post.ended(1)

    assert post.done[1:] == [Kill(1), start(2, "GPU-1"), Kill(2)]
