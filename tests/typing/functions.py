"""What type checkers see of functions: read by pyright and mypy, never run."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Generator, Iterator
from typing import Any, assert_type

from apothic import (
    App,
    AsyncFunction,
    AsyncItems,
    Cursor,
    Event,
    Image,
    Items,
    Job,
    JobStatus,
    Lines,
    RemoteFunction,
    Retries,
    Watch,
    batched,
    progress,
)

app = App("typing")


@app.function
def bare(text: str, times: int = 1) -> str:
    return text * times


@app.function()
def empty(text: str) -> str:
    return text


@app.function(cpu=2, retries=Retries(max_retries=3), image=Image.debian_slim())
def with_options(number: int, *, scale: float) -> float:
    return number * scale


@app.function
async def awaited(number: int) -> int:
    return number


@app.function(timeout_s=5)
async def awaited_with_options(number: int) -> list[int]:
    return [number]


@app.function
def counts(most: int) -> Iterator[int]:
    yield from range(most)


@app.function(timeout_s=5)
def counts_with_options(most: int) -> Generator[str, None, None]:
    yield str(most)


@app.function
async def counts_awaited(most: int) -> AsyncIterator[int]:
    yield most


@app.function(timeout_s=5)
async def counts_awaited_with_options(most: int) -> AsyncGenerator[bytes]:
    yield b""


@app.function()
@batched(max_batch_size=8, wait_ms=50)
def scored(values: list[str]) -> list[int]:
    return [len(value) for value in values]


@batched(max_batch_size=8, wait_ms=50)
@app.function()
def scored_above(values: list[str]) -> list[int]:
    return [len(value) for value in values]


@app.local_entrypoint
def main(name: str) -> None:
    assert_type(bare(name, times=2), str)


@app.local_entrypoint()
async def other() -> int:
    return 1


def calls_in_place_keep_their_types() -> None:
    assert_type(bare("a"), str)
    assert_type(bare.local("a", 2), str)
    assert_type(empty("a"), str)
    assert_type(with_options(1, scale=2.0), float)
    here: Coroutine[Any, Any, int] = assert_type(awaited(1), Coroutine[Any, Any, int])
    here = assert_type(awaited.local(1), Coroutine[Any, Any, int])
    here.close()


def blocking_calls_give_the_result() -> None:
    assert_type(bare.remote("a", times=3), str)
    assert_type(bare.remote("a", timeout_s=3.0), str)
    assert_type(awaited.remote(1), int)
    assert_type(awaited.remote(1, timeout_s=None), int)
    assert_type(bare.spawn("a"), Job[str])
    assert_type(bare.spawn("a").wait(), str)
    assert_type(bare.spawn("a").wait(timeout_s=1.5), str)
    assert_type(awaited.spawn(1).wait(), int)
    assert_type(bare.map(["a"]), list[str])
    assert_type(awaited_with_options.map([1], timeout_s=3), list[list[int]])
    assert_type(with_options.starmap([(1, 2)]), list[float])
    assert_type(bare.spawn_map(["a"]), list[Job[str]])
    assert_type(bare.map(["a"], return_exceptions=True), list[str | Exception])
    assert_type(bare.starmap([("a",)], return_exceptions=False, order_outputs=False), list[str])
    assert_type(bare.for_each(["a"], ignore_exceptions=True), None)
    assert_type(bare.with_key("k").spawn("a", times=2), Job[str])
    assert_type(Job.gather(bare.spawn("a"), empty.spawn("b")), list[str])
    assert_type(Job.gather(bare.spawn("a"), return_exceptions=True), list[str | Exception])
    assert_type(bare.with_options(cpu=4).remote("a"), str)
    assert_type(awaited.with_options(wait_timeout_s=3).remote(1), int)


async def items() -> AsyncIterator[int]:
    yield 1


async def awaited_calls_give_the_result() -> None:
    assert_type(await bare.remote.aio("a", times=3), str)
    assert_type(await bare.aio.remote("a", times=3), str)
    assert_type(await bare.aio.remote("a", timeout_s=3), str)
    assert_type(await awaited.remote.aio(1), int)
    assert_type(await awaited.aio.remote(1), int)
    assert_type(await bare.spawn.aio("a"), Job[str])
    assert_type(await bare.aio.spawn("a"), Job[str])
    assert_type(await awaited.map.aio(items()), list[int])
    assert_type(await awaited.aio.map([1]), list[int])
    assert_type(await with_options.aio.starmap([(1, 2)]), list[float])
    assert_type(await bare.aio.spawn_map(["a"]), list[Job[str]])
    assert_type(await awaited.aio.map(items(), return_exceptions=True), list[int | Exception])
    assert_type(await bare.with_key("k").spawn.aio("a"), Job[str])
    assert_type(await bare.with_key("k").aio.spawn("a"), Job[str])
    assert_type(await Job.gather.aio(await bare.spawn.aio("a"), timeout_s=3), list[str])
    await bare.aio.for_each(["a"])
    job = await bare.aio.spawn("a")
    assert_type(await job.wait.aio(), str)
    assert_type(await job.aio.wait(timeout_s=2), str)
    assert_type(await job.aio.status(), JobStatus)
    assert_type(await job.status.aio(), JobStatus)
    assert_type(await job.aio.logs(), str)
    await job.aio.cancel()
    async for event in job.aio.watch(snapshot=True):
        assert_type(event, Event)
    async for line in job.logs.aio(follow=True):
        assert_type(line, str)
    async for event in bare.aio.remote_events("a", snapshot=True):
        assert_type(event.data["job_id"], Any)
    await progress.aio(1, 2)


def what_happens_is_followed(job: Job[str]) -> None:
    assert_type(job.watch(), Watch)
    assert_type(next(job.watch(after=Cursor("epoch", 1))), Event)
    assert_type(bare.remote_events("a", event_types=["job.log"]), Watch)
    assert_type(job.logs(), str)
    assert_type(job.logs(follow=True, stream="stderr"), Lines)
    assert_type(next(job.logs(follow=True)), str)
    assert_type(app.watch(snapshot=True), Watch)
    progress(1, 2, "half")


def generators_give_items() -> None:
    assert_type(counts.remote_gen(3), Items[int])
    assert_type(counts.remote_gen(3, timeout_s=1.0), Items[int])
    assert_type(counts_with_options.remote_gen(3), Items[str])
    assert_type(counts_awaited.remote_gen(3), Items[int])
    assert_type(counts_awaited_with_options.remote_gen(3), Items[bytes])
    assert_type(list(counts.remote_gen(3)), list[int])
    for item in counts.remote_gen(3):
        assert_type(item, int)
    with counts.remote_gen(3) as items:
        assert_type(next(items), int)
    assert_type(counts(3), Generator[int, Any, Any])
    assert_type(counts_with_options.local(3), Generator[str, Any, Any])


async def generators_give_items_to_loops() -> None:
    assert_type(counts.remote_gen.aio(3), AsyncItems[int])
    assert_type(counts.aio.remote_gen(3), AsyncItems[int])
    assert_type(counts_awaited.aio.remote_gen(3, timeout_s=None), AsyncItems[int])
    async for item in counts_awaited_with_options.remote_gen.aio(3):
        assert_type(item, bytes)
    async for number in counts_awaited(3):
        assert_type(number, int)


def handles_have_names() -> None:
    assert_type(bare.options.get("cpu"), int | None)
    assert_type(Job.from_id("jobs:1"), Job[Any])
    assert_type(Job.from_id("jobs:1").status(), JobStatus)
    remote = RemoteFunction.from_name("app", "function")
    assert_type(remote.remote(1, "two"), Any)
    assert_type(remote.spawn(1), Job[Any])


def handles_can_be_passed_on(call: AsyncFunction[[int], int]) -> None:
    handles_can_be_passed_on(awaited)


def wrong_calls_are_found() -> None:
    empty.remote(1)  # type: ignore[call-overload]
    bare.spawn(1)  # type: ignore[arg-type]
    bare.with_key("k").spawn(1)  # type: ignore[arg-type]
    bare.map(["a"], return_exceptions="yes")  # type: ignore[call-overload]
    counts.remote_gen("3")  # type: ignore[call-overload]
    app.function(cpus=3)  # type: ignore[call-overload]
    app.function(cpu="3")  # type: ignore[call-overload]
    Retries()  # type: ignore[call-arg]


def batched_functions_take_single_values() -> None:
    assert_type(scored.remote("a"), Any)
    scored.map(["a"])
    scored_above.remote("a")
