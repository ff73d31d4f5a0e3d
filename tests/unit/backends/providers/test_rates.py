from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from apothic_backends.providers.rates import Limit, Rates


def waits(
    rates: Rates, times: list[float], action: str = "create", key: str = "app"
) -> list[float]:
    found: list[float] = []
    for now in times:
        found.append(rates.wait_s(action, key, now))
        rates.count(action, key, now)
    return found


def test_a_burst_goes_at_once_and_the_next_ones_one_by_one() -> None:
    assert waits(Rates({"create": Limit(1.0, 3)}), [0, 0, 0, 0, 0]) == [0, 0, 0, 1, 2]


def test_a_rest_earns_a_burst_and_no_more() -> None:
    assert waits(Rates({"create": Limit(1.0, 2)}), [0, 0, 100, 100, 100]) == [0, 0, 0, 0, 1]


def test_each_action_and_each_key_counts_by_itself() -> None:
    rates = Rates({"create": Limit(1.0), "get": Limit(1.0)})
    waits(rates, [0])

    assert rates.wait_s("create", "app", 0) == 1
    assert rates.wait_s("create", "other", 0) == 0
    assert rates.wait_s("get", "app", 0) == 0


def test_what_has_no_limit_never_waits() -> None:
    assert waits(Rates({}), [0] * 9) == [0] * 9


def test_what_the_provider_has_closed_waits_for_its_end_whatever_its_limit() -> None:
    rates = Rates({"create": Limit(1.0, 5)})
    rates.close("create", "app", 0.0, 7.0)
    rates.close("create", "app", 1.0, 3.0)

    assert rates.wait_s("create", "app", 2.0) == 5
    assert rates.wait_s("create", "app", 8.0) == 0


def test_keys_that_are_not_asked_for_any_more_are_forgotten() -> None:
    rates = Rates({"get": Limit(1.0)})
    for number in range(5000):
        rates.count("get", str(number), float(number))
        rates.close("get", str(number), float(number), number + 1.0)

    assert len(rates._due) < 2000
    assert len(rates._closed) < 2000


@given(
    st.lists(st.floats(0, 3), max_size=40),
    st.floats(0.1, 5),
    st.integers(1, 5),
)
def test_no_window_has_more_calls_than_its_limit_allows(
    gaps: list[float], interval_s: float, burst: int
) -> None:
    rates, now, made = Rates({"a": Limit(interval_s, burst)}), 0.0, list[float]()
    for gap in gaps:
        now += gap
        wait = rates.wait_s("a", "", now)
        rates.count("a", "", now)
        made.append(now + wait)

    for place, first in enumerate(made):
        for count, last in enumerate(made[place:], 1):
            assert count <= burst + (last - first) / interval_s + 1e-6


@pytest.mark.parametrize("burst", [1, 4])
def test_threads_that_wait_at_once_are_let_through_one_after_another(burst: int) -> None:
    found = waits(Rates({"create": Limit(2.0, burst)}), [0.0] * (burst + 3))

    assert found == [0.0] * burst + [2.0, 4.0, 6.0]
