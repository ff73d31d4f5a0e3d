from __future__ import annotations

import pytest

from apothic_backends.model.errors import Fenced
from apothic_emulator.core import fences
from apothic_emulator.core.fences import Fences

LOCK = 'the lock "a" of dict demo'


def test_a_write_without_a_fence_may_be_done() -> None:
    Fences().check(None)


def test_a_fence_that_is_held_lets_writes_through() -> None:
    known = Fences()
    known.give(7, LOCK)

    known.check(7)


def test_a_fence_that_nobody_was_given_is_refused() -> None:
    with pytest.raises(Fenced, match="no lock or term") as refused:
        Fences().check(7)

    assert refused.value.data == {"fence": 7, "lock": None, "present": None}


def test_a_fence_of_the_past_is_refused_with_the_name_of_its_lock() -> None:
    known = Fences()
    known.give(7, LOCK)
    known.take(7)

    with pytest.raises(Fenced, match="nobody has it now") as refused:
        known.check(7)

    assert refused.value.data == {"fence": 7, "lock": LOCK, "present": None}


def test_a_fence_of_the_past_is_refused_with_the_one_that_holds_the_lock() -> None:
    known = Fences()
    known.give(7, LOCK)
    known.take(7)
    known.give(9, LOCK)

    with pytest.raises(Fenced, match="fence 9 has it now") as refused:
        known.check(7)

    assert refused.value.data["present"] == 9


def test_what_is_remembered_of_the_past_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fences, "REMEMBERED", 2)
    known = Fences()
    for fence in (1, 2, 3):
        known.give(fence, LOCK)
        known.take(fence)

    with pytest.raises(Fenced, match="no lock or term"):
        known.check(1)
    with pytest.raises(Fenced, match="lock"):
        known.check(2)
