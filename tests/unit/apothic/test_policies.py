"""What decorators beside `@app.function` make of a function."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

import pytest

from apothic import App, InvalidOption, batched, concurrent
from apothic_backends.model.functions import BatchPolicy
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


@app.function()
@batched(max_batch_size=8, wait_ms=50)
def batched_below(values: list[str]) -> list[int]:
    return [len(value) for value in values]


@batched(max_batch_size=8, wait_ms=50)
@app.function()
def batched_above(values: list[str]) -> list[int]:
    return [len(value) for value in values]


@pytest.mark.parametrize("handle", [batched_below, batched_above])
def test_batched_says_how_inputs_are_gathered(handle: Any) -> None:
    assert handle.spec().batch == BatchPolicy(8, 0.05)
    assert handle.with_options(cpu=2).spec().batch == BatchPolicy(8, 0.05)


@pytest.mark.parametrize("handle", [batched_below, batched_above])
def test_a_batched_function_takes_and_gives_lists_in_place(handle: Any) -> None:
    assert handle(["a", "bc"]) == handle.local(["a", "bc"]) == [1, 2]


def test_batched_and_concurrent_go_together() -> None:
    both: Any = concurrent(max_inputs=3)(batched_below.with_options(cpu=2))

    assert both.spec().batch is not None
    assert both.spec().concurrent_requests == 3


def gives(values: list[int]) -> Iterator[int]:
    yield from values


def takes_nothing() -> list[int]:
    return []


def has_a_default(values: list[int], scale: int = 2) -> list[int]:
    return [value * scale for value in values]


def has_a_keyword_default(values: list[int], *, scale: int = 2) -> list[int]:
    return [value * scale for value in values]


def takes_any(*values: list[int]) -> list[int]:
    return list(values[0])


def takes_any_keyword(**values: list[int]) -> list[int]:
    return values["a"]


async def async_gives(values: list[int]) -> Any:
    for value in values:
        yield value


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (gives, "do not yield"),
        (async_gives, "do not yield"),
        (takes_nothing, "at least one parameter"),
        (has_a_default, "without default values"),
        (has_a_keyword_default, "without default values"),
        (takes_any, r"\*args and \*\*kwargs differ"),
        (takes_any_keyword, r"\*args and \*\*kwargs differ"),
    ],
)
@pytest.mark.parametrize("is_above", [True, False])
def test_what_cannot_take_batches_is_refused_with_the_reason(
    function: Callable[..., Any], why: str, is_above: bool
) -> None:
    decorate: Any = batched(max_batch_size=2, wait_ms=0)
    steps: list[Any] = [app.function, decorate] if is_above else [decorate, app.function]
    handle = steps[0](function)

    with pytest.raises(InvalidOption, match=why):
        steps[1](handle)


def test_what_is_not_written_in_python_is_refused() -> None:
    with pytest.raises(InvalidOption, match="written in Python"):
        batched(max_batch_size=2, wait_ms=0)(app.function(len))


def plain(values: list[str]) -> list[str]:
    return values


def test_a_wrapped_function_has_the_parameters_of_what_it_wraps() -> None:
    @wraps(plain)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return plain(*args, **kwargs)

    handle: Any = app.function(batched(max_batch_size=2, wait_ms=0)(wrapper))

    assert handle.spec().batch == BatchPolicy(2, 0.0)
