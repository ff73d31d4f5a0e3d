"""Nothing that a crash could undo is ever seen; what a store refuses has not happened."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from apothic import App, Job, Retries
from apothic_backends.commands import GetDurability
from apothic_backends.connection import connect, use
from apothic_backends.model.errors import EmulatorDead, StoreError, StoreFenced, StoreFull
from apothic_emulator.agent.zygote import Zygote
from apothic_emulator.host.backend import LocalBackend
from apothic_emulator.host.commits import Commits, take_back
from apothic_emulator.host.host import Host
from apothic_emulator.host.thread import HostThread
from apothic_emulator.stores.store import Store
from tests.integration.support import wait_gone, wait_until
from tests.stores.brittle import BrittleEngine

FULL = StoreFull("no room left")
FENCED = StoreFenced("somebody newer")

app = App("commits")


@app.function(max_pending_tasks=1000)
def double(n: int) -> int:
    return 2 * n


@app.function()
def double_twice(n: int) -> list[int]:
    return double.map([double.remote(n), 2 * n + 1])


@app.function()
def touch(path: str) -> None:
    Path(path).touch()


@app.function(retries=Retries(max_retries=2, initial_delay=0))
def stay(pids: str, gate: str) -> int:
    with Path(pids).open("a") as file:
        file.write(f"{os.getpid()}\n")
    with Path(gate).open() as waiting:
        waiting.read()
    return os.getpid()


def opened(engine: BrittleEngine) -> LocalBackend:
    thread = HostThread(Zygote())
    thread.start()
    store = Store(engine)
    store.open()
    return LocalBackend(Host(thread, commits=Commits(store)))


@pytest.fixture
def engine() -> BrittleEngine:
    return BrittleEngine()


@pytest.fixture
def host(engine: BrittleEngine) -> Iterator[Host]:
    backend = opened(engine)
    before = use(backend)
    double.remote(0)  # the function is known, and an executor is there
    yield backend._host
    engine.gate.set()
    use(before)
    backend.close()


def hold(engine: BrittleEngine) -> None:
    engine.begun.clear()
    engine.gate.clear()


def asked(work: Any) -> tuple[threading.Thread, list[Any]]:
    """Have another thread do something; what it gets, or the error."""
    got: list[Any] = []

    def run() -> None:
        try:
            got.append(work())
        except Exception as error:
            got.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, got


def test_a_caller_hears_of_its_job_when_that_is_durable(engine: BrittleEngine, host: Host) -> None:
    hold(engine)
    thread, got = asked(lambda: double.spawn(3))
    assert engine.begun.wait(10.0)
    assert not got

    engine.gate.set()
    thread.join()

    assert got[0].wait() == 6


def test_no_job_begins_before_it_is_durable(
    engine: BrittleEngine, host: Host, tmp_path: Path
) -> None:
    touch.remote(str(tmp_path / "first"))
    hold(engine)
    thread, got = asked(lambda: touch.spawn(str(tmp_path / "second")))
    assert engine.begun.wait(10.0)
    assert [type(e).__name__ for o in host.commits._held for e in o.effects] == ["Dispatch"]  # type: ignore[union-attr]
    assert not (tmp_path / "second").exists()

    engine.gate.set()
    thread.join()
    got[0].wait()

    assert (tmp_path / "second").exists()


def test_whoever_looks_waits_for_what_it_would_see(engine: BrittleEngine, host: Host) -> None:
    hold(engine)
    writer, _ = asked(lambda: double.spawn(3))
    assert engine.begun.wait(10.0)
    reader, seen = asked(app.durability)
    wait_until(lambda: len(host.commits._held) > 1)  # type: ignore[union-attr]
    assert not seen

    engine.gate.set()
    writer.join()
    reader.join()

    assert seen == ["disk"]


def test_many_writers_share_a_commit(engine: BrittleEngine, host: Host) -> None:
    hold(engine)
    threads = [asked(lambda: double.spawn(1))[0] for _ in range(20)]
    held = host.commits._held  # type: ignore[union-attr]
    wait_until(lambda: sum(len(outcome.replies) for outcome in list(held)) >= 20)
    before = len(engine.commits)

    engine.gate.set()
    for thread in threads:
        thread.join()

    submits = [c for commit in engine.commits[before:] for c in commit if c[0].startswith("job/")]
    with_submits = [c for c in engine.commits[before:] if any(k.startswith("job/") for k, _ in c)]
    assert len(submits) == 20
    assert len(with_submits) <= 3


def test_calls_that_end_with_their_caller_wait_for_no_store(
    engine: BrittleEngine, host: Host
) -> None:
    before = len(engine.commits)

    assert double.remote(4) == 8

    assert len(engine.commits) == before


def test_calls_that_end_with_the_job_that_waits_for_them_wait_for_no_store(
    engine: BrittleEngine, host: Host
) -> None:
    double_twice.remote(0)
    before = len(engine.commits)

    assert double_twice.remote(4) == [16, 18]

    assert len(engine.commits) == before


def test_a_full_store_is_told_and_the_program_goes_on(engine: BrittleEngine, host: Host) -> None:
    kept = double.spawn(1)
    assert kept.wait() == 2
    engine.error = FULL

    with pytest.raises(StoreFull):
        double.spawn(2)
    with pytest.raises(StoreFull):
        double.spawn(3)
    engine.error = None

    assert double.spawn(4).wait() == 8
    assert kept.wait() == 2
    assert double.remote(5) == 10


def test_what_a_full_store_refused_has_not_happened(engine: BrittleEngine, host: Host) -> None:
    jobs = dict(host.look(lambda plane: plane.ledger.jobs))
    engine.error = FULL
    with pytest.raises(StoreFull):
        double.spawn(2)
    engine.error = None

    assert not [n for n in host.look(lambda plane: plane.ledger.jobs) if n not in jobs]
    assert not [key for commit in engine.commits for key, _ in commit if key.startswith("job/")]


def test_everybody_who_waits_hears_of_a_commit_that_failed(
    engine: BrittleEngine, host: Host, tmp_path: Path
) -> None:
    gate, pids = tmp_path / "gate", tmp_path / "pids"
    os.mkfifo(gate)
    job = stay.spawn(str(pids), str(gate))
    wait_until(lambda: pids.exists() and pids.read_text().endswith("\n"))
    thread, got = asked(job.wait)
    wait_until(host.plane.tokens)
    [first] = map(int, pids.read_text().split())
    engine.error = FULL

    with pytest.raises(StoreFull):
        double.spawn(2)
    thread.join()

    assert isinstance(got[0], StoreFull)
    wait_gone(first)
    engine.error = None
    wait_until(lambda: len(pids.read_text().split()) == 2)
    with gate.open("w"):
        pass
    assert job.wait() == int(pids.read_text().split()[1])


def test_who_has_lost_the_store_ends(engine: BrittleEngine, host: Host) -> None:
    engine.error = FENCED

    with pytest.raises(StoreFenced):
        double.spawn(2)
    with pytest.raises(StoreFenced):
        double.remote(2)


def test_a_store_that_cannot_be_read_again_ends_the_control_plane(
    engine: BrittleEngine, host: Host
) -> None:
    engine.error, engine.is_torn = StoreError("gone"), True

    with pytest.raises(StoreError):
        double.spawn(2)
    with pytest.raises(StoreError):
        double.remote(2)


def test_an_error_of_ours_in_the_thread_that_commits_ends_the_control_plane(
    engine: BrittleEngine, host: Host
) -> None:
    engine.error = ZeroDivisionError("a bug")

    with pytest.raises(EmulatorDead, match="a bug"):
        double.spawn(2)


def test_what_is_held_at_the_end_is_committed(engine: BrittleEngine) -> None:
    backend = opened(engine)
    before = use(backend)
    double.remote(0)
    hold(engine)
    thread, _ = asked(lambda: double.spawn(7))
    assert engine.begun.wait(10.0)
    threading.Timer(0.1, engine.gate.set).start()

    backend.close()
    use(before)
    thread.join()

    assert not engine.is_open
    [record] = [c for commit in engine.commits for c in commit if c[0].startswith("job/")]
    assert record[1] is not None


def test_a_job_that_was_never_sent_is_not_lost_with_its_executor(
    engine: BrittleEngine, host: Host
) -> None:
    [executor] = host.look(lambda plane: list(plane.ledger.executors))
    hold(engine)
    thread, got = asked(lambda: double.spawn(3))
    assert engine.begun.wait(10.0)
    host.agent.kill_all()
    wait_until(lambda: executor not in host.look(lambda plane: plane.ledger.executors))

    engine.gate.set()
    thread.join()

    assert got[0].wait() == 6


def test_another_host_goes_on_with_what_one_has_left(engine: BrittleEngine) -> None:
    first = opened(engine)
    before = use(first)
    assert double.spawn(21).wait() == 42
    first.close()
    second = opened(engine)
    use(second)

    assert Job.from_id("jobs:1").status() == "succeeded"
    assert double.spawn(1).job_id == "jobs:2"

    use(before)
    second.close()


@pytest.mark.parametrize("error", [None, StoreError("gone")])
def test_nothing_is_collected_while_a_state_is_loaded_and_after_that_it_is(
    engine: BrittleEngine, error: Exception | None
) -> None:
    seen: list[bool] = []

    def load(records: object) -> None:
        seen.append(gc.isenabled())
        if error is not None:
            raise error

    with suppress(StoreError):
        take_back(Store(engine), load)

    assert seen == [False]
    assert gc.isenabled()


def test_collections_that_a_program_has_turned_off_stay_off(engine: BrittleEngine) -> None:
    gc.disable()
    try:
        take_back(Store(engine), lambda records: None)
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_what_is_asked_later_is_not_answered_before(host: Host) -> None:
    backend, told = connect(), threading.Event()
    deliver, is_telling = host.deliver, threading.Event()

    def slowly(replies: list[Any]) -> None:
        if replies:
            is_telling.set()
            told.wait(30)
        deliver(replies)

    vars(host)["deliver"] = slowly
    try:
        thread, first = asked(lambda: double.spawn(1).job_id)
        assert is_telling.wait(30)
        later = backend.start(GetDurability())
        was_earlier = later.done
        told.set()
        later.wait(30)
        thread.join(30)
    finally:
        del vars(host)["deliver"]

    assert not was_earlier
    assert first[0].startswith("jobs:")
