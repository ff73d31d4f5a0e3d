from __future__ import annotations

from typing import Any

import pytest

from apothic_backends import codec
from apothic_backends.commands import COMMANDS, GetJob, ReadEvents, SubmitJob
from apothic_backends.model.errors import (
    ApothicError,
    NotFound,
    UsageError,
    WaitTimeout,
    error_of,
)
from apothic_backends.model.events import Cursor
from apothic_backends.model.functions import FunctionSpec, MountSpec, RetryPolicy, SecretRef
from apothic_backends.model.ids import number_of
from apothic_backends.model.jobs import ErrorInfo, JobSnapshot, JobStatus
from apothic_backends.model.payloads import Payload
from apothic_backends.model.record import Record


class Base(Record):
    """A record."""

    one: int
    two: str = "two"


class Derived(Base):
    """A record with one more field."""

    three: int  # type: ignore[misc]


def test_required_fields_come_first_and_defaults_after() -> None:
    assert Derived.fields == ("one", "two", "three")
    made: Any = Derived
    assert made(1, 3).two == "two"


def test_records_are_equal_when_type_and_fields_are() -> None:
    assert Base(1) == Base(1)
    assert Base(1) != Base(2)
    assert Base(1) != "1"


def test_a_record_shows_its_fields() -> None:
    assert repr(Base(1)) == "Base(one=1, two='two')"


def test_a_copy_of_a_record_has_other_fields() -> None:
    assert Base(1).replace(two="2") == Base(1, "2")


def test_the_size_of_a_payload_counts_its_buffers() -> None:
    assert Payload(b"abc").nbytes == 3
    assert Payload(b"abc", (bytearray(5), memoryview(b"12"))).nbytes == 10


def test_a_payload_that_owns_its_buffers_does_not_change_with_their_owner() -> None:
    mine = bytearray(b"ab")
    payload = Payload(b"", (memoryview(mine), b"cd"))
    payload.own()
    mine[0] = 0

    assert payload.buffers == (b"ab", b"cd")
    Payload(b"").own()


def test_payloads_are_equal_when_the_same_bytes_would_travel() -> None:
    assert Payload(b"a", (b"b",)) == Payload(b"a", (bytearray(b"b"),))
    assert Payload(b"a") != Payload(b"a", codec="json")
    assert Payload(b"a") != b"a"


def test_a_payload_does_not_show_what_is_in_it() -> None:
    assert repr(Payload(b"secret")) == "<Payload pickle5 6 bytes>"


def test_an_error_comes_back_as_itself() -> None:
    error = error_of("not_found", "no such app", {"known": ["a"]})

    assert isinstance(error, NotFound)
    assert (error.message, error.data, error.code) == (
        "no such app",
        {"known": ["a"]},
        "not_found",
    )


def test_an_error_of_an_unknown_kind_says_so() -> None:
    assert error_of("new", "text", {}).message == "text (code 'new')"


def test_an_error_without_arguments_has_no_message() -> None:
    error = ApothicError("text")
    error.args = ()

    assert error.message == ""


def test_a_wait_timeout_is_a_timeout_error() -> None:
    assert issubclass(WaitTimeout, TimeoutError)


def test_delays_grow_up_to_their_limit() -> None:
    policy = RetryPolicy(5, 1.0, 2.0, 3.0)

    assert [policy.delay_s(retry) for retry in (1, 2, 3, 4)] == [1.0, 2.0, 3.0, 3.0]


def test_delays_stay_at_their_limit_however_many_retries_there_are() -> None:
    assert RetryPolicy(5000, 1.0, 10.0, 60.0).delay_s(5000) == 60.0
    assert RetryPolicy(5000, 0.0, 10.0, 60.0).delay_s(5000) == 0.0


def test_the_number_of_an_id_is_read() -> None:
    assert number_of("jobs:12", "jobs") == 12


