from __future__ import annotations

import pytest

from apothic_emulator.core.jobs import NEVER
from apothic_emulator.host.virtual import Move, Situation, next_move

IDLE = Situation(now=10.0, alarm=50.0)


def test_time_stands_still_when_nobody_wants_anything() -> None:
    assert next_move(IDLE) == (Move.STAND, 10.0)


def test_time_jumps_to_the_alarm_when_somebody_waits() -> None:
    assert next_move(IDLE._replace(is_waited_for=True)) == (Move.JUMP, 50.0)


def test_time_does_not_jump_for_a_waiter_when_nothing_is_due_at_all() -> None:
    assert next_move(IDLE._replace(is_waited_for=True, alarm=NEVER)) == (Move.STAND, 10.0)


def test_time_does_not_jump_for_a_waiter_while_it_is_paused() -> None:
    assert next_move(IDLE._replace(is_waited_for=True, is_paused=True)) == (Move.STAND, 10.0)


@pytest.mark.parametrize("wish", [{"is_waited_for": True}, {"goal": 1000.0}])
def test_real_work_pins_time_whoever_wants_it_to_jump(wish: dict[str, float]) -> None:
    assert next_move(IDLE._replace(is_working=True, **wish)) == (Move.FLOW, 10.0)


@pytest.mark.parametrize("goal", [50.0, 51.0, NEVER])
def test_whoever_advances_stops_at_every_alarm_on_the_way(goal: float) -> None:
    assert next_move(IDLE._replace(goal=goal)) == (Move.JUMP, 50.0)


@pytest.mark.parametrize("alarm", [50.0, NEVER])
def test_whoever_advances_arrives_exactly_when_nothing_is_due_before(alarm: float) -> None:
    assert next_move(IDLE._replace(goal=49.0, alarm=alarm)) == (Move.ARRIVE, 49.0)


def test_a_pause_does_not_hold_whoever_advances() -> None:
    assert next_move(IDLE._replace(goal=20.0, is_paused=True)) == (Move.ARRIVE, 20.0)


def test_time_never_goes_back_to_an_alarm_or_a_goal_that_work_has_overtaken() -> None:
    assert next_move(IDLE._replace(goal=9.0)) == (Move.ARRIVE, 10.0)
    assert next_move(IDLE._replace(goal=9.0, alarm=8.0)) == (Move.JUMP, 10.0)
    assert next_move(IDLE._replace(is_waited_for=True, alarm=8.0)) == (Move.JUMP, 10.0)


def test_what_is_due_at_the_goal_itself_happens_before_the_arrival() -> None:
    assert next_move(IDLE._replace(goal=10.0, alarm=10.0)) == (Move.JUMP, 10.0)
