"""What every backend does with generators."""

from __future__ import annotations

import pickle
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from apothic_backends.commands import (
    CancelJob,
    Command,
    OpenItems,
    ReadItems,
    ReleaseJob,
    RunJob,
    SubmitJob,
    WaitJob,
)
from apothic_backends.model.errors import (
    JobGone,
    NotFound,
    QueueFull,
    UsageError,
    WaitTimeout,
)
from apothic_backends.model.functions import RetryPolicy
from apothic_backends.model.jobs import ItemBatch, JobOutcome, JobStatus
from apothic_backends.model.payloads import PICKLES
from tests.conformance.client import Client, arguments


def add(a: int, b: int) -> int:
    return a + b


def count(most: int) -> Iterator[int]:
    yield from range(most)


async def count_awaited(most: int) -> AsyncIterator[int]:
    for i in range(most):
        yield i


def count_then_fail(most: int) -> Iterator[int]:
    yield from range(most)
    raise KeyError("missing")


def count_then_hang(most: int) -> Iterator[int]:
    import threading

    yield from range(most)
    threading.Event().wait()


def count_then_die(most: int) -> Iterator[int]:
    import os
    import signal

    yield from range(most)
    os.kill(os.getpid(), signal.SIGKILL)


def fail_once(path: str) -> Iterator[str]:
    from pathlib import Path

    if not Path(path).exists():
        Path(path).touch()
        raise KeyError("missing")
    yield "second attempt"


def write_down(path: str) -> Iterator[int]:
    from pathlib import Path

    with Path(path).open("w") as file:
        for i in range(1_000_000):
            file.write(f"{i}\n")
            file.flush()
            yield i


def buffers(size: int) -> Iterator[Any]:
    import pickle

    memory = bytearray(size)
    for i in range(3):
        memory[0] = i
        yield "small"
        yield pickle.PickleBuffer(memory)


async def opened(client: Client, function: Callable[..., Any], *args: Any, **options: Any) -> str:
    f = await client.register(
        function, is_generator=True, is_async="awaited" in function.__name__, **options
    )
    return await client.backend.start(OpenItems(f, arguments(*args)))


async def read(client: Client, job: str, after: int) -> ItemBatch:
    return await client.backend.start(ReadItems(job, after))


def decoded(batch: ItemBatch) -> list[Any]:
    """The items of a batch."""
    if batch.items is None:
        return []
    assert batch.items.codec == PICKLES
    data, found, beside = batch.items.data, [], iter(batch.items.buffers)
    at = 4 * batch.count
    for length in struct.unpack_from(f"<{batch.count}I", data):
        found.append(pickle.loads(data[at : at + length], buffers=beside))
        at += length
    return found


async def read_all(client: Client, job: str, after: int = 0) -> tuple[list[Any], JobOutcome]:
    """The items after a position, and how the job ended."""
    found: list[Any] = []
    while True:
        batch = await read(client, job, after + len(found))
        found += decoded(batch)
        if batch.outcome is not None:
            return found, batch.outcome


@pytest.mark.parametrize("function", [count, count_awaited])
@pytest.mark.parametrize("most", [0, 1, 3, 600])  # more than twice what may be ahead of a reader
async def test_items_come_in_order_and_then_the_end(
    client: Client, function: Callable[..., Any], most: int
) -> None:
    items, outcome = await read_all(client, await opened(client, function, most))

    assert items == list(range(most))
    assert outcome.status is JobStatus.SUCCEEDED


async def test_many_slots_serve_many_readers(client: Client) -> None:
    f = await client.register(count, is_generator=True, concurrent_requests=3)
    jobs = [await client.backend.start(OpenItems(f, arguments(600))) for _ in range(3)]

    assert [(await read_all(client, job))[0] for job in jobs] == [list(range(600))] * 3


async def test_items_before_an_error_are_given(client: Client) -> None:
    items, outcome = await read_all(client, await opened(client, count_then_fail, 300))

    assert items == list(range(300))
    assert outcome.error is not None
    assert outcome.error.type_name == "KeyError"


