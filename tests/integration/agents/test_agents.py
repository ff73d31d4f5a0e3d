"""Functions run on agents as they do at home."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apothic import Dict, Queue
from apothic_backends.connection import use
from apothic_backends.model.errors import WorkerLost
from tests.integration.agents import functions as f
from tests.integration.agents.server import Server, start_agent
from tests.integration.agents.setting import Setting
from tests.integration.support import logs, wait_gone


@pytest.fixture(scope="module")
def server(tmp_path_factory: Any) -> Iterator[Server]:
    server = Server(lease_s=30.0)
    before = use(server.backend)
    process = start_agent(server.url, tmp_path_factory.mktemp("home"))
    server.until(lambda plane: plane.fleet.agents.far)
    yield server
    use(before)
    process.terminate()
    assert process.wait(30) == 0
    server.close()


def test_a_function_runs_below_an_agent(server: Server) -> None:
    pid, _ = f.who.remote()

    assert pid != os.getpid()
    assert server.look(lambda plane: {e.agent for e in plane.ledger.executors.values()}) == {1}


def test_many_calls_get_their_results(server: Server) -> None:
    assert f.double.map(range(200)) == [2 * n for n in range(200)]


def test_large_values_go_both_ways(server: Server) -> None:
    data = os.urandom(3_000_000)

    assert f.weigh.remote(data) == data[::-1]


def test_code_there_calls_other_functions(server: Server) -> None:
    assert f.call_others.remote(3) == [12, 14]


def test_code_there_shares_queues_and_dicts(server: Server) -> None:
    with Queue.ephemeral() as queue, Dict.ephemeral() as table:
        assert f.share.remote(queue, table) == "from afar"
        assert table["key"] == "from afar"


def test_items_of_generators_come(server: Server) -> None:
    assert list(f.count.remote_gen(1000)) == list(range(1000))


def test_what_is_printed_there_is_kept_here(server: Server) -> None:
    job = f.speak.spawn("hello")
    job.wait()

    assert logs(job) == "hello\n"


def test_a_process_that_ends_there_is_a_loss(server: Server) -> None:
    with pytest.raises(WorkerLost, match="code 7"):
        f.die.remote(7)


def test_secrets_are_handed_to_who_declares_them_and_hidden_in_what_that_prints(
    server: Server,
) -> None:
    job = f.tell.spawn()

    assert job.wait() == "a-secret-value-7431"
    assert "a-secret-value" not in logs(job)
    assert f.look_for.remote("TOKEN_OF_TEST") is None


def test_the_agents_own_token_is_not_for_what_it_runs(tmp_path: Path) -> None:
    server = Server()
    before = use(server.backend)
    os.environ["APOTHIC_AGENT_TOKEN"] = "a-token"
    try:
        process = start_agent(server.url, tmp_path)
        assert f.look_for.remote("APOTHIC_AGENT_TOKEN") is None
    finally:
        del os.environ["APOTHIC_AGENT_TOKEN"]
        use(before)
    process.terminate()
    process.wait(30)
    server.close()


def test_a_job_is_cancelled_there(server: Server, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "gate")
    job = f.stay.spawn(str(tmp_path / "began"), str(tmp_path / "gate"))
    server.until(lambda plane: plane.ledger.jobs[int(job.job_id[5:])].started_at)

    job.cancel()

    assert server.outcome(job).status.value == "cancelled"


def test_an_agent_that_is_stopped_ends_all_that_it_runs_and_says_so(tmp_path: Path) -> None:
    server = Server(lease_s=600.0)
    before = use(server.backend)
    process = start_agent(server.url, tmp_path)
    pid, _ = f.who.remote()
    process.terminate()

    assert process.wait(30) == 0
    wait_gone(pid)
    server.until(lambda plane: not plane.fleet.agents.far)
    use(before)
    server.close()


@pytest.fixture
def leaving(tmp_path: Path) -> Iterator[Setting]:
    leaving = Setting(tmp_path, lease_s=600.0)
    yield leaving
    leaving.close()


def test_an_agent_that_is_asked_to_stop_lets_what_runs_end_and_takes_nothing_new(
    leaving: Setting,
) -> None:
    first = leaving.agent("first")
    job = leaving.begin()
    second = leaving.agent("second")

    first.terminate()
    leaving.server.until(
        lambda plane: any(it.is_draining for it in plane.fleet.agents.far.values())
    )
    f.who.remote()
    leaving.let_go()

    assert job.wait() == int(leaving.began.read_text())
    assert first.wait(30) == 0
    assert leaving.server.look(
        lambda plane: {e.agent for e in plane.ledger.executors.values()}
    ) == {2}
    second.kill()
    second.wait()


def test_a_second_signal_ends_it_at_once(leaving: Setting) -> None:
    agent = leaving.agent("first")
    job = leaving.begin()
    agent.terminate()
    leaving.server.until(
        lambda plane: any(it.is_draining for it in plane.fleet.agents.far.values())
    )

    agent.terminate()

    assert agent.wait(20) == 0
    assert leaving.server.outcome(job).status.value == "lost"


def test_what_has_not_ended_when_the_grace_is_over_is_ended(leaving: Setting) -> None:
    agent = leaving.agent("first", "--grace", "0.2")
    job = leaving.begin()

    agent.terminate()

    assert agent.wait(30) == 0
    wait_gone(int(leaving.began.read_text()))
    assert leaving.server.outcome(job).status.value == "lost"


def test_an_agent_that_has_never_been_connected_ends_at_once(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        agent = start_agent(f"http://127.0.0.1:{listening.getsockname()[1]}", tmp_path)
        connection, _ = listening.accept()
        with connection:
            agent.terminate()

            assert agent.wait(30) == 0


def test_an_agent_says_what_becomes_of_its_connection(tmp_path: Path) -> None:
    server = Server(lease_s=600.0)
    agent = start_agent(server.url, tmp_path, pause_s=0.1, stderr=subprocess.PIPE)
    assert agent.stderr is not None

    joined = agent.stderr.readline().decode()
    server.close()
    cut = agent.stderr.readline().decode()

    assert joined.startswith("joined ws://127.0.0.1:")
    assert " as a: 4 cores, " in joined
    assert cut.startswith("not connected to ws://127.0.0.1:")
    end(agent)
    agent.stderr.close()


def test_a_later_agent_of_the_same_name_takes_over(tmp_path: Path) -> None:
    server = Server(lease_s=600.0)
    before = use(server.backend)
    first = start_agent(server.url, tmp_path, name="one")
    pid, _ = f.who.remote()

    second = start_agent(server.url, tmp_path, name="one")

    assert first.wait(30) != 0
    wait_gone(pid)
    assert f.double.remote(1) == 2
    end(second)
    use(before)
    server.close()


def end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait(30)
