"""One call for several inputs, without a process around it."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Mapping
from functools import wraps
from socket import socketpair
from typing import Any, NamedTuple

import pytest

from apothic_emulator.executors import calls, packets, wire
from apothic_emulator.executors.batches import MISMATCH, RAISED, Batch, Signature, receive_rest
from apothic_emulator.executors.child import error_report
from apothic_emulator.executors.stops import Stopped
from apothic_emulator.executors.wire import Frame


class Teller:
    """What a batch needs of its executor."""

    passing = Stopped

    def finished(self, value: Any) -> Any:
        data, parts = calls.encode_result(value)
        return wire.RESULT, data, parts

    def failed(self, error: BaseException, skip: int | None = None) -> Any:
        return error_report(calls.failure_of(error, skip or 0))

    def told(self, code: str, message: str, type_name: str = "") -> Any:
        return error_report(calls.told(code, message, type_name))


class Told(NamedTuple):
    result: Any = None
    code: str = ""
    message: str = ""
    traceback: str = ""


def frame(job: int, *args: Any, **kwargs: Any) -> Frame:
    return Frame(wire.JOB, 0, 1, job, pickle.dumps((args, kwargs)))


def run(function: Callable[..., Any], *frames: Frame) -> list[Told]:
    """Call it for all of them; what each is told."""
    batch = Batch(Teller(), Signature(function), frames)
    try:
        args, kwargs = batch.take()
        if batch.rows:
            batch.finish(function(*args, **kwargs))
    except Exception as error:
        batch.fail(error, skip=1)
    assert [job for job, _, _ in batch.reports()] == [f.job for f in frames]
    return [read(report) for _, _, report in batch.reports()]


def read(report: Any) -> Told:
    kind, body, buffers = report
    if kind == wire.RESULT:
        return Told(result=pickle.loads(body, buffers=buffers))
    info = json.loads(body)
    return Told(None, info["code"], info["message"], info["traceback"])


def double(values: list[int]) -> list[int]:
    return [value * 2 for value in values]


def join(first: list[str], /, second: list[str], *, end: list[str]) -> list[str]:
    return [a + b + c for a, b, c in zip(first, second, end, strict=True)]


def test_each_input_gets_its_result() -> None:
    assert [told.result for told in run(double, frame(1, 1), frame(2, 5))] == [2, 10]


def test_inputs_are_merged_by_parameter_however_they_are_spelled() -> None:
    told = run(join, frame(1, "a", "b", end="."), frame(2, "c", end="!", second="d"))

    assert [one.result for one in told] == ["ab.", "cd!"]


@pytest.mark.parametrize(
    "bad",
    [
        frame(2),
        frame(2, 1, 2),
        frame(2, valeus=1),
        frame(2, 1, values=2),
    ],
)
def test_arguments_that_do_not_fit_fail_their_input_as_a_plain_call_would(bad: Frame) -> None:
    args, kwargs = pickle.loads(bad.body)
    with pytest.raises(TypeError) as plain:
        double(*args, **kwargs)

    told = run(double, frame(1, 1), bad, frame(3, 3))

    assert [one.result for one in told] == [2, None, 6]
    assert (told[1].code, told[1].message) == ("user_error", str(plain.value))


def test_a_method_of_a_class_is_called_by_its_full_name_in_complaints() -> None:
    def inner(values: list[int]) -> list[int]:
        return values

    (told,) = run(inner, frame(1))

    assert ".<locals>.inner() missing 1 required positional argument: 'values'" in told.message


def test_arguments_that_cannot_be_unpickled_fail_their_input() -> None:
    broken = Frame(wire.JOB, 0, 1, 2, b"no pickle")

    told = run(double, frame(1, 1), broken)

    assert (told[0].result, told[1].code) == (2, "user_error")


def test_a_call_without_inputs_is_not_made() -> None:
    def never(values: list[int]) -> list[int]:
        raise AssertionError

    assert "missing" in run(never, frame(1))[0].message


def test_an_exception_among_the_results_fails_its_input_and_shows_where_it_came_from() -> None:
    def careful(values: list[int]) -> list[Any]:
        results: list[Any] = []
        for value in values:
            try:
                results.append(1 // value)
            except ZeroDivisionError as error:
                results.append(error)
        return results

    told = run(careful, frame(1, 1), frame(2, 0))

    assert told[0].result == 1
    assert told[1].code == "user_error"
    assert "in careful" in told[1].traceback


def test_a_result_that_cannot_be_sent_fails_its_input() -> None:
    def locks(values: list[int]) -> list[Any]:
        return [1, (value for value in values)]

    told = run(locks, frame(1, 1), frame(2, 2))

    assert (told[0].result, told[1].code) == (1, "result_not_serializable")


class Pairs(Mapping[int, int]):
    def __getitem__(self, key: int) -> int:
        return key

    def __iter__(self) -> Any:
        return iter(())

    def __len__(self) -> int:
        return 2


@pytest.mark.parametrize("value", [None, 3, "ab", b"ab", {1: 2, 3: 4}, Pairs(), iter([1, 2]), [1]])
def test_what_is_no_list_of_as_many_results_is_a_mismatch_for_all(value: Any) -> None:
    told = run(lambda values: value, frame(1, 1), frame(2, 2))

    assert [one.code for one in told] == [MISMATCH, MISMATCH]
    assert "for 2 inputs" in told[0].message


@pytest.mark.parametrize("value", [(1, 2), range(1, 3)])
def test_what_is_like_a_list_will_do(value: Any) -> None:
    told = run(lambda values: value, frame(1, 1), frame(2, 2))

    assert [one.result for one in told] == [1, 2]


def fails(values: list[int]) -> list[int]:
    raise LookupError(values)


def test_when_the_call_raises_nobody_is_to_blame_yet() -> None:
    told = run(fails, frame(1, 1), frame(2, 2), frame(3))

    assert [one.code for one in told] == [RAISED, RAISED, "user_error"]


def test_the_only_input_of_a_call_that_raises_is_to_blame() -> None:
    told = run(fails, frame(1, 1), frame(2))

    assert [one.code for one in told] == ["user_error", "user_error"]
    assert told[0].message == "[1]"


def test_an_input_that_is_stopped_while_it_is_unpickled_stops_the_call() -> None:
    class Stops:
        def __reduce__(self) -> Any:
            return (stop, ())

    batch = Batch(Teller(), Signature(double), [frame(1, Stops()), frame(2, 2)])

    with pytest.raises(Stopped):
        batch.take()
    batch.fail(Stopped(), skip=1)
    assert [read(report).code for _, _, report in batch.reports()] == [RAISED, RAISED]


def stop() -> None:
    raise Stopped


def test_a_decorated_function_has_the_parameters_of_what_it_wraps() -> None:
    @wraps(double)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return double(*args, **kwargs)

    assert [told.result for told in run(wrapper, frame(1, values=4))] == [8]


@pytest.mark.parametrize("size", [10, 50_000])
def test_a_batch_travels_as_one_packet_and_what_follows_it(size: int) -> None:
    frames = [
        Frame(wire.JOB, 0, n, 7 + n, b"a" * size, (memoryview(b"b" * n).cast("B"),) if n else ())
        for n in range(3)
    ]

    packet, rest = packets.batch_packet(frames)

    assert packets.peek(packet) == (wire.BATCH, (7, 8, 9), not rest)
    assert len(packet) <= wire.MOST_PACKET
    ours, theirs = socketpair()
    with ours, theirs:
        wire.send_all(ours, rest)
        ours.shutdown(1)
        _, found = receive_rest(theirs, wire.parse_packet(packet))
    got = [(f.job, f.attempt, bytes(f.body), tuple(map(bytes, f.buffers))) for f in found]
    sent = [(f.job, f.attempt, bytes(f.body), tuple(map(bytes, f.buffers))) for f in frames]
    assert got == sent


def test_a_batch_whose_channel_ends_is_an_error() -> None:
    packet, _ = packets.batch_packet([Frame(wire.JOB, 0, 1, n, b"a" * 50_000) for n in range(2)])
    ours, theirs = socketpair()
    with theirs:
        ours.close()
        with pytest.raises(wire.WireError, match="inside a batch"):
            receive_rest(theirs, wire.parse_packet(packet))


def test_frames_are_written_in_few_pieces() -> None:
    small = [Frame(wire.RESULT, 0, 1, n, b"a") for n in range(3)]
    large = Frame(wire.RESULT, 0, 1, 9, b"b" * 100_000)

    assert len(packets.joined(small)) == 1
    assert b"".join(packets.joined([*small, large, *small])) == b"".join(
        bytes(part) for f in [*small, large, *small] for part in wire.frame_parts(f)
    )
