"""What code on an agent asks, from the agent to the core and back, without any connection."""

from __future__ import annotations

from typing import Any

from apothic_backends import codec
from apothic_backends.commands import GetDurability, SubmitJob, WaitJob
from apothic_backends.commands.queues import OpenQueue
from apothic_backends.model.functions import FunctionSpec
from apothic_backends.model.payloads import Payload
from apothic_emulator.agent import messages
from apothic_emulator.agent.channel import Frame, parse
from apothic_emulator.agent.messages import Ask
from apothic_emulator.agent.outpost import Outpost
from apothic_emulator.agent.remote import RemoteAgent
from apothic_emulator.core.effects import Attach, Kill, StartExecutor
from apothic_emulator.core.facts import Asked, Ended
from apothic_emulator.core.hellos import Capacity, Drain, Welcome
from apothic_emulator.core.operations import ForgetOperations

START = StartExecutor(1, 1, FunctionSpec("app", "f"), Payload(b""), 1)


class Ends:
    """Both ends of an agent, and what is on its way between them."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.done: list[Any] = []
        self.answers: list[Any] = []
        self.outpost = Outpost("a", "1", Capacity(1, 1), self.done.append, self.answers.append)
        self.begin_anew()
        self.remote.carry_out(START)
        self.pass_on()

    def begin_anew(self, *kills: int) -> None:
        """Another control plane, which knows the executors that it does not have killed."""
        self.asked.clear()
        self.remote = RemoteAgent(1, self.asked.append, object(), {})  # type: ignore[arg-type]
        self.outpost.hello(0.0)
        left = tuple(number for number in self.outpost.executors if number not in kills)
        self.remote.attach(Attach(1, "c", False, left))
        self.remote.begin(1, 0, lambda: None)
        body = messages.to_bytes(Welcome(1, 1, "c", False, 30.0, kills))
        self.outpost.welcomed(Frame(4, 0, 0, body), 0.0)
        self.pass_on()

    def pass_on(self) -> None:
        """All that waits arrives."""
        moved = True
        while moved:
            moved = False
            while (data := self.outpost.channel.next_frame()) is not None:
                self.remote.received(1, parse(data))
                moved = True
            for item in self.asked:
                if type(item.command).__name__ == "Heard":
                    item.token.complete(None)
            self.asked[:] = [it for it in self.asked if type(it.command).__name__ != "Heard"]
            while (data := self.remote.next_frame(1)) is not None:
                self.outpost.take(parse(data), 0.0)
                moved = True

    def ask(self, command: Any, number: int = 1) -> Asked:
        """Code in executor 1 asks; what its control plane is asked."""
        self.outpost.say(question(command, number), 0.0)
        self.pass_on()
        found: Asked = self.asked[-1]
        return found

    @property
    def told(self) -> list[Any]:
        """What code was told."""
        return [codec.from_bytes(answer.body, answer.buffers) for answer in self.answers]


def question(command: Any, number: int = 1) -> Ask:
    buffers: list[Any] = []
    body = codec.to_bytes(command, buffers)
    return Ask(1, 7, number, body, tuple(map(bytes, buffers)))


def test_a_question_reaches_the_core_and_its_reply_the_code() -> None:
    ends = Ends()
    asked = ends.ask(GetDurability())
    assert asked.token.complete("disk")  # type: ignore[attr-defined]
    ends.pass_on()

    assert asked.operation is None
    assert ends.told == ["disk"]


def test_what_changes_something_has_an_operation_until_its_reply_has_arrived() -> None:
    ends = Ends()
    asked = ends.ask(OpenQueue("q"), 5)
    assert asked.operation == "e1/5"
    assert asked.token.complete(None)  # type: ignore[attr-defined]
    assert ends.asked == [asked]
    ends.pass_on()

    assert ends.asked[-1].command == ForgetOperations(("e1/5",))


def test_what_is_not_answered_is_asked_the_next_control_plane_under_the_same_name() -> None:
    ends = Ends()
    before = ends.ask(OpenQueue("q"))
    ends.begin_anew()

    (again,) = ends.asked
    assert (again.command, again.operation) == (before.command, before.operation)
    assert again.token is not before.token


def test_what_was_answered_is_not_asked_again() -> None:
    ends = Ends()
    ends.ask(OpenQueue("q")).token.complete(None)  # type: ignore[attr-defined]
    ends.pass_on()
    ends.begin_anew()

    assert ends.asked == []


def test_an_answer_that_did_not_arrive_is_asked_for_again() -> None:
    ends = Ends()
    ends.ask(OpenQueue("q")).token.complete(None)  # type: ignore[attr-defined]
    ends.begin_anew()

    assert [item.operation for item in ends.asked] == ["e1/1"]


def test_questions_are_asked_again_in_their_order() -> None:
    ends = Ends()
    ends.ask(OpenQueue("a"), 1)
    ends.ask(OpenQueue("b"), 2)
    ends.outpost.say(question(OpenQueue("c"), 3), 0.0)
    ends.outpost.say(question(OpenQueue("d"), 0), 0.0)
    ends.begin_anew()

    assert [item.command.queue for item in ends.asked] == ["a", "b", "c", "d"]


def test_nobody_asks_again_for_an_executor_that_the_control_plane_does_not_know() -> None:
    ends = Ends()
    ends.ask(OpenQueue("a"))
    ends.begin_anew(1)

    assert ends.asked == []
    assert ends.done[-1] == Kill(1)
    assert ends.outpost.dying == {1}
    ends.outpost.say(Ended(1, "signal"), 0.0)
    assert ends.outpost.is_empty


def test_a_call_from_code_is_kept_and_let_go_of_when_its_outcome_has_arrived() -> None:
    ends = Ends()
    submit = SubmitJob("functions:1", Payload(b""))
    submit.owned = True
    assert ends.ask(submit, 1).command.owned is False  # type: ignore[attr-defined]
    wait = ends.ask(WaitJob("jobs:1", last=True, owned=True), 2)
    assert (wait.command, wait.operation) == (WaitJob("jobs:1", owned=True), None)

    assert wait.token.complete(None)  # type: ignore[attr-defined]
    ends.pass_on()

    assert [type(item.command).__name__ for item in ends.asked][-1:] == ["ReleaseJob"]


def test_an_agent_that_drains_says_so_to_each_control_plane() -> None:
    ends = Ends()
    ends.outpost.drain()
    ends.pass_on()
    assert [item.command for item in ends.asked] == [Drain(1, 1)]

    ends.begin_anew()

    assert [item.command for item in ends.asked] == [Drain(1, 1)]


def test_an_agent_that_has_no_control_plane_yet_drains_with_the_first() -> None:
    outpost = Outpost("a", "1", Capacity(1, 1), lambda _: None, lambda _: None)
    outpost.drain()

    assert outpost.is_empty
    assert not outpost.channel.is_unsent
