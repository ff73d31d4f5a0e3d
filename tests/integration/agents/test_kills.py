"""An agent is killed at every step of what it has agreed with its control plane.

What a job has to expect depends on how far it was: before the word to begin it runs elsewhere, at
once and for nothing; from then on it is lost, unless it may run again; and once its report is
written down, nothing happens to it any more. The lease is so long here that nothing waits for it.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect

from apothic import App, Job, Retries
from apothic_backends.archives import pack
from apothic_backends.commands import RegisterFunction, SubmitJob, WaitJob
from apothic_backends.commands.archives import PutArchive
from apothic_backends.connection import use
from apothic_backends.model.functions import FunctionSpec
from apothic_backends.model.payloads import Payload
from apothic_emulator.agent import channel, messages
from apothic_emulator.agent.channel import Frame
from apothic_emulator.core.hellos import Capacity, Join
from apothic_emulator.stores.store import Store
from tests.integration.agents import functions as f
from tests.integration.agents.gates import Gated
from tests.integration.agents.server import Server, start_agent
from tests.integration.agents.steps import Stop
from tests.integration.support import descendants, logs, wait_gone, wait_until
from tests.stores.brittle import BrittleEngine


class Home:
    """A control plane that keeps its state, and an agent that is there for all that others lose."""

    def __init__(self, folder: Path) -> None:
        self.engine = BrittleEngine()
        self.server = Server(store=Store(self.engine), lease_s=600.0)
        self._before = use(self.server.backend)
        self._other = start_agent(self.server.url, folder, "--cpu", "60", name="other")
        self._count = 0
        self.server.until_there("other")

    def new_name(self) -> str:
        self._count += 1
        return f"victim-{self._count}"

    def close(self) -> None:
        self._other.kill()
        self._other.wait()
        use(self._before)
        self.server.close()


class Victim(Gated):
    """An agent that gets the next job, and is killed."""

    def __init__(self, home: Home, folder: Path) -> None:
        super().__init__(folder)
        self.server, self.home = home.server, home
        self.name = home.new_name()
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = start_agent(self.server.url, self.folder, "--cpu", "100", name=self.name)

    def join(self) -> None:
        self.start()
        self.server.until_there(self.name)

    def stop_at(self, stop: Stop) -> Stop:
        self.server.stops[self.name] = stop
        return stop

    def function(self, what: Callable[..., Any], retries: int = 0) -> Any:
        again = Retries(max_retries=retries, initial_delay=0)
        return App(self.name).function(max_containers=2, retries=again)(what)

    def spawn(self, what: Callable[..., Any], retries: int = 0, nbytes: int = 0) -> Job[Any]:
        function = self.function(what, retries)
        return function.spawn(str(self.began), str(self.gate), nbytes)

    def kill(self) -> None:
        """Kill it; what runs below it goes with it."""
        assert self.process is not None
        below = descendants(self.process.pid)
        self.process.kill()
        self.process.wait()
        self.process = None
        for pid in below:
            wait_gone(pid)

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()


@pytest.fixture(scope="module")
def home(tmp_path_factory: Any) -> Iterator[Home]:
    home = Home(tmp_path_factory.mktemp("other"))
    yield home
    home.close()


@pytest.fixture
def victim(home: Home, tmp_path: Path) -> Iterator[Victim]:
    victim = Victim(home, tmp_path)
    yield victim
    victim.close()


def ends(server: Server, job: Job[Any]) -> int:
    return server.events(job).count("job.end")


# --- before the word -----------------------------------------------------------------------------


def test_k1_half_a_hello_is_no_agent(home: Home) -> None:
    known = home.server.look(lambda plane: set(plane.fleet.agents.far))
    join = Join("half", "1", Capacity(100, 100_000))
    hello = Frame(channel.HELLO, 0, 0, messages.to_bytes(join), channel.VERSION).pack()
    with connect(home.server.url.replace("http", "ws"), close_timeout=0.1) as connection:
        head = b"\x82\xfe" + len(hello).to_bytes(2, "big") + bytes(4)  # binary, masked with zeros
        connection.socket.sendall(head + hello[: len(hello) // 2])

    assert f.double.remote(2) == 4
    assert home.server.look(lambda plane: set(plane.fleet.agents.far)) == known


def test_k2_an_agent_that_dies_of_its_welcome_touches_no_job(victim: Victim) -> None:
    stop = victim.stop_at(Stop("Welcome"))
    victim.start()
    assert stop.reached.wait(30)
    job = victim.spawn(f.give)
    victim.server.until(lambda plane: plane.ledger.jobs[int(job.job_id[5:])].attempt)

    victim.kill()

    assert victim.server.outcome(job).status.value == "succeeded"
    assert victim.server.kept(job).losses == 0


@pytest.mark.parametrize(
    "stop",
    [
        pytest.param(Stop("Dispatch"), id="k3-the-dispatch-has-not-arrived"),
        pytest.param(Stop("Accepted"), id="k4-it-has-and-was-not-accepted"),
        pytest.param(Stop("Loaded"), id="k5-it-was-and-the-word-is-not-said"),
    ],
)
def test_what_was_not_told_to_begin_runs_elsewhere_at_once_and_for_nothing(
    victim: Victim, stop: Stop
) -> None:
    victim.join()
    victim.stop_at(stop)
    job = victim.spawn(f.give)
    assert stop.reached.wait(30)

    victim.kill()

    assert victim.server.outcome(job).status.value == "succeeded"
    kept = victim.server.kept(job)
    assert (len(victim.pids), kept.losses, kept.attempt) == (1, 0, 2)


def test_k7_an_archive_that_was_fetched_by_halves_is_not_there(
    victim: Victim, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APOTHIC_HOME", str(victim.folder / "server"))
    (victim.folder / "shipped.py").write_text("def answer(): return 42\n")
    out = BytesIO()
    digest = pack([("shipped.py", victim.folder / "shipped.py")], out)
    start = victim.server.backend.start
    start(PutArchive(digest, len(out.getvalue()), 0, Payload(out.getvalue()))).wait(30)
    spec = FunctionSpec(victim.name, "answer", source=digest, path=("",), max_containers=2)
    function = start(RegisterFunction(spec, Payload(b"shipped:answer", codec="ref"))).wait(30)
    victim.join()
    stop = victim.stop_at(Stop("Answer"))
    job = start(SubmitJob(function, Payload(pickle.dumps(((), {}))))).wait(30)
    assert stop.reached.wait(30)

    victim.kill()

    assert not (victim.folder / "archives" / digest).exists()
    outcome = start(WaitJob(job)).wait(30)
    assert outcome.status.value == "succeeded"


# --- from the word on ----------------------------------------------------------------------------


def on_its_way(victim: Victim, retries: int) -> Job[Any]:
    """K6: the word to begin it was said, and nobody knows whether it was heard."""
    stop = victim.stop_at(Stop("Go"))
    job = victim.spawn(f.give, retries)
    assert stop.reached.wait(30)
    return job


def in_the_hands_of_its_executor(victim: Victim, retries: int) -> Job[Any]:
    """K6: its agent has heard that, and no line of it has run."""
    function = victim.function(f.give, retries)
    function.remote(str(victim.began), str(victim.gate))
    os.kill(victim.pids[0], signal.SIGSTOP)
    victim.began.unlink()
    stop = victim.stop_at(Stop("Go", acked=True))
    job: Job[Any] = function.spawn(str(victim.began), str(victim.gate))
    assert stop.reached.wait(30)
    return job


def running(victim: Victim, retries: int) -> Job[Any]:
    """K8: it is in the middle of its code."""
    job = victim.spawn(f.hold, retries)
    wait_until(lambda: victim.pids)
    return job


def being_pickled(victim: Victim, retries: int) -> Job[Any]:
    """K9: all its code has run, and nobody knows."""
    job = victim.spawn(f.hold_its_result, retries)
    wait_until(lambda: victim.pids)
    return job


def half_told(victim: Victim, retries: int) -> Job[Any]:
    """K10: a part of its report is here."""
    stop = victim.stop_at(Stop("part", passes=True))
    job = victim.spawn(f.give, retries, nbytes=1_000_000)
    assert stop.reached.wait(30)
    return job


def told_to_nobody(victim: Victim, retries: int) -> Job[Any]:
    """K11: its report is on its way."""
    stop = victim.stop_at(Stop("Reported"))
    job = victim.spawn(f.give, retries)
    assert stop.reached.wait(30)
    return job


BEGUN = [
    on_its_way,
    in_the_hands_of_its_executor,
    running,
    being_pickled,
    half_told,
    told_to_nobody,
]


@pytest.mark.parametrize("step", BEGUN)
def test_what_may_have_run_is_lost_with_its_agent(
    victim: Victim, step: Callable[[Victim, int], Job[Any]]
) -> None:
    victim.join()
    job = step(victim, 0)
    victim.kill()

    victim.server.forget(victim.name)

    outcome = victim.server.outcome(job)
    assert outcome.status.value == "lost"
    assert outcome.error is not None
    assert outcome.error.data["maybe_ran"] is True
    assert ends(victim.server, job) == 1


@pytest.mark.parametrize("step", BEGUN)
def test_what_may_run_again_does_so_and_pays_with_a_loss(
    victim: Victim, step: Callable[[Victim, int], Job[Any]]
) -> None:
    victim.join()
    job = step(victim, 1)
    before = len(victim.pids)
    victim.kill()

    victim.server.forget(victim.name)
    wait_until(lambda: len(victim.pids) == before + 1)
    if step in (running, being_pickled):
        victim.let_go()

    assert victim.server.outcome(job).status.value == "succeeded"
    kept = victim.server.kept(job)
    assert (kept.losses, kept.attempt, kept.failures) == (1, 2, 0)
    assert ends(victim.server, job) == 1


def test_k8_what_a_job_has_printed_is_kept(victim: Victim) -> None:
    victim.join()
    job = running(victim, 0)
    wait_until(lambda: logs(job) == "held\n")

    victim.kill()

    assert logs(job) == "held\n"


# --- once its report is written down -------------------------------------------------------------


def test_k12_a_report_counts_whose_agent_dies_while_it_is_written_down(victim: Victim) -> None:
    victim.join()
    stop = victim.stop_at(Stop("Reported"))
    job = victim.spawn(f.give)
    assert stop.reached.wait(30)
    engine = victim.home.engine
    engine.gate.clear()
    engine.begun.clear()
    try:
        victim.server.let_go(victim.name)
        assert engine.begun.wait(30)
        victim.kill()
    finally:
        engine.gate.set()

    victim.server.forget(victim.name)

    assert victim.server.outcome(job).status.value == "succeeded"
    assert (len(victim.pids), ends(victim.server, job)) == (1, 1)


@pytest.mark.parametrize(
    "stop",
    [
        pytest.param(Stop("Reported", acked=True), id="k13-its-agent-does-not-know"),
        pytest.param(Stop("Reported", acked=True, passes=True), id="k14-its-agent-knows"),
    ],
)
def test_what_was_reported_stays_so_whatever_becomes_of_its_agent(
    victim: Victim, stop: Stop
) -> None:
    victim.join()
    victim.stop_at(stop)
    job = victim.spawn(f.give)
    assert stop.reached.wait(30)
    victim.kill()

    victim.server.forget(victim.name)

    assert victim.server.outcome(job).status.value == "succeeded"
    assert (len(victim.pids), ends(victim.server, job)) == (1, 1)


def test_k13_a_report_that_comes_again_after_a_cut_is_told_once(victim: Victim) -> None:
    victim.join()
    stop = victim.stop_at(Stop("Reported", acked=True))
    job = victim.spawn(f.give)
    assert stop.reached.wait(30)

    victim.server.cut()
    victim.server.stops.clear()
    victim.server.mend()
    again = victim.function(f.give).remote(str(victim.began), str(victim.gate))

    assert again == b""
    assert victim.server.outcome(job).status.value == "succeeded"
    assert (len(victim.pids), ends(victim.server, job)) == (2, 1)


# --- one of the two ------------------------------------------------------------------------------


def test_k15_a_stopped_executor_dies_with_its_agent(victim: Victim) -> None:
    victim.join()
    running(victim, 0)
    os.kill(victim.pids[0], signal.SIGSTOP)

    victim.kill()  # it waits for the end of all that was below it

    victim.server.forget(victim.name)


def test_k16_an_executor_that_is_killed_is_told_by_its_agent(victim: Victim) -> None:
    victim.join()
    job = running(victim, 0)

    os.kill(victim.pids[0], signal.SIGKILL)

    outcome = victim.server.outcome(job)
    assert outcome.error is not None
    assert (outcome.error.data["reason"], outcome.error.data["signal"]) == ("signal", 9)
    assert victim.process is not None
    assert victim.process.poll() is None
    victim.kill()
    victim.server.forget(victim.name)
