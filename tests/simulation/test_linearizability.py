"""The checker finds what it is there for, and accepts what can have happened."""

from __future__ import annotations

import pytest

from tests.linearizability import Op, violation


def put(began: float, ended: float, value: str, rev: int | None, if_rev: int | None = None) -> Op:
    return Op("put", began, ended, value, if_rev, rev)


def get(began: float, ended: float, *found: object) -> Op:
    return Op("get", began, ended, result=found or None)


def pop(began: float, ended: float, *found: object, if_rev: int | None = None) -> Op:
    return Op("pop", began, ended, result=found or None, if_rev=if_rev)


UNSEEN = float("inf")

GOOD = {
    "one after the other": [put(0, 1, "a", 1), get(2, 3, "a", 1), pop(4, 5, "a", 1), get(6, 7)],
    "nothing there": [get(0, 1), pop(2, 3)],
    "a read beside a write sees it": [put(0, 9, "a", 1), get(1, 2, "a", 1)],
    "a read beside a write does not see it": [put(0, 9, "a", 1), get(1, 2)],
    "two writes side by side, read in one order": [
        put(0, 9, "a", 1),
        put(0, 9, "b", 2),
        get(10, 11, "b", 2),
    ],
    "a condition that held": [put(0, 1, "a", 1), put(2, 3, "b", 2, if_rev=1)],
    "a condition that did not": [put(0, 1, "a", 1), put(2, 3, "b", None, if_rev=0)],
    "of two conditions one held": [
        put(0, 1, "a", 1),
        put(2, 9, "b", 2, if_rev=1),
        put(2, 9, "c", None, if_rev=1),
    ],
    "a write that nobody saw the end of has happened": [
        put(0, UNSEEN, "a", None),
        get(5, 6, "a", 1),
    ],
    "or has happened later": [put(0, UNSEEN, "a", None), get(5, 6), get(7, 8, "a", 1)],
    "or not at all": [put(0, UNSEEN, "a", None), get(5, 6), get(7, 8)],
    "a removal that nobody saw the end of": [
        put(0, 1, "a", 1),
        pop(2, UNSEEN),
        get(3, 4, "a", 1),
        get(5, 6),
    ],
    "a removal at another revision": [put(0, 1, "a", 2), pop(2, 3, if_rev=1), get(4, 5, "a", 2)],
}

BAD = {
    "a stale read": [put(0, 1, "a", 1), put(2, 3, "b", 2), get(4, 5, "a", 1)],
    "a lost write": [put(0, 1, "a", 1), get(2, 3)],
    "a value that nobody wrote": [get(0, 1, "a", 1)],
    "two reads that disagree about the order": [
        put(0, 9, "a", 1),
        put(0, 9, "b", 2),
        get(10, 11, "b", 2),
        get(12, 13, "a", 1),
    ],
    "two conditions that both held": [
        put(0, 1, "a", 1),
        put(2, 9, "b", 2, if_rev=1),
        put(2, 9, "c", 3, if_rev=1),
    ],
    "a condition that should have held": [put(0, 1, "a", 1), put(2, 3, "b", None, if_rev=1)],
    "a removal that found nothing": [put(0, 1, "a", 1), pop(2, 3)],
    "a key that came back": [put(0, 1, "a", 1), pop(2, 3, "a", 1), get(4, 5, "a", 1)],
    "taken out twice": [put(0, 1, "a", 1), pop(2, 9, "a", 1), pop(2, 9, "a", 1)],
    "a write whose end nobody saw, seen before it began": [
        get(0, 1, "a", 1),
        put(2, UNSEEN, "a", None),
    ],
    "a revision that is smaller than the one before": [put(0, 1, "a", 5), put(2, 3, "b", 4)],
    "an older value after a newer one": [
        put(0, UNSEEN, "a", None),
        put(0, 1, "b", 7),
        get(2, 3, "a", 9),
        get(4, 5, "b", 7),
    ],
}


@pytest.mark.parametrize("name", GOOD)
def test_what_can_have_happened_is_accepted(name: str) -> None:
    assert violation(GOOD[name]) == ""


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_have_happened_is_found(name: str) -> None:
    assert violation(BAD[name]).startswith("no order explains")


def test_a_long_history_is_looked_through() -> None:
    ops = [put(i, i + 6, f"v{i}", i + 1) for i in range(300)]
    ops += [get(400, 401, "v299", 300)]

    assert violation(ops) == ""
    assert violation([*ops, get(402, 403, "v298", 299)])
