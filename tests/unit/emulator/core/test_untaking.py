"""Items that were on their way to a client go back, whatever has ended meanwhile."""

from __future__ import annotations

from typing import Any

import pytest

from apothic_backends.commands.queues import DeleteQueue, OpenQueue, PeekItems, TakeItems
from apothic_backends.model.errors import ApothicError
from apothic_backends.model.queues import QueueItems
from apothic_emulator.core import operations
from apothic_emulator.core.facts import Asked, GivenUp
from apothic_emulator.core.operations import AWAITED_S, ForgetOperations, UndoOperations
from tests.unit.emulator.core.queueing import put, texts
from tests.unit.emulator.core.restarting import Restarting


class Taking(Restarting):
    """A control plane with a queue, and a client that asks for items under the operation `a`."""

    def __init__(self, *items: str, **settings: Any) -> None:
        super().__init__()
        self.ask(OpenQueue("q", **settings))
        if items:
            self.put(*items)

    def put(self, *items: str, **how: Any) -> None:
        self.ask(put(*items, **how))

    def take(self, count: int = 1, *, unheard: bool = True, partition: str = "") -> QueueItems:
        command: Any = TakeItems("q", count, partition, 0.0)
        token = object()
        self.step(Asked(command, token, None, "a", unheard=unheard))
        answer = self.answers[token]
        if isinstance(answer, ApothicError):
            raise answer
        return answer

    def give_up(self, reply: QueueItems) -> None:
        self.step(GivenUp(object(), reply))

    def undo(self) -> None:
        self.ask(UndoOperations(("a", "never heard of")))

    def left(self, partition: str = "") -> list[str]:
        return texts(self.ask(PeekItems("q", 100, partition)))


def test_what_was_repeated_to_who_had_not_heard_it_can_go_back() -> None:
    client = Taking("x", "y")
    client.take()

    client.give_up(client.take())

    assert client.left() == ["x", "y"]


def test_of_two_replies_only_one_goes_back() -> None:
    client = Taking("x")
    replies = client.take(), client.take()

    for reply in replies:
        client.give_up(reply)

    assert client.left() == ["x"]


def test_what_has_reached_nobody_goes_back_by_its_operation() -> None:
    client = Taking("x")
    client.take()

    client.undo()

    assert client.left() == ["x"]
    assert client.plane.operations.answers == {}


def test_what_is_not_remembered_any_more_can_still_go_back(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Taking("x")
    reply = client.take()
    monkeypatch.setattr(operations, "MOST_ANSWERS", 1)
    client.ask(OpenQueue("other"), operation="b")

    client.give_up(reply)

    assert client.left() == ["x"]


def test_what_a_client_has_does_not_go_back() -> None:
    client = Taking("x")
    reply = client.take()
    client.ask(ForgetOperations(("a",)))

    client.undo()

    assert client.left() == []
    assert reply.count == 1


def test_what_was_answered_goes_back_after_a_restart_in_its_old_place() -> None:
    client = Taking("x", "y", "z")
    client.take(2)
    client.restart()
    client.put("later")

    client.undo()

    assert client.left() == ["x", "y", "z", "later"]


def test_what_was_answered_is_answered_alike_after_a_restart_and_can_go_back() -> None:
    client = Taking("x")
    before = client.take()
    client.restart()

    again = client.take()
    assert again == before
    client.give_up(again)

    assert client.left() == ["x"]


def test_what_may_have_been_heard_before_a_restart_stays() -> None:
    client = Taking("x")
    client.take()
    client.restart()

    again = client.take(unheard=False)

    assert texts(again) == ["x"]
    assert again.undo is None


def test_what_nobody_comes_for_after_a_restart_goes_back() -> None:
    client = Taking("x")
    client.take()
    client.restart()
    client.pass_s(AWAITED_S - 1)
    assert client.left() == []

    client.pass_s(1)

    assert client.left() == ["x"]


def test_what_somebody_came_for_after_a_restart_is_theirs_for_as_long_as_they_are_there() -> None:
    client = Taking("x")
    client.take()
    client.restart()
    client.take()

    client.pass_s(2 * AWAITED_S)

    assert client.left() == []


def test_a_key_a_lifetime_and_a_partition_are_as_before() -> None:
    client = Taking()
    client.put("x", key="k", ttl_s=1000.0, partition="p")
    assert texts(client.take(partition="p")) == ["x"]
    client.restart()

    client.undo()
    client.put("y", key="k", partition="p")

    assert client.left("p") == ["x"]
    client.pass_s(1000)
    assert client.left("p") == []


def test_the_number_of_what_may_go_back_is_given_to_nothing_else() -> None:
    client = Taking("x")
    client.take()
    client.restart()
    client.put("y")

    client.undo()
    client.restart()

    assert client.left() == ["x", "y"]


@pytest.mark.parametrize("is_ephemeral", [False, True])
def test_what_has_no_queue_any_more_does_not_go_back(is_ephemeral: bool) -> None:
    client = Taking("x", ephemeral=is_ephemeral)
    client.take()
    if not is_ephemeral:
        client.ask(DeleteQueue("q"))
    client.restart()
    client.ask(OpenQueue("q"))

    client.undo()

    assert client.left() == []
