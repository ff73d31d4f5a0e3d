"""Functions that take their inputs in batches, called by their users' ways."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from apothic import App, BatchMismatch, JobCancelled, batched, concurrent, current_job
from tests.integration.support import AT_ONCE, read_when_there

pytestmark = pytest.mark.usefixtures("clean")
app = App("batches")


@app.function()
@batched(max_batch_size=4, wait_ms=20)
def score_texts(values: list[str]) -> list[tuple[int, int]]:
    """The length of each, and of the batch."""
    return [(len(value), len(values)) for value in values]


@batched(max_batch_size=4, wait_ms=20)
@app.function()
async def join(first: list[str], *, second: list[str]) -> list[str]:
    return [a + b for a, b in zip(first, second, strict=True)]


@app.function(max_containers=2)
def outer(texts: list[str]) -> Any:
    return score_texts.map(texts)


@app.function(max_containers=1)
@batched(max_batch_size=2, wait_ms=10)
@concurrent(max_inputs=2)
def nested(depths: list[int]) -> list[int]:
    """Calls itself, once for the deepest of the batch."""
    deepest = max(depths)
    below = nested.remote(deepest - 1) if deepest else 0
    return [below + 1] * len(depths)


@app.function(retries=AT_ONCE)
@batched(max_batch_size=3, wait_ms=50)
def fails_once(files: list[Path]) -> list[Any]:
    results: list[Any] = []
    for file in files:
        results.append(file.name if file.exists() else OSError(file.name))
        file.touch()
    return results


@app.function()
@batched(max_batch_size=2, wait_ms=0)
def slow(files: list[Path]) -> list[str]:
    for file in files:
        file.write_text("began\n")
    threading.Event().wait()
    return []


@app.function()
@batched(max_batch_size=2, wait_ms=1000)
def too_few(values: list[int]) -> list[int]:
    return values[1:]


@app.function()
@batched(max_batch_size=2, wait_ms=1000)
def who(values: list[int]) -> list[Any]:
    job = current_job()
    return [job and job.job_id for _ in values]


def test_single_inputs_are_gathered_whichever_way_they_come() -> None:
    assert score_texts.remote("abc") == (3, 1)
    assert score_texts.spawn("ab").wait() == (2, 1)
    lengths = [length for length, _ in score_texts.map(["a" * n for n in range(20)])]
    assert lengths == list(range(20))
    assert outer.remote(["a", "bc"])[1][0] == 2


def test_a_map_fills_batches() -> None:
    score_texts.remote("warm")

    sizes = [size for _, size in score_texts.map("abcdefgh")]

    assert sizes == [4] * 8


async def test_awaited_calls_are_gathered_too() -> None:
    assert await join.remote.aio("a", second="b") == "ab"
    assert await (await join.spawn.aio("c", second="d")).wait.aio() == "cd"


def test_an_argument_that_is_missing_is_named() -> None:
    with pytest.raises(TypeError, match="missing 1 required keyword-only argument: 'second'"):
        join.remote("a")


def test_batches_call_batches_of_their_own_function() -> None:
    assert nested.map([3, 3, 3, 3]) == [4, 4, 4, 4]


def test_an_input_that_failed_is_retried_by_itself(tmp_path: Path) -> None:
    files = [tmp_path / name for name in "abc"]
    files[1].touch()

    assert fails_once.map(files) == ["a", "b", "c"]


def test_cancelling_all_inputs_ends_their_batch(tmp_path: Path) -> None:
    jobs = [slow.spawn(tmp_path / "a")]
    read_when_there(tmp_path / "a")
    jobs[0].cancel()

    with pytest.raises(JobCancelled):
        jobs[0].wait()


def test_too_few_results_name_the_numbers() -> None:
    with pytest.raises(BatchMismatch, match=r"returned 1 results for 2 inputs") as caught:
        too_few.map([1, 2])

    assert caught.value.code == "batch_mismatch"


def test_a_batch_runs_in_the_name_of_its_first_input() -> None:
    jobs = [who.spawn(1), who.spawn(2)]

    assert [job.wait() for job in jobs] == [jobs[0].job_id] * 2
