"""Calls without processes: the same results and errors, in the thread of whoever waits."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from apothic import (
    App,
    Job,
    JobCancelled,
    Queue,
    QueueFull,
    Retries,
    SetupFailed,
    current_job,
    is_local,
)
from apothic._connect import use
from apothic._serialize import RemoteTraceback
from apothic_backends.base import Backend
from apothic_backends.model.jobs import JobStatus
from apothic_backends.registry import open_backend
from tests.signals import unheard_interrupt

app = App("inline-tests")
seen: list[Any] = []


@app.function
def where() -> tuple[int, int]:
    return os.getpid(), threading.get_ident()


@app.function
def change(values: list[int], data: Any) -> list[int]:
    values.append(4)
    memoryview(data)[0] = 1
    return values


@app.function
def fail(key: str) -> None:
    raise KeyError(key)


@app.function(retries=Retries(max_retries=2, initial_delay=0.01))
def flaky() -> int:
    now = current_job()
    assert now is not None
    if now.attempt < 3:
        raise OSError("not yet")
    return now.attempt


@app.function(max_pending_tasks=2)
def note(value: int) -> int:
    seen.append(value)
    return value


@app.function
def twice(value: int) -> int:
    return note.remote(value) + note.remote(value)


@app.function
def down(depth: int) -> int:
    return 0 if depth == 0 else 1 + down.remote(depth - 1)


@app.function
async def later(value: int) -> int:
    await asyncio.sleep(0)
    return await note.remote.aio(value) + 1


@app.function
async def through(value: int) -> int:
    return await later.remote.aio(value)


@app.function
def wait_for(job_id: str) -> Any:
    return Job.from_id(job_id).wait() if job_id else "at once"


@app.function
def between(jobs: list[str]) -> Any:
    """Wait for what stands behind somebody who waits for this."""
    me = current_job()
    assert me is not None
    jobs.append(wait_for.spawn(me.job_id).job_id)
    seen.extend(jobs)
    return wait_for.spawn("").wait()


@app.function
def interrupted() -> None:
    signal.raise_signal(signal.SIGINT)


@app.function
def litter(folder: str) -> None:
    os.environ["LEFT_BY_A_CALL"] = "1"
    os.chdir(folder)


@app.function
def talk() -> tuple[Any, bool]:
    print("to stdout")
    print("to stderr", file=sys.stderr)
    return current_job(), is_local()


@pytest.fixture(autouse=True)
def inline() -> Iterator[Backend]:
    seen.clear()
    backend = open_backend("inline")
    before = use(backend)
    yield backend
    use(before)
    backend.close()


def test_a_call_runs_in_the_thread_that_waits() -> None:
    assert where.remote() == (os.getpid(), threading.get_ident())


def test_ctrl_c_that_comes_just_before_a_wait_is_heard() -> None:
    with Queue.ephemeral() as queue, pytest.raises(KeyboardInterrupt), unheard_interrupt():
        queue.get()


def test_arguments_and_results_are_copies() -> None:
    values, data = [1, 2, 3], bytearray(100_000)

    changed = change.remote(values, pickle.PickleBuffer(data))

    assert changed == [1, 2, 3, 4]
    assert values == [1, 2, 3]
    assert data[0] == 0


def test_an_error_arrives_as_itself_with_the_traceback_of_the_users_code() -> None:
    with pytest.raises(KeyError) as caught:
        fail.remote("missing")

    told = caught.value.__cause__
    assert isinstance(told, RemoteTraceback)
    assert "in fail" in told.text
    assert "apothic_emulator" not in told.text


def test_retries_wait_in_the_thread_that_waits() -> None:
    assert flaky.remote() == 3


def test_what_is_spawned_runs_when_somebody_waits_the_oldest_first() -> None:
    first, second = note.spawn(1), note.spawn(2)
    assert seen == []

    assert second.wait() == 2
    assert seen == [1, 2]
    assert first.wait() == 1


def test_a_queue_has_its_end() -> None:
    jobs = [note.spawn(i) for i in range(3)]

    with pytest.raises(QueueFull):
        note.spawn(4)
    assert [job.wait() for job in jobs] == [0, 1, 2]


def test_a_program_that_only_asks_how_a_job_is_comes_to_an_end() -> None:
    job = note.spawn(7)

    while not job.status().is_final:
        pass

    assert seen == [7]


def test_what_is_cancelled_before_it_began_never_runs() -> None:
    note.remote(0)
    job = note.spawn(1)
    job.cancel()

    with pytest.raises(JobCancelled):
        job.wait()
    assert note.remote(2) == 2
    assert seen == [0, 2]


def test_calls_nest() -> None:
    assert twice.remote(3) == 6
    assert down.remote(5) == 5


def test_map_keeps_order_and_stops_at_the_first_failure() -> None:
    assert note.map(range(20)) == list(range(20))
    with pytest.raises(KeyError) as caught:
        fail.map(["a", "b"])
    assert "at item 0" in caught.value.__notes__[0]


def test_more_jobs_than_the_queue_holds_wait_for_room() -> None:
    assert [job.wait() for job in note.spawn_map(range(10))] == list(range(10))


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_awaited_calls_run_beside_the_loop(anyio_backend: str) -> None:
    found: dict[int, int] = {}

    async def call(value: int) -> None:
        found[value] = await through.remote.aio(value)

    async with anyio.create_task_group() as tasks:
        for value in range(5):
            tasks.start_soon(call, value)

    assert found == {value: value + 1 for value in range(5)}
    assert (await where.remote.aio())[1] != threading.get_ident()


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_a_loop_that_only_asks_comes_to_an_end(anyio_backend: str) -> None:
    job = await note.spawn.aio(1)

    while not (await job.status.aio()).is_final:
        await anyio.sleep(0)

    assert seen == [1]


def test_async_functions_run_for_a_blocking_caller() -> None:
    assert through.remote(1) == 2
    assert later.map(range(4)) == [1, 2, 3, 4]


def test_threads_that_wait_each_run_their_own_call() -> None:
    found: list[bool] = []

    def call() -> None:
        found.append(where.remote()[1] == threading.get_ident())

    threads = [threading.Thread(target=call) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert found == [True] * 5


def test_code_that_waits_takes_nothing_on_top_that_might_wait_for_it() -> None:
    assert between.remote([]) == "at once"
    assert Job.from_id(seen[0]).wait() == "at once"


def test_ctrl_c_in_a_call_cancels_it_and_reaches_the_program(inline: Backend) -> None:
    job = interrupted.spawn()

    with pytest.raises(KeyboardInterrupt):
        job.wait()

    assert job.status() is JobStatus.CANCELLED
    assert note.remote(1) == 1


def test_ctrl_c_in_a_nested_call_goes_through_its_caller() -> None:
    @app.function
    def outer() -> None:
        interrupted.remote()

    with pytest.raises(KeyboardInterrupt):
        outer.remote()
    assert note.remote(1) == 1


def test_what_a_call_changes_around_it_is_put_back(tmp_path: Path) -> None:
    before = Path.cwd()

    litter.remote(str(tmp_path))

    assert Path.cwd() == before
    assert "LEFT_BY_A_CALL" not in os.environ


def test_text_is_kept_and_shown_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    job = talk.spawn()
    told, is_here = job.wait()

    assert job.logs() == "to stdout\nto stderr\n"
    assert capsys.readouterr() == ("", "to stdout\nto stderr\n")
    assert (told.job_id, told.attempt, is_here) == (job.job_id, 1, False)
    assert is_local()
    assert current_job() is None


def test_a_function_that_cannot_be_loaded_fails_its_jobs(inline: Backend) -> None:
    class Unloadable:
        def __reduce__(self) -> tuple[Any, ...]:
            return (int, ("no number",))

    captured = Unloadable()

    @app.function
    def broken() -> object:
        return captured

    with pytest.raises(SetupFailed, match="broken cannot be loaded: ValueError"):
        broken.remote()


def test_unfinished_jobs_are_counted_at_the_end(
    inline: Backend, capsys: pytest.CaptureFixture[str]
) -> None:
    job = note.spawn(1)
    inline.close()

    assert capsys.readouterr().err == "apothic: 1 unfinished job was cancelled\n"
    del job
