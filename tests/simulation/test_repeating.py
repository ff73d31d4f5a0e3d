from __future__ import annotations

from collections import Counter

import pytest

from apothic_emulator.core.operations import Operations
from tests.simulation.history import Violation
from tests.simulation.repeating import Repeating

SEEDS = 100


def run(seeds: int) -> Counter[str]:
    reached: Counter[str] = Counter()
    for seed in range(seeds):
        one = Repeating(seed)
        one.run()
        reached += one.reached
    return reached


def test_each_command_happens_once_whatever_is_lost() -> None:
    reached = run(SEEDS)

    assert {what: times for what, times in reached.items() if times < SEEDS // 5} == {}
    assert len(reached) == 6


def test_operations_that_are_not_written_down_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Operations, "load", lambda *_: None)

    with pytest.raises(Violation, match="N16"):
        run(SEEDS)


def test_replies_that_go_back_twice_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Operations._say_again
    wrong = lambda self, answer, asked: right(self, answer, asked.replace(unheard=True))  # noqa: E731
    monkeypatch.setattr(Operations, "_say_again", wrong)

    with pytest.raises((Violation, AssertionError)):
        run(SEEDS)


def test_places_that_nobody_takes_over_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Operations, "_take_over", lambda *_: None)

    with pytest.raises((Violation, AssertionError, KeyError)):
        run(SEEDS)
