from __future__ import annotations

import json

import pytest

from apothic_backends.commands import GetJob, SubmitJob
from apothic_backends.model.errors import NotFound, UsageError
from apothic_backends.model.payloads import Payload
from apothic_backends.remote import frames
from apothic_backends.remote.errors import PayloadTooLarge
from apothic_backends.remote.frames import Hello
from apothic_backends.remote.operations import changes_something

SUBMIT = SubmitJob("functions:1", Payload(b"abc", (b"x" * 10, memoryview(b"yz"))))


@pytest.mark.parametrize("value", [None, 7, GetJob("jobs:1"), SUBMIT, ("a", 1.5)])
def test_a_value_travels(value: object) -> None:
    message = frames.unpack(frames.pack_value(frames.ASK, 3, value, once=True))

    assert (message.kind, message.number, message.once) == (frames.ASK, 3, True)
    assert message.value() == value


def test_an_error_travels_as_itself() -> None:
    error = NotFound("no such", name="x")

    told = frames.unpack(frames.pack_value(frames.FAIL, 3, error)).value()

    assert (type(told), str(told), told.data) == (NotFound, "no such", {"name": "x"})


def test_what_a_newer_version_says_beside_it_is_passed_over() -> None:
    data = frames.pack(frames.HELLO, 0, {"client": "c", "pending": [], "mood": "fine"})

    assert frames.unpack(data).record(Hello) == Hello("c", [])


@pytest.mark.parametrize("most", [5, 14])
def test_too_much_is_refused_before_it_is_sent(most: int) -> None:
    with pytest.raises(PayloadTooLarge) as caught:
        frames.pack_value(frames.ASK, 1, SUBMIT, most=most)

    assert caught.value.data["most"] == most


GOOD = frames.pack_value(frames.ASK, 1, SUBMIT)


@pytest.mark.parametrize("size", range(len(GOOD)))
def test_a_part_of_a_message_is_none(size: int) -> None:
    with pytest.raises(UsageError):
        frames.unpack(GOOD[:size])


def head(**fields: object) -> bytes:
    text = json.dumps({"kind": "ask", "number": 1, **fields}).encode()
    return len(text).to_bytes(4, "big") + text


@pytest.mark.parametrize(
    "data",
    [
        GOOD + b"x",
        b"\xff\xff\xff\xff",
        b"\0\0\0\1[",
        b"\0\0\0\2[]",
        b"\0\0\0\2\xff\xff",
        b"\0\x0f\x42\x40" + b"[" * 1_000_000,
        head(number=-1),
        head(number=1 << 60),
        head(number=True),
        head(number="1"),
        head(kind=7),
        head(sizes=[-1]),
        head(sizes=[1 << 62]),
        head(sizes=["1"]),
        head(sizes=7),
        head(number=int("9" * 4000)),
    ],
)
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(UsageError, match="not a message of ours"):
        frames.unpack(data)


@pytest.mark.parametrize("body", [{"$record": "NoSuch"}, {"$payload": ["pickle5", 0, 9]}, {"a": 1}])
def test_a_body_of_something_else_is_refused(body: object) -> None:
    with pytest.raises(UsageError):
        frames.unpack(frames.pack(frames.ASK, 1, body)).value()


def test_commands_that_look_may_come_twice() -> None:
    assert not changes_something(GetJob("jobs:1"))
    assert changes_something(SUBMIT)
