"""What code on an agent waits for while its server is killed, and the next one started."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from apothic import Dict, Queue
from apothic_backends.connection import use
from apothic_backends.remote.address import address_of
from apothic_backends.remote.backend import RemoteBackend
from apothic_backends.remote.connection import Connection
from tests.integration.agents import functions as f
from tests.integration.agents.gates import Gated
from tests.integration.agents.server import start_agent
from tests.integration.support import wait_until
from tests.server.served import Served


class Same(RemoteBackend):
    """A client in the very same files as the agent."""

    shares_files = True


class Setting(Gated):
    """A server that runs nothing itself, an agent, and a client."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.home = folder / "server"
        self.home.mkdir()
        self.server = Served(self.home, "--no-agent")
        token = self.server.key("agent")
        self.agent = start_agent(self.server.url, folder, APOTHIC_AGENT_TOKEN=token)
        self.backend = Same(Connection(address_of(self.server.url), self.server.token))
        self.before = use(self.backend)

    def restart(self) -> None:
        """Kill the server, and start the next."""
        self.server.kill()
        self.server.close()
        self.server = Served(self.home, "--no-agent", port=self.server.port)

    def close(self) -> None:
        use(self.before)
        self.backend.close()
        self.agent.kill()
        self.agent.wait()
        self.server.close()


@pytest.fixture
def setting(tmp_path: Path) -> Iterator[Setting]:
    setting = Setting(tmp_path)
    yield setting
    setting.close()


def test_code_that_waits_for_an_item_gets_it_from_the_next_server(setting: Setting) -> None:
    queue = Queue.from_name("q", create_if_missing=True)
    job = f.take.spawn(queue, str(setting.began))
    wait_until(setting.began.exists)

    setting.restart()
    queue.put("first")
    queue.put("second")

    assert job.wait() == "first"
    assert list(queue.iterate()) == ["second"]


def test_code_that_waits_for_a_call_gets_its_result_from_the_next_server(setting: Setting) -> None:
    job = f.call.spawn(str(setting.began), str(setting.gate))
    wait_until(setting.began.exists)

    setting.restart()
    setting.let_go()

    assert job.wait() == int(setting.began.read_text())


def test_what_has_ended_while_there_was_no_server_is_told_to_the_code_that_waits(
    setting: Setting,
) -> None:
    job = f.call.spawn(str(setting.began), str(setting.gate))
    wait_until(setting.began.exists)

    setting.server.kill()
    setting.let_go()
    setting.restart()

    assert job.wait() == int(setting.began.read_text())


def test_what_was_on_its_way_to_a_server_is_done_once_by_the_next(setting: Setting) -> None:
    queue = Queue.from_name("q", create_if_missing=True)
    table = Dict.from_name("t", create_if_missing=True)
    job = f.write.spawn(queue, table, str(setting.began))
    wait_until(setting.began.exists)

    setting.server.process.send_signal(signal.SIGSTOP)
    setting.let_go()
    setting.restart()
    job.wait()

    assert table["key"] == "value"
    assert list(queue.iterate()) == ["item"]


def test_all_that_code_does_while_servers_are_killed_happens_once(setting: Setting) -> None:
    queue = Queue.from_name("q", create_if_missing=True)
    notes = setting.began
    puts, calls = f.put_all.spawn(queue, 150), f.call_all.spawn(str(notes), 60)
    for count in (20, 40):
        wait_until(lambda: notes.exists() and len(notes.read_text().split()) >= count)  # noqa: B023
        setting.restart()

    assert puts.wait() == 150
    assert calls.wait() == [2 * n for n in range(60)]
    assert list(queue.iterate()) == list(range(150))
    assert notes.read_text().split() == [str(n) for n in range(60)]
