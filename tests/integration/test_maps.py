"""Many jobs at once, over real workers and from inside of them."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from apothic import App, IdempotencyConflict, Job, WaitTimeout, WorkerLost
from apothic._connect import connect
from tests.integration.support import wait_until

pytestmark = pytest.mark.usefixtures("clean")
app = App("maps")


@app.function(max_containers=2)
def double(number: int) -> int:
    return number * 2


@app.function(max_pending_tasks=1)
def narrow(number: int) -> int:
    return number * 2


@app.function()
def map_narrow(count: int) -> list[int]:
    return narrow.map(range(count))


@app.function(max_pending_tasks=2)
def dive(level: int) -> int:
    return sum(dive.map([level - 1] * 3)) if level else 1


@app.function(max_containers=2)
def nap_or_fail(seconds: float) -> None:
    if seconds < 0:
        raise LookupError(seconds)
    time.sleep(seconds)


@app.function(max_containers=2)
def nap(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


@app.function(max_containers=2)
def die_at(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


@app.function()
def count_runs(where: str) -> int:
    path = Path(where)
    with path.open("a") as file:
        file.write("ran\n")
    return len(path.read_text().splitlines())


@app.function()
def spawn_under_a_key(where: str) -> tuple[str, int]:
    job = count_runs.with_key("once").spawn(where)
    return job.job_id, job.wait()


@app.function()
async def await_under_a_key(where: str) -> tuple[str, int]:
    job = await count_runs.with_key("once").aio.spawn(where)
    return job.job_id, await job.wait.aio()


@app.function()
def conflict_under_a_key() -> None:
    count_runs.with_key("once").spawn("elsewhere")


@app.function()
def gather_inside(numbers: list[int]) -> list[int]:
    return Job.gather(*double.spawn_map(numbers))


@app.function()
def give_up_inside() -> str:
    try:
        nap.remote(0.3, timeout_s=0.05)
    except WaitTimeout as error:
        return str(error.data["job_ids"][0])
    raise AssertionError


def test_a_thousand_items_come_back_in_order() -> None:
    assert double.map(range(1000)) == [2 * n for n in range(1000)]


def test_a_thousand_items_come_back_awaited() -> None:
    assert asyncio.run(double.map.aio(range(1000))) == [2 * n for n in range(1000)]


def test_a_queue_for_one_is_enough() -> None:
    assert narrow.map(range(200)) == [2 * n for n in range(200)]


def test_a_queue_for_one_is_enough_inside_a_worker() -> None:
    assert map_narrow.remote(100) == [2 * n for n in range(100)]


def test_maps_of_several_callers_share_a_narrow_queue() -> None:
    found: list[list[int]] = []
    threads = [
        threading.Thread(target=lambda: found.append(narrow.map(range(50)))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert found == [[2 * n for n in range(50)]] * 3


def test_maps_within_maps_of_one_function_do_not_block_each_other() -> None:
    assert dive.remote(3) == 27


def test_the_first_failure_ends_a_map_at_once() -> None:
    with pytest.raises(LookupError, match="-1") as caught:
        nap_or_fail.map([60, -1, 60, 60], timeout_s=30)

    assert "at item 1: -1" in caught.value.__notes__[0]
    wait_until(lambda: not _unfinished(), "for the others to be cancelled")


def test_a_failure_ends_a_map_whose_items_do_not_come() -> None:
    async def main() -> None:
        async def items() -> AsyncIterator[float]:
            yield -1
            await asyncio.sleep(60)

        await nap_or_fail.map.aio(items(), timeout_s=30)

    with pytest.raises(LookupError):
        asyncio.run(main())


def test_a_worker_that_dies_is_the_failure_of_its_item_alone() -> None:
    found = die_at.map(range(6), return_exceptions=True)

    assert isinstance(found[3], WorkerLost)
    assert [value for value in found if isinstance(value, int)] == [0, 1, 2, 4, 5]


def test_jobs_of_a_map_that_took_too_long_run_on_and_keep_their_results() -> None:
    with pytest.raises(WaitTimeout) as caught:
        nap.map([0.3, 0.4], timeout_s=0.1)

    jobs = [Job.from_id(job_id) for job_id in caught.value.data["job_ids"]]
    wait_until(lambda: not _unfinished(), "for the jobs to end")
    assert Job.gather(*jobs) == [0.3, 0.4]


def test_a_call_that_took_too_long_inside_a_worker_keeps_its_result() -> None:
    job_id = give_up_inside.remote()
    wait_until(lambda: not _unfinished(), "for the job to end")

    assert Job.from_id(job_id).wait() == 0.3


def test_an_endless_for_each_keeps_nothing_and_ends_with_a_failure() -> None:
    def items() -> Iterator[float]:
        yield from itertools.repeat(0, 3000)
        yield from itertools.repeat(-1)

    with pytest.raises(LookupError) as caught:
        nap_or_fail.for_each(items())
    assert caught.value.__notes__[0].startswith("at item 3")  # one of the first that fail


def test_a_cancelled_map_leaves_no_job() -> None:
    async def main() -> None:
        task = asyncio.create_task(nap.map.aio([60] * 50))
        while not _unfinished():
            await asyncio.sleep(0.01)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(main())
    wait_until(lambda: not _unfinished(), "for the jobs to be cancelled")


def test_a_key_holds_inside_and_outside_of_workers(tmp_path: Path) -> None:
    where = str(tmp_path / "runs")
    job = count_runs.with_key("once").spawn(where)

    assert spawn_under_a_key.remote(where) == await_under_a_key.remote(where) == (job.job_id, 1)
    with pytest.raises(IdempotencyConflict):
        conflict_under_a_key.remote()


def test_gather_works_inside_a_worker() -> None:
    assert gather_inside.remote([3, 1, 2]) == [6, 2, 4]


def _jobs() -> dict[int, Any]:
    backend: Any = connect()
    jobs: dict[int, Any] = dict(backend._host.plane.ledger.jobs)
    return jobs


def _unfinished() -> list[Any]:
    return [job for job in _jobs().values() if not job.is_final]
