"""Replies that go back unless they have arrived."""

from __future__ import annotations

from mmap import mmap

import pytest

from apothic_emulator.agent.lent import Lent
from apothic_emulator.executors import wire


@pytest.fixture
def flags() -> mmap:
    return mmap(-1, wire.SHARED_FLAGS)


def test_what_has_not_arrived_goes_back_in_the_end(flags: mmap) -> None:
    lent = Lent(flags)
    first, second = lent.hold(1, "asked", "a"), lent.hold(2, "asked", "b")
    flags[first] = 1

    assert lent.take_all_back() == [(second, "asked", "b")]


def test_what_is_refused_goes_back_once(flags: mmap) -> None:
    lent = Lent(flags)
    place = lent.hold(1, "asked", "a")

    assert lent.take_back(1) == (place, "asked", "a")
    assert lent.take_back(1) is None
    assert lent.take_all_back() == []


def test_a_place_is_used_again_once_its_reply_has_arrived(flags: mmap) -> None:
    lent = Lent(flags)
    slow = lent.hold(0, "asked", "slow")
    places: set[int] = set()
    for number in range(1, 1000):
        place = lent.hold(number, "asked", "a")
        assert not flags[place]
        flags[place] = 1
        places.add(place)

    assert len(places) < 10
    assert lent.take_all_back() == [(slow, "asked", "slow")]


def test_there_are_so_many_places_and_no_more(flags: mmap) -> None:
    lent = Lent(flags)
    places = {lent.hold(number, "asked", "a") for number in range(wire.SHARED_FLAGS)}

    assert len(places - {0}) == wire.SHARED_FLAGS - wire.FIRST_PLACE
    assert min(places - {0}) == wire.FIRST_PLACE
    assert lent.hold(-1, "asked", "a") == 0


def test_nothing_is_lent_to_who_is_gone(flags: mmap) -> None:
    lent = Lent(flags)
    lent.take_all_back()

    assert lent.hold(1, "asked", "a") == 0
