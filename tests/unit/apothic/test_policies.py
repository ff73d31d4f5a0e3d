"""What decorators beside `@app.function` make of a function."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from apothic import App, InvalidOption, concurrent
from tests.unit.apothic.threads import ThreadBackend

app = App("policies")


def work(item: str) -> str:
    return item.upper()


@app.function
@concurrent(max_inputs=16, target_inputs=12)
def below(item: str) -> str:
    return item.upper()


@concurrent(max_inputs=16, target_inputs=12)
@app.function
def above(item: str) -> str:
    return item.upper()


@pytest.mark.parametrize("handle", [below, above])
def test_concurrent_says_how_many_calls_a_worker_takes_and_aims_at(handle: Any) -> None:
    assert handle.spec().concurrent_requests == 16
    assert handle.spec().target_requests == 12


def test_concurrent_without_a_target_aims_at_all_it_takes() -> None:
    handle = app.function()(concurrent(max_inputs=3)(lambda: None))

    assert (handle.spec().concurrent_requests, handle.spec().target_requests) == (3, 3)


def test_without_it_the_option_counts() -> None:
    spec = app.function(concurrent_requests=5)(lambda: None).spec()

    assert (spec.concurrent_requests, spec.target_requests) == (5, 0)


def test_a_concurrent_function_runs_from_afar(backend: ThreadBackend) -> None:
    assert below.remote("a") == above.remote("a") == "A"


@pytest.mark.parametrize("slots", [1, 4])
def test_concurrent_below_and_concurrent_requests_say_the_same_thing(slots: int) -> None:
    marked = concurrent(max_inputs=2)(lambda: None)

    with pytest.raises(InvalidOption, match="@concurrent and concurrent_requests"):
        app.function(concurrent_requests=slots)(marked)


@pytest.mark.parametrize("slots", [1, 4])
def test_concurrent_above_and_concurrent_requests_say_the_same_thing(slots: int) -> None:
    handle = app.function(concurrent_requests=slots)(lambda: None)

    with pytest.raises(InvalidOption, match="@concurrent and concurrent_requests"):
        concurrent(max_inputs=2)(handle)


def test_a_later_option_takes_the_place_of_concurrent() -> None:
    changed = below.with_options(concurrent_requests=2)

    assert (changed.spec().concurrent_requests, changed.spec().target_requests) == (2, 0)
    assert below.with_options(cpu=2).spec().concurrent_requests == 16
    assert below.spec().concurrent_requests == 16


def test_a_mark_on_one_handle_is_not_one_on_its_function() -> None:
    first = app.function(concurrent_requests=2)(work)
    second: Any = concurrent(max_inputs=3)(app.function(work))

    assert first.spec().concurrent_requests == 2
    assert second.spec().concurrent_requests == 3
    assert app.function(work).spec().concurrent_requests == 1


def test_a_handle_keeps_its_marks_on_a_journey() -> None:
    again = pickle.loads(pickle.dumps(below))

    assert again.with_options(cpu=2).spec().target_requests == 12
