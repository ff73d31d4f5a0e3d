"""Generators in real processes: how they end, and what they cost."""

from __future__ import annotations

import asyncio
import gc
import os
import pickle
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from anyio import create_task_group

from apothic import (
    App,
    Job,
    JobCancelled,
    JobStatus,
    JobTimeout,
    ResultNotSerializable,
    WaitTimeout,
    WorkerLost,
)
from apothic._connect import connect
from apothic_backends.commands import GetJob
from tests.integration.support import AT_ONCE, is_alive, read_when_there, wait_until

pytestmark = pytest.mark.usefixtures("clean")
app = App("generators")


@app.function
def count(most: int) -> Iterator[int]:
    yield from range(most)


@app.function(concurrent_requests=3)
def count_beside(most: int) -> Iterator[int]:
    yield from range(most)


@app.function
async def count_awaited(most: int) -> AsyncIterator[int]:
    for i in range(most):
        await asyncio.sleep(0)
        yield i


@app.function
def pids(path: str, most: int = 1_000_000) -> Iterator[int]:
    """Yields its process id, and writes down how it ended."""
    try:
        for _ in range(most):
            yield os.getpid()
    finally:
        Path(path).write_text(f"{getattr(sys.exception(), '__class__', None)}\n")


@app.function
async def pids_awaited(path: str) -> AsyncIterator[int]:
    try:
        while True:
            yield os.getpid()
            await asyncio.sleep(0)
    finally:
        await asyncio.sleep(0)
        Path(path).write_text(f"{getattr(sys.exception(), '__class__', None)}\n")


@app.function
def waits(path: str) -> Iterator[int]:
    yield os.getpid()
    Path(path).write_text("waits\n")
    threading.Event().wait()


@app.function
def fails(most: int) -> Iterator[int]:
    yield from range(most)
    raise LookupError("after the last")


@app.function(retries=AT_ONCE)
def kills_itself() -> Iterator[int]:
    yield 1
    threading.Event().wait(0.3)
    os.kill(os.getpid(), signal.SIGKILL)


@app.function
def megabytes(size: int, most: int) -> Iterator[Any]:
    for i in range(most):
        block = bytearray(size << 20)
        block[0] = i
        yield pickle.PickleBuffer(block) if i % 2 else block


@app.function
def used_mb(most: int) -> Iterator[float]:
    for _ in range(most):
        yield resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@app.function
def unsendable() -> Iterator[Any]:
    yield 1
    yield threading.Lock()


@app.function
def returns_a_generator() -> Any:
    return (i for i in range(3))


@app.function(timeout_s=1)
def takes_too_long() -> Iterator[int]:
    yield from range(10_000_000)


@app.function
def doubled(most: int) -> Iterator[int]:
    for i in count.remote_gen(most):
        yield 2 * i


@app.function
def tree(depth: int) -> Iterator[int]:
    yield depth
    if depth:
        yield from tree.remote_gen(depth - 1)


@app.function
def adopts(path: str) -> int:
    """Reads a generator, and dies with it open."""
    items = pids.remote_gen(path)
    next(items)
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


@app.function
def own_pid() -> int:
    return os.getpid()


# --- the usual course -----------------------------------------------------------------------------


@pytest.mark.parametrize("function", [count, count_beside, count_awaited])
def test_items_come_as_they_were_yielded(function: Any) -> None:
    assert list(function.remote_gen(1000)) == list(range(1000))


@pytest.mark.parametrize("function", [count, count_beside, count_awaited])
async def test_items_come_to_a_loop(function: Any) -> None:
    assert [item async for item in function.remote_gen.aio(700)] == list(range(700))
    assert [item async for item in function.aio.remote_gen(2)] == [0, 1]


def test_an_iterator_is_exhausted_for_good() -> None:
    items = count.remote_gen(1)

    assert [list(items), list(items)] == [[0], []]


def test_items_before_an_error_are_given_and_the_error_is_raised_as_itself() -> None:
    items = fails.remote_gen(500)

    assert [next(items) for _ in range(500)] == list(range(500))
    with pytest.raises(LookupError, match="after the last"):
        next(items)
    assert list(items) == []


def test_an_item_that_cannot_be_sent_ends_the_generator() -> None:
    items = unsendable.remote_gen()

    assert next(items) == 1
    with pytest.raises(ResultNotSerializable, match="lock"):
        next(items)


def test_a_function_that_returns_a_generator_is_told_to_yield() -> None:
    with pytest.raises(ResultNotSerializable, match=r"yield.*remote_gen"):
        returns_a_generator.remote()


def test_generators_read_generators() -> None:
    assert list(doubled.remote_gen(600)) == list(range(0, 1200, 2))
    assert list(tree.remote_gen(3)) == [3, 2, 1, 0]


def test_a_worker_serves_one_generator_after_another() -> None:
    pid, path = next(used_pids()), "/dev/null"

    assert set(pids.remote_gen(path, 3)) == {pid}


def used_pids() -> Any:
    return iter(list(pids.remote_gen("/dev/null", 1)))


# --- early ends -----------------------------------------------------------------------------------


def by_break(path: str) -> int:
    for pid in pids.remote_gen(path):
        return pid
    return 0


def by_close(path: str) -> int:
    items = pids.remote_gen(path)
    pid = next(items)
    items.close()
    assert list(items) == []
    return pid


def by_block(path: str) -> int:
    with pids.remote_gen(path) as items:
        return next(items)


