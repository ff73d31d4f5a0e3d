"""Fresh control planes, and their time."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from weakref import ref

import pytest

from apothic import (
    App,
    BackendClosed,
    BlockingCall,
    JobStatus,
    JobTimeout,
    Retries,
    UsageError,
    WaitTimeout,
)
from apothic_backends.connection import connected
from apothic_emulator.testing.runtime import START, Runtime, RuntimeFactory
from tests.integration.support import children, descendants, is_alive, name_of

app = App("runtimes")
HOURLY = Retries(max_retries=3, initial_delay=60, backoff_coefficient=1)


@app.function()
def double(n: int) -> int:
    return 2 * n


@app.function(timeout_s=0.2)
def hang() -> None:
    time.sleep(60)


@app.function()
def nap(seconds: float) -> None:
    time.sleep(seconds)


@app.function(retries=HOURLY)
def fail() -> None:
    raise LookupError("as always")


@app.function(retries=HOURLY, timeout_s=7200)
def call_fail() -> str:
    try:
        fail.remote()
    except LookupError:
        return "it failed"
    return "it did not"


@pytest.fixture(scope="module")
def factory() -> Iterator[RuntimeFactory]:
    with RuntimeFactory() as factory:
        yield factory


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def runtime(factory: RuntimeFactory) -> Iterator[Runtime]:
    with factory.open() as runtime:
        yield runtime


def passed(runtime: Runtime) -> float:
    return (runtime.clock.now() - START).total_seconds()


# --- time ----------------------------------------------------------------------------------------


def test_a_virtual_clock_begins_at_the_same_moment_and_stands_still(runtime: Runtime) -> None:
    assert runtime.clock.now() == START
    assert runtime.clock.now() == START


def test_a_clock_begins_where_it_is_told_to(factory: RuntimeFactory) -> None:
    moment = datetime(2030, 2, 3, tzinfo=UTC)

    with factory.open(start=moment) as runtime:
        assert runtime.clock.now() == moment


def test_advancing_arrives_exactly(runtime: Runtime) -> None:
    runtime.clock.advance("1d")
    runtime.clock.advance(timedelta(hours=1))
    runtime.clock.advance(0.25)
    runtime.clock.advance_to(datetime(2027, 1, 1, tzinfo=UTC))

    assert runtime.clock.now() == datetime(2027, 1, 1, tzinfo=UTC)


def test_a_chain_of_retries_jumps_through_its_delays(runtime: Runtime) -> None:
    with pytest.raises(LookupError):
        fail.remote()

    assert 180 <= passed(runtime) < 190


def test_a_chain_of_retries_inside_a_worker_jumps_too(runtime: Runtime) -> None:
    assert call_fail.remote() == "it failed"
    assert 180 <= passed(runtime) < 190


def test_time_stands_still_while_nobody_waits(runtime: Runtime) -> None:
    job = fail.spawn()
    runtime.clock.advance(0)

    assert job.status() == JobStatus.QUEUED
    assert passed(runtime) < 10


def test_advancing_stops_short_of_what_is_due_later(runtime: Runtime) -> None:
    job = fail.spawn()

    runtime.clock.advance("179s")
    before = job.status()
    runtime.clock.advance("11s")

    assert (before, job.status()) == (JobStatus.QUEUED, JobStatus.FAILED)


def test_advancing_lets_the_work_on_its_way_finish(runtime: Runtime) -> None:
    job = nap.spawn(0.2)

    runtime.clock.advance("1s")

    assert job.status() == JobStatus.SUCCEEDED


def test_a_time_limit_reaches_a_function_that_hangs(runtime: Runtime) -> None:
    with pytest.raises(JobTimeout):
        hang.remote()

    assert 0.2 <= passed(runtime) < 30


def test_no_time_limit_is_reached_by_a_jump_while_the_function_works(runtime: Runtime) -> None:
    slow = nap.with_options(timeout_s=100).spawn(0.3)

    with pytest.raises(LookupError):
        fail.remote()

    assert slow.wait() is None


def test_a_pause_keeps_time_from_jumping_for_those_who_wait(runtime: Runtime) -> None:
    job = fail.spawn()
    with runtime.clock.paused():
        with pytest.raises(WaitTimeout):
            job.wait(timeout_s=0.1)
        during = passed(runtime)
        runtime.clock.advance("2m")

    assert during < 10
    assert passed(runtime) >= 120


def test_whoever_watches_everything_moves_no_time(runtime: Runtime) -> None:
    job = fail.spawn()
    stream = runtime.backend.watch("jobs")
    seen = threading.Event()

    def watch() -> None:
        with suppress(BackendClosed):
            for _ in stream:
                seen.set()

    watcher = threading.Thread(target=watch)
    watcher.start()
    seen.wait()
    time.sleep(0.05)  # far longer than it takes to jump

    assert passed(runtime) < 10
    job.cancel()
    runtime.close()
    watcher.join()


def test_a_real_clock_is_not_moved(factory: RuntimeFactory) -> None:
    with factory.open(clock="real") as runtime:
        assert double.remote(2) == 4
        assert abs((runtime.clock.now() - datetime.now(UTC)).total_seconds()) < 5
        with pytest.raises(UsageError, match="real time"):
            runtime.clock.advance("1d")
        with pytest.raises(UsageError, match="real time"):
            runtime.clock.paused()


def test_time_does_not_go_back(runtime: Runtime) -> None:
    with pytest.raises(UsageError, match="cannot come any more"):
        runtime.clock.advance_to(START - timedelta(days=1))


def test_a_date_needs_a_time_zone(runtime: Runtime, factory: RuntimeFactory) -> None:
    naive = START.replace(tzinfo=None)

    with pytest.raises(UsageError, match="no time zone"):
        runtime.clock.advance_to(naive)
    with pytest.raises(UsageError, match="no time zone"):
        factory.open(start=naive)


@pytest.mark.anyio
async def test_a_loop_awaits_what_it_would_be_stopped_by(runtime: Runtime) -> None:
    with pytest.raises(BlockingCall):
        runtime.clock.advance("1d")

    await runtime.clock.advance.aio("1d")

    assert passed(runtime) == 86_400


@pytest.mark.anyio
async def test_a_chain_of_retries_jumps_on_a_loop(runtime: Runtime) -> None:
    with pytest.raises(LookupError):
        await fail.remote.aio()

    assert 180 <= passed(runtime) < 190


def test_closing_tells_whoever_advances(runtime: Runtime) -> None:
    nap.spawn(60)
    asked = threading.Event()
    heard: list[BaseException] = []

    def advance() -> None:
        ticket = runtime.clock.advance._begin(runtime.clock, "1d")
        asked.set()
        try:
            ticket.wait()
        except BackendClosed as error:
            heard.append(error)

    thread = threading.Thread(target=advance)
    thread.start()
    asked.wait()
    runtime.close()
    thread.join()

    assert len(heard) == 1


# --- isolation -----------------------------------------------------------------------------------


def test_every_runtime_counts_its_jobs_from_one(factory: RuntimeFactory) -> None:
    ids: list[str] = []
    for _ in range(3):
        with factory.open():
            ids.append(double.spawn(1).job_id)

    assert ids == ["jobs:1"] * 3


def test_closing_kills_the_workers_and_keeps_the_zygote(factory: RuntimeFactory) -> None:
    with factory.open():
        double.remote(1)
    zygote, others = children(), descendants()
    with factory.open():
        nap.spawn(60)
        double.remote(1)
        workers = {pid for pid in descendants() - others if name_of(pid) != "apothic-zygote"}

    assert len(workers) == 2
    assert children() == zygote
    assert not any(map(is_alive, workers))


def test_a_program_is_connected_to_the_runtime_that_was_opened_last(
    factory: RuntimeFactory,
) -> None:
    before = connected()
    with factory.open() as outer:
        with factory.open() as inner:
            assert connected() is inner.backend
        assert connected() is outer.backend
        assert double.remote(4) == 8

    assert connected() is before


def test_a_handle_of_another_runtime_is_refused(factory: RuntimeFactory) -> None:
    with factory.open():
        job = double.spawn(1)

    with factory.open(), pytest.raises(BackendClosed, match="jobs:1 belongs to"):
        job.wait()


def test_a_runtime_that_was_closed_is_let_go(factory: RuntimeFactory) -> None:
    runtime = factory.open()
    host = ref(runtime.host)
    runtime.close()
    del runtime
    gc.collect()

    assert host() is None


def test_closing_twice_is_harmless(factory: RuntimeFactory) -> None:
    runtime = factory.open()
    runtime.close()
    runtime.close()

    assert not runtime.is_open


def test_a_factory_that_is_closed_opens_nothing() -> None:
    factory = RuntimeFactory()
    runtime = factory.open()
    factory.close()
    with runtime:
        assert double.remote(3) == 6
    zygote = runtime.host.agent.zygote

    assert zygote.pid is None
    with pytest.raises(UsageError, match="closed"):
        factory.open()


def test_there_are_two_clocks(factory: RuntimeFactory) -> None:
    with pytest.raises(UsageError, match="'virtual' or 'real'"):
        factory.open(clock="sundial")  # type: ignore[arg-type]
