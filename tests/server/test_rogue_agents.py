"""An agent speaks for what it runs itself, whatever it says: its key gives it nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from typing import Any

import pytest
from websockets.sync.client import connect

from apothic_backends import codec
from apothic_backends.commands import GetJobInput, TellProgress
from apothic_backends.model.functions import FunctionSpec
from apothic_backends.model.record import Record
from apothic_emulator.agent import channel, messages
from apothic_emulator.agent.channel import Frame
from apothic_emulator.agent.messages import Ask
from apothic_emulator.core.facts import Accepted, Ended, Printed, Recalled, Reported
from apothic_emulator.core.hellos import HeldExecutor, HeldJob
from tests.server.rogue import NONE, Rogue, rogue
from tests.server.served import PATIENCE_S, Served, served

Agents = tuple[Rogue, Rogue]


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server that runs nothing itself."""
    with served(tmp_path_factory.mktemp("empty"), "--no-agent", "--grace", "0") as server:
        yield server


_numbers = count()


def submit(server: Served) -> str:
    """A call of a function that no executor of before can take."""
    code = {"codec": "ref", "data": "builtins:int"}
    spec = {"app_name": "rogues", "name": f"f{next(_numbers)}", "cpu": 1}
    function = server.reply("register-function", spec=spec, code=code)
    return str(server.reply("submit-job", function_id=function, arguments={"data": {}}))


@pytest.fixture
def both(empty: Served) -> Iterator[tuple[Rogue, Rogue]]:
    """Two agents, each of which is full with one job; the second will tell tales."""
    with ExitStack() as stack:
        agents: list[Rogue] = []
        for _ in range(2):
            agents.append(stack.enter_context(rogue(empty, empty.key("agent"))))
            submit(empty)
            agents[-1].take_on()
        yield agents[0], agents[1]


def told(server: Served, agent: Rogue) -> dict[str, Any]:
    """All that is told of the job that an agent runs."""
    job_id = f"jobs:{agent.job}"
    return {
        "job": server.reply("get-job", job_id=job_id),
        "logs": server.reply("get-job-logs", job_id=job_id)["text"],
        "events": server.reply("read-events", topic=job_id)["events"],
    }


def asks(executor: int, job: int, command: Record, request: int = 0) -> Ask:
    buffers: list[Any] = []
    body = codec.to_bytes(command, buffers)
    return Ask(executor, job, request, body, tuple(map(bytes, buffers)))


PROGRESS = TellProgress(1.0, 1.0, "done")

TALES: dict[str, Callable[[Rogue, Rogue], Any]] = {
    "its executor reports": lambda it, _: Reported(it.executor, it.job, 1, NONE),
    "my executor reports its job": lambda it, me: Reported(me.executor, it.job, 1, NONE),
    "it has accepted it again": lambda it, _: Accepted(it.executor, it.job, 1),
    "I have accepted it": lambda it, me: Accepted(me.executor, it.job, 1),
    "its executor gives it back": lambda it, _: Recalled(it.executor, (it.job,)),
    "my executor gives it back": lambda it, me: Recalled(me.executor, (it.job,)),
    "its executor has ended": lambda it, _: Ended(it.executor, "exit"),
    "mine has, and never got it": lambda it, me: Ended(me.executor, "exit", (it.job,)),
    "its executor prints": lambda it, _: Printed(it.executor, it.job, "stdout", "lies\n"),
    "its job prints on mine": lambda it, me: Printed(me.executor, it.job, "stdout", "lies\n"),
    "its code tells": lambda it, _: asks(it.executor, it.job, PROGRESS),
    "its job tells from mine": lambda it, me: asks(me.executor, it.job, PROGRESS),
}


@pytest.mark.parametrize("what", TALES)
def test_what_an_agent_says_of_what_another_runs_changes_nothing(
    empty: Served, both: Agents, what: str
) -> None:
    it, me = both
    before = told(empty, it)

    me.say(TALES[what](it, me))

    assert told(empty, it) == before
    it.report()
    assert told(empty, it)["job"]["status"] == "succeeded"


def test_an_agent_that_claims_what_another_runs_is_told_to_end_it(
    empty: Served, both: Agents
) -> None:
    it, _ = both
    before = told(empty, it)
    claimed = HeldExecutor(it.executor, 1, True, (HeldJob(it.job, 1, "done"),))

    with rogue(empty, empty.key("agent"), claimed) as third:
        third.say(Reported(it.executor, it.job, 1, NONE))

        assert third.welcome.kills == (it.executor,)
        assert told(empty, it) == before


def test_code_that_an_agent_makes_up_gets_no_answer(empty: Served, both: Agents) -> None:
    it, me = both

    me.say(asks(it.executor, it.job, GetJobInput(f"jobs:{it.job}"), 1))
    me.say()

    assert me.answers == 0


def test_what_is_no_command_is_refused(both: Agents) -> None:
    _, me = both

    me.say(asks(me.executor, me.job, FunctionSpec("a", "no-command"), 1))
    me.say()  # answers come after the first sign that it was heard

    assert me.answers == 1


@pytest.mark.parametrize("command", ["get-job-input", "get-job-logs", "cancel-job", "get-job"])
def test_the_key_of_an_agent_asks_for_nothing(empty: Served, both: Agents, command: str) -> None:
    it, _ = both

    answer = empty.call(command, empty.key("agent"), job_id=f"jobs:{it.job}")

    assert (answer.status, answer.code) == (403, "forbidden")


def test_the_key_of_an_agent_joins_no_other_account(empty: Served, both: Agents) -> None:
    it, _ = both
    before = told(empty, it)
    claimed = HeldExecutor(it.executor, 1, True, (HeldJob(it.job, 1, "done"),))

    with rogue(empty, empty.key("agent", account="strangers"), claimed) as stranger:
        stranger.say(Reported(it.executor, it.job, 1, NONE))

    assert told(empty, it) == before


def test_an_agent_of_another_version_is_told_which_is_spoken(empty: Served) -> None:
    headers = {"Authorization": f"Bearer {empty.key('agent')}"}
    with connect(f"ws://{empty.own_host}/v1/agent", additional_headers=headers) as connection:
        connection.send(Frame(channel.HELLO, 0, 0, b"", channel.VERSION + 1).pack())
        data = connection.recv(PATIENCE_S)

    assert isinstance(data, bytes)
    frame = channel.parse(data)
    assert frame.kind == channel.REFUSED
    assert "install the same version" in str(messages.error_from_bytes(frame.body))