def by_a_circle(path: str) -> int:
    circle: list[Any] = [pids.remote_gen(path)]
    circle.append(circle)
    pid: int = next(circle[0])
    del circle
    gc.collect()
    return pid


def by_cancelling_a_task(path: str) -> int:
    async def main() -> int:
        async for pid in pids.remote_gen.aio(path):
            return pid
        return 0

    return asyncio.run(main())


def by_aclose(path: str) -> int:
    async def main() -> int:
        items = pids_awaited.remote_gen.aio(path)
        pid = await anext(items)
        await items.aclose()
        return pid

    return asyncio.run(main())


@pytest.mark.parametrize(
    "leave", [by_break, by_close, by_block, by_a_circle, by_cancelling_a_task, by_aclose]
)
def test_leaving_early_runs_finally_there_and_keeps_the_worker(leave: Any, tmp_path: Path) -> None:
    pid = leave(str(tmp_path / "ended"))

    assert "Exit" in (told := read_when_there(tmp_path / "ended")) or "Cancelled" in told
    again = pids_awaited if leave is by_aclose else pids
    assert next(again.remote_gen(str(tmp_path / "again"))) == pid


async def test_a_cancelled_task_closes_its_generator(tmp_path: Path) -> None:
    pids: list[int] = []
    async with create_task_group() as tasks:

        async def read() -> None:
            async for pid in waits.remote_gen.aio(str(tmp_path / "waits")):
                pids.append(pid)
                tasks.cancel_scope.cancel()

        tasks.start_soon(read)

    wait_until(lambda: not is_alive(pids[0]))


def test_a_generator_that_does_not_yield_is_stopped_with_its_worker(tmp_path: Path) -> None:
    items = waits.remote_gen(str(tmp_path / "waits"))
    pid = next(items)
    read_when_there(tmp_path / "waits")
    items.close()

    wait_until(lambda: not is_alive(pid))


def test_ctrl_c_while_waiting_closes_the_generator(tmp_path: Path) -> None:
    items = waits.remote_gen(str(tmp_path / "waits"))
    pid = next(items)
    read_when_there(tmp_path / "waits")
    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        next(items)

    wait_until(lambda: not is_alive(pid))


def test_a_generator_ends_with_the_worker_that_reads_it(tmp_path: Path) -> None:
    with pytest.raises(WorkerLost):
        adopts.remote(str(tmp_path / "ended"))

    assert read_when_there(tmp_path / "ended")


def test_a_cancelled_job_ends_its_items() -> None:
    items = count.remote_gen(10_000_000)
    next(items)
    assert items.job_id is not None
    Job.from_id(items.job_id).cancel()

    with pytest.raises(JobCancelled):
        list(items)


# --- time -----------------------------------------------------------------------------------------


def test_an_item_that_does_not_come_in_time_is_waited_for_no_longer(tmp_path: Path) -> None:
    items = waits.remote_gen(str(tmp_path / "waits"), timeout_s=2)
    pid = next(items)
    with pytest.raises(WaitTimeout) as caught:
        next(items)
    [job_id] = caught.value.data["job_ids"]
    del items, caught
    gc.collect()

    assert is_alive(pid)
    assert not connect().start(GetJob(job_id)).wait().cancel_requested
    Job.from_id(job_id).cancel()


def test_a_generator_that_runs_too_long_is_stopped_whoever_reads() -> None:
    items = takes_too_long.remote_gen()
    next(items)

    with pytest.raises(JobTimeout):
        list(map(threading.Event().wait, (item * 0 + 0.01 for item in items)))


# --- losses ---------------------------------------------------------------------------------------


def test_a_worker_that_dies_in_mid_stream_loses_the_rest() -> None:
    items = kills_itself.remote_gen()

    assert next(items) == 1
    with pytest.raises(WorkerLost, match="items of it had been taken"):
        next(items)


def test_a_worker_that_is_killed_while_it_waits_for_credit_is_lost() -> None:
    items = pids.remote_gen("/dev/null")
    os.kill(next(items), signal.SIGKILL)

    with pytest.raises(WorkerLost):
        list(items)


# --- what it costs --------------------------------------------------------------------------------


def test_large_items_travel_whole() -> None:
    for i, block in enumerate(megabytes.remote_gen(100, 3)):
        assert (block[0], len(memoryview(block))) == (i, 100 << 20)


def test_a_reader_that_does_not_read_costs_no_memory() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    items = megabytes.remote_gen(10, 1000)
    next(items)
    wait_until(lambda: Job.from_id(str(items.job_id)).status() is JobStatus.RUNNING)
    threading.Event().wait(0.5)

    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024
    items.close()


def test_a_generator_that_waits_for_its_reader_burns_nothing() -> None:
    items = pids.remote_gen("/dev/null")
    pid = next(items)
    threading.Event().wait(0.2)
    before = cpu_ticks(pid)
    threading.Event().wait(0.5)

    assert cpu_ticks(pid) - before <= 2
    items.close()


def cpu_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def test_an_open_iterator_does_not_travel() -> None:
    with pytest.raises(TypeError, match="in this process only"):
        pickle.dumps(count.remote_gen(1))


def test_the_command_line_prints_a_line_for_each_item(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from apothic import App\napp = App('cli')\n"
        "@app.function\ndef count(most: int):\n    print('working')\n    yield from range(most)\n"
    )
    command = [sys.executable, "-m", "apothic.cli", "run", f"{script}::count", "--most", "3"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)

    assert (done.stdout, done.stderr) == ("0\n1\n2\n", "count j:1 | working\n")