def test_every_command_is_listed_under_its_name() -> None:
    assert all(command.__name__ == name for name, command in COMMANDS.items())


@pytest.mark.parametrize("status", JobStatus)
def test_five_statuses_are_final(status: JobStatus) -> None:
    running = {JobStatus.QUEUED, JobStatus.DISPATCHED, JobStatus.RUNNING}

    assert status.is_final is (status not in running)


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        1.5,
        "text",
        [1, (2, "3")],
        {"a": {"b": 1}},
        JobStatus.LOST,
        GetJob("jobs:1"),
        SubmitJob("functions:1", Payload(b"a", (b"b", b"c"))),
        FunctionSpec("app", "f", timeout_s=1, preload=("json",)),
        JobSnapshot("jobs:1", "functions:1", "app", "f", JobStatus.LOST, 1, False, 1.0, None, 2.0),
        ErrorInfo("code", "message", exception=Payload(b"a"), data={"a": 1}),
        ReadEvents("jobs", Cursor("here", 1)),
    ],
)
def test_a_value_that_travels_comes_back(value: Any) -> None:
    buffers: list[Any] = []

    assert codec.from_json(codec.to_json(value, buffers), buffers) == value


def test_a_text_that_comes_again_is_read_with_its_own_buffers() -> None:
    for data in (b"a", b"b", b"c"):
        sent, buffers = SubmitJob("functions:1", Payload(data, (b"large", data))), list[Any]()
        text = codec.to_bytes(sent, buffers)

        assert codec.from_bytes(text, buffers) == sent
    with pytest.raises(UsageError):
        codec.from_bytes(text, [])


def test_texts_that_were_read_are_not_held_for_ever() -> None:
    for n in range(1000):
        assert codec.from_bytes(codec.to_bytes(GetJob(f"jobs:{n}"), []), []) == GetJob(f"jobs:{n}")

    assert len(codec._shapes) <= codec._MOST_SHAPES


def test_nonsense_is_refused_each_time() -> None:
    for _ in range(3):
        with pytest.raises(UsageError):
            codec.from_bytes(b'{"$record":"GetJob","job_id":5}', [])


def test_an_error_travels() -> None:
    back = codec.from_json(codec.to_json(NotFound("no", known=[1]), []), [])

    assert (type(back), back.data) == (NotFound, {"known": [1]})


def test_what_does_not_travel_is_refused() -> None:
    with pytest.raises(TypeError):
        codec.to_json({1, 2}, [])


@pytest.mark.parametrize(
    "nonsense",
    [
        {"$record": "Popen"},
        {"$record": "GetJob"},
        {"$payload": ["pickle5", 5, 6]},
        {"$status": "happy"},
        {"$record": "GetJob", "job_id": 5},
        {"$record": "ReadEvents", "limit": "5"},
        {"$record": "ReadEvents", "after": {"$record": "GetJob", "job_id": "jobs:1"}},
        {"$record": "SubmitJob", "function_id": "functions:1", "arguments": None},
        {"$record": "FunctionSpec", "app_name": "a", "name": "f", "timeout_s": "1"},
        {"$record": "FunctionSpec", "app_name": "a", "name": "f", "preload": {"$tuple": [1]}},
        {"what": 1},
    ],
)
def test_nonsense_is_refused(nonsense: Any) -> None:
    with pytest.raises(UsageError):
        codec.from_json(nonsense, [])


def test_a_function_needs_its_secrets_and_those_that_open_its_buckets() -> None:
    own, keys = SecretRef("TOKEN"), ("ACCESS", "SECRET")
    buckets = [MountSpec("bucket", name, f"/{name}", keys=keys) for name in ("a", "b")]

    assert FunctionSpec("app", "f", secrets=(own,)).needs == (own,)
    assert FunctionSpec("app", "f", secrets=(own,), mounts=tuple(buckets)).needs == (
        own,
        SecretRef("ACCESS"),
        SecretRef("SECRET"),
    )