@pytest.mark.needs("processes")
async def test_a_generator_that_is_lost_is_not_run_again_once_an_item_was_taken(
    client: Client,
) -> None:
    retries = RetryPolicy(max_retries=3, initial_delay_s=0.0)
    items, outcome = await read_all(
        client, await opened(client, count_then_die, 1, retries=retries)
    )

    assert outcome.status is JobStatus.LOST
    assert items in ([], [0])


async def test_a_generator_that_failed_before_its_first_item_is_tried_again(
    client: Client, tmp_path: Any
) -> None:
    retries = RetryPolicy(max_retries=1, initial_delay_s=0.0)
    job = await opened(client, fail_once, str(tmp_path / "seen"), retries=retries)

    assert (await read_all(client, job))[0] == ["second attempt"]


async def test_a_batch_can_be_read_again_until_what_follows_is_asked_for(client: Client) -> None:
    job = await opened(client, count, 10)
    first = await read(client, job, 0)

    assert decoded(await read(client, job, 0)) == decoded(first)
    await read(client, job, first.count)
    with pytest.raises((UsageError, JobGone)):
        await read(client, job, 0)


async def test_a_position_where_no_batch_ends_is_refused(client: Client) -> None:
    job = await opened(client, count_then_hang, 1)
    await read(client, job, 0)

    with pytest.raises(UsageError, match="no position"):
        await read(client, job, 99)


async def test_a_second_reader_is_refused_while_the_first_waits(client: Client) -> None:
    job = await opened(client, count_then_hang, 0)
    first = client.backend.start(ReadItems(job))

    with pytest.raises(UsageError, match="already"):
        await read(client, job, 0)
    first.cancel()


async def test_a_generator_waits_for_its_reader(client: Client, tmp_path: Any) -> None:
    path = tmp_path / "written"
    job = await opened(client, write_down, str(path))
    batch = await read(client, job, 0)
    with pytest.raises(WaitTimeout):
        client.backend.start(WaitJob(job)).wait(0.3)

    assert len(path.read_text().splitlines()) <= batch.count + 257


async def test_large_buffers_are_as_they_were_when_they_were_yielded(client: Client) -> None:
    items, _ = await read_all(client, await opened(client, buffers, 300_000))

    assert [bytes(item[:1]) for item in items[1::2]] == [b"\0", b"\1", b"\2"]


async def test_the_items_of_a_cancelled_generator_end_with_cancelled(client: Client) -> None:
    job = await opened(client, count_then_hang, 3)
    await read(client, job, 0)
    await client.backend.start(CancelJob(job))
    _, outcome = await read_all(client, job, 1)

    assert outcome.status is JobStatus.CANCELLED


async def test_a_released_generator_cannot_be_read(client: Client) -> None:
    job = await opened(client, count, 3)
    await client.backend.start(ReleaseJob(job))

    with pytest.raises(JobGone):
        await read(client, job, 0)


async def test_an_unknown_generator_is_not_found(client: Client) -> None:
    with pytest.raises(NotFound):
        await read(client, "jobs:77", 0)


async def test_a_job_with_a_result_has_no_items(client: Client) -> None:
    job = await client.submit(await client.register(add), 1, 2)

    with pytest.raises(UsageError, match="no items"):
        await read(client, job, 0)


async def test_a_function_is_called_as_what_it_is(client: Client) -> None:
    generator = await client.register(count, is_generator=True)
    plain = await client.register(add)

    refused: list[Command[Any]] = [
        OpenItems(plain, arguments([1])),
        RunJob(generator, arguments(1)),
        SubmitJob(generator, arguments(1)),
    ]
    for command in refused:
        with pytest.raises(UsageError, match="generator"):
            await client.backend.start(command)


async def test_a_full_queue_refuses_generators(client: Client) -> None:
    f = await client.register(count_then_hang, is_generator=True, max_pending_tasks=1)
    tickets = [client.backend.start(OpenItems(f, arguments(0))) for _ in range(3)]

    with pytest.raises(QueueFull):
        await tickets[-1]
