"""Planted bugs between clients and a server."""

from __future__ import annotations

from functools import partial
from typing import Any

from apothic_backends.remote.connection import Connection
from apothic_emulator.core.facts import Asked
from apothic_emulator.core.operations import Operations
from apothic_emulator.server.session import Session
from tests.simulation.mutants import Mutant, mutant

SESSION_MUTANTS: dict[str, Mutant] = {}
plant = partial(mutant, among=SESSION_MUTANTS)


@plant(Operations, "load")
def outcomes_are_forgotten_over_a_restart(right: Any, self: Operations, *_: Any) -> None:
    pass


@plant(Operations, "_answered")
def outcomes_are_not_written_down(right: Any, self: Operations, owed: Any, *rest: Any) -> None:
    owed.is_kept = False
    right(self, owed, *rest)


@plant(Operations, "is_new")
def what_comes_again_is_done_again(right: Any, self: Operations, asked: Asked, now: float) -> bool:
    return True


@plant(Session, "cut")
def a_late_cut_ends_the_next_connection(right: Any, self: Session, connection: Any) -> bool:
    self.connection = None
    return True


@plant(Session, "_back")
def what_is_given_back_is_lost(right: Any, self: Session, number: Any, said: int) -> None:
    self._unseen.discard(number)
    self.answer(said)


@plant(Session, "_tell")
def what_a_client_has_is_answered_before_it_is_durable(
    right: Any, self: Session, command: Any, token: Any = None
) -> None:
    right(self, command)
    if token is not None:
        token.complete(None)


@plant(Operations, "loaded")
def nothing_goes_back_after_a_restart(right: Any, self: Operations, *_: Any) -> None:
    pass


@plant(Operations, "_say_again")
def what_was_said_twice_never_goes_back(
    right: Any, self: Operations, answer: Any, asked: Asked
) -> None:
    right(self, answer, asked.replace(unheard=False))


@plant(Session, "_unwanted")
def who_gave_up_has_a_call_nevertheless(right: Any, self: Session, *_: Any) -> None:
    pass


@plant(Connection, "welcomed")
def what_was_asked_is_not_asked_again(
    right: Any, self: Connection, wire: Any, message: Any
) -> None:
    kept, self._pending = self._pending, {}
    right(self, wire, message)
    self._pending = kept


@plant(Connection, "give_up")
def a_command_that_was_given_up_is_not_asked_again(
    right: Any, self: Connection, number: int
) -> None:
    right(self, number)
    self._pending.pop(number, None)


@plant(Session, "part")
def what_was_given_up_is_answered_at_once(
    right: Any, self: Session, number: int, *, is_last: bool = False
) -> None:
    self.refuse(number)


@plant(Session, "part")
def what_was_given_up_is_answered_before_its_end_is_durable(
    right: Any, self: Session, number: int, *, is_last: bool = False
) -> None:
    right(self, number, is_last=True)
