from __future__ import annotations

from typing import Any

import pytest

from apothic_backends.model.errors import NotFound
from apothic_backends.model.functions import Condition, FunctionSpec, SecretRef
from apothic_backends.model.jobs import ErrorInfo
from apothic_backends.model.payloads import Payload
from apothic_emulator.agent import messages
from apothic_emulator.agent.channel import ChannelError
from apothic_emulator.agent.messages import Answer, Ask, Give
from apothic_emulator.core.effects import Dispatch, DispatchBatch, Kill, StartExecutor
from apothic_emulator.core.facts import Ended, Excess, Reported
from apothic_emulator.core.hellos import Capacity, Gpu, HeldExecutor, HeldJob, Join
from apothic_emulator.core.records import pack

LARGE = Payload(b"head", (b"one", b"two"))
SPEC = FunctionSpec(
    *("app", "f"),
    cpu=2,
    secrets=(SecretRef("s", ("K",)),),
    placement=(Condition("cpu_arch", "in", ("amd64", 1.5, True), "said"),),
)

SAID = [
    StartExecutor(1, 2, SPEC, LARGE, 3),
    Dispatch(1, 2, 3, LARGE),
    DispatchBatch(1, (Dispatch(1, 2, 3, LARGE), Dispatch(1, 4, 1, Payload(b"x")))),
    Reported(1, 2, 3, LARGE, None, retire=True),
    Reported(1, 2, 3, None, ErrorInfo("code", "text", data={"a": 1})),
    Ended(1, "oom", (2, 3), 9, excess=Excess(64, 80, "watchdog")),
    Ask(1, 2, 3, b"body", (b"", b"buffer")),
    Answer(1, 2, 8, b"body", (b"x",), lent=True),
    Join(
        "a",
        "1",
        Capacity(1.5, 64, (Gpu("u"),), {"cpu_arch": "arm64", "disk_space": 1.5}),
        "c",
        (HeldExecutor(1, 2, True, (HeldJob(1, 2, "done"),)),),
    ),
]


@pytest.mark.parametrize("message", SAID, ids=lambda it: type(it).__name__)
def test_a_message_comes_as_it_was(message: Any) -> None:
    assert messages.from_bytes(messages.to_bytes(message)) == message


def test_nothing_is_taken_that_is_not_said_in_its_direction() -> None:
    kill = messages.to_bytes(Kill(1))
    assert messages.from_bytes(kill, messages.DOWN) == Kill(1)

    with pytest.raises(ChannelError, match="Kill"):
        messages.from_bytes(kill, messages.UP)


@pytest.mark.parametrize(
    "head",
    [
        {"$": "Nothing", "_": []},
        {"$": "Kill", "_": ["x"]},
        {"$": "Kill", "_": []},
        {"$b": 7},
        {"$record": "Kill"},
    ],
    ids=str,
)
def test_what_is_no_message_is_refused(head: Any) -> None:
    with pytest.raises(ChannelError, match="cannot be read"):
        messages.from_bytes(pack((head,)))


def test_noise_is_refused() -> None:
    with pytest.raises(ChannelError):
        messages.from_bytes(b"\x00\xff")
    with pytest.raises(ChannelError):
        messages.error_from_bytes(b"{")


def test_secrets_are_in_no_repr() -> None:
    assert "value" not in repr(Give(1, b"value"))


def test_an_error_comes_as_it_was() -> None:
    error = messages.error_from_bytes(messages.error_to_bytes(NotFound("no such thing", name="x")))

    assert type(error) is NotFound
    assert error.data == {"name": "x"}


def test_what_is_no_error_is_one() -> None:
    assert "7" in str(messages.error_from_bytes(b"7"))
