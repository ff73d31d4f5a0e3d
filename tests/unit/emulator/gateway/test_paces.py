"""How long a body may take, on a clock of numbers."""

from __future__ import annotations

import math

from apothic_emulator.gateway.paces import LEAST_RATE, PATIENCE_S, Pace


def test_nothing_is_asked_of_the_first_seconds() -> None:
    assert Pace(100.0).due(0) == 100.0 + PATIENCE_S


def test_what_has_come_gives_time_for_the_rest() -> None:
    assert Pace(100.0).due(5 * LEAST_RATE) == 100.0 + PATIENCE_S + 5.0


def test_while_it_is_held_it_has_for_ever() -> None:
    pace = Pace(100.0)
    pace.hold(101.0)

    assert pace.due(0) == math.inf


def test_the_time_that_it_was_held_does_not_count() -> None:
    pace = Pace(100.0)
    pace.hold(101.0)
    pace.hold(102.0)
    pace.go_on(131.0)
    pace.go_on(132.0)

    assert pace.due(0) == 130.0 + PATIENCE_S
