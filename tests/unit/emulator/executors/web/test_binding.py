"""How the arguments of an endpoint are taken from a request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal, TypedDict

import msgspec
import pytest
from pydantic import BaseModel
from starlette.requests import Request

from apothic_emulator.executors.web.binding import (
    MISSING,
    Bound,
    NotBindable,
    bind,
    parameters_of,
)
from apothic_emulator.executors.web.faults import MOST_FAULTS


@dataclass
class Item:
    name: str
    count: int = 1
    tags: list[str] = field(default_factory=list)


class Point(TypedDict):
    x: int
    y: int


class Model(BaseModel):
    n: int
    when: date | None = None


def got(function: Callable[..., Any], query: Mapping[str, list[str]]) -> Bound:
    return bind(parameters_of(function), query, MISSING, has_body=False)


def posted(
    function: Callable[..., Any], body: Any, query: Mapping[str, list[str]] | None = None
) -> Bound:
    return bind(parameters_of(function), query or {}, body, has_body=True)


def places(bound: Bound) -> list[str]:
    return [problem.where for problem in bound.problems]


def several(n: int, flag: bool = False, tags: list[str] = [], when: date | None = None) -> None:  # noqa: B006
    pass


def one_item(item: Item, times: int = 1) -> None:
    pass


# --- the query ----------------------------------------------------------------------------------


def test_text_of_a_query_becomes_what_the_hint_says() -> None:
    bound = got(several, {"n": ["3"], "flag": ["true"], "when": ["2024-02-29"]})

    assert bound.arguments == {"n": 3, "flag": True, "when": date(2024, 2, 29)}


def test_a_key_that_comes_again_fills_a_list() -> None:
    assert got(several, {"n": ["1"], "tags": ["a", "b"]}).arguments["tags"] == ["a", "b"]


def test_of_a_key_that_comes_again_a_plain_parameter_gets_the_last() -> None:
    assert got(several, {"n": ["1", "2"]}).arguments["n"] == 2


def test_keys_that_nobody_knows_are_ignored() -> None:
    assert got(several, {"n": ["1"], "utm_source": ["x"]}).problems == []


def test_what_has_a_default_may_be_missing() -> None:
    assert got(several, {"n": ["1"]}).arguments == {"n": 1}


def test_each_wrong_key_is_a_problem_of_its_own() -> None:
    assert places(got(several, {"n": ["x"], "flag": ["perhaps"]})) == ["query.n", "query.flag"]


def test_what_is_missing_is_said_to_be_required() -> None:
    assert got(several, {}).problems[0][:2] == ("query.n", "is required")


def test_without_a_body_a_record_is_made_of_the_query() -> None:
    bound = got(one_item, {"name": ["a"], "count": ["2"], "tags": ["x", "y"]})

    assert bound.arguments["item"] == Item("a", 2, ["x", "y"])


def test_a_field_of_a_record_that_the_query_lacks_is_named() -> None:
    assert places(got(one_item, {"count": ["2"]})) == ["query.name"]


def test_a_dictionary_gets_the_whole_query() -> None:
    def ask(everything: dict[str, str]) -> None:
        pass

    assert got(ask, {"a": ["1"]}).arguments == {"everything": {"a": "1"}}


def test_what_has_no_hint_is_taken_as_it_is() -> None:
    def ask(x, y="d"):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        pass

    assert got(ask, {"x": ["1"]}).arguments == {"x": "1"}


# --- the body -----------------------------------------------------------------------------------


def test_fields_of_a_body_are_arguments() -> None:
    assert posted(several, {"n": 3, "tags": ["a"]}).arguments == {"n": 3, "tags": ["a"]}


def test_json_means_what_it_says() -> None:
    assert places(posted(several, {"n": "3"})) == ["body.n"]


def test_a_problem_deep_in_a_body_is_named_by_its_path() -> None:
    assert places(posted(several, {"n": 1, "tags": ["a", 2]})) == ["body.tags.1"]


def test_the_query_stands_in_for_what_a_body_lacks() -> None:
    assert posted(several, {"flag": True}, {"n": ["4"]}).arguments == {"flag": True, "n": 4}


def test_without_a_body_all_comes_from_the_query() -> None:
    assert posted(several, MISSING, {"n": ["4"]}).arguments == {"n": 4}


def test_a_body_that_is_no_object_is_a_problem() -> None:
    assert posted(several, [1]).problems[0][:2] == ("body", "expected object, got [1]")


def test_fields_that_nobody_knows_are_ignored() -> None:
    assert posted(several, {"n": 1, "more": 2}).problems == []


def test_the_only_record_is_the_whole_body() -> None:
    bound = posted(one_item, {"name": "a"}, {"times": ["2"]})

    assert bound.arguments == {"item": Item("a"), "times": 2}


def test_a_record_has_its_defaults_of_its_own() -> None:
    def both(items: list[Item]) -> None:
        pass

    (item,) = posted(both, [{"name": "a"}]).arguments["items"]

    assert vars(item) == {"name": "a", "count": 1, "tags": []}


def test_a_typed_dictionary_is_a_record() -> None:
    def move(to: Point) -> None:
        pass

    assert posted(move, {"x": 1, "y": 2}).arguments == {"to": {"x": 1, "y": 2}}


def test_a_dictionary_may_be_the_whole_body() -> None:
    def hook(event: dict[str, Any]) -> None:
        pass

    assert posted(hook, {"kind": "push"}).arguments == {"event": {"kind": "push"}}


def test_two_records_are_fields_of_the_body() -> None:
    def both(a: Item, b: Item) -> None:
        pass

    bound = posted(both, {"a": {"name": "x"}, "b": {"name": "y"}})

    assert bound.arguments == {"a": Item("x"), "b": Item("y")}


def test_a_list_may_be_the_whole_body() -> None:
    def add(numbers: list[int]) -> None:
        pass

    assert posted(add, [1, 2]).arguments == {"numbers": [1, 2]}


def test_a_record_that_is_missing_is_required() -> None:
    assert posted(one_item, MISSING).problems[0][:2] == ("body", "is required")


def test_a_pydantic_model_checks_itself() -> None:
    def ask(model: Model) -> None:
        pass

    assert posted(ask, {"n": "3", "when": "2024-02-29"}).arguments == {
        "model": Model(n=3, when=date(2024, 2, 29))
    }


def test_what_pydantic_refuses_is_named_by_its_path() -> None:
    def ask(model: Model) -> None:
        pass

    assert places(posted(ask, {"n": "x", "when": 1.5})) == ["body.n", "body.when"]


def test_a_pydantic_model_within_a_list_is_made() -> None:
    def ask(models: list[Model]) -> None:
        pass

    assert posted(ask, {"models": [{"n": 1}]}).arguments == {"models": [Model(n=1)]}


def test_what_has_no_parameter_of_its_own_goes_to_the_rest() -> None:
    def hook(kind: str, **rest: Any) -> None:
        pass

    bound = posted(hook, {"kind": "push", "n": 1}, {"key": ["k"]})

    assert bound.arguments == {"kind": "push", "n": 1, "key": "k"}


def test_what_has_a_parameter_of_its_own_is_not_taken_again() -> None:
    def ask(n: int, **rest: Any) -> None:
        pass

    assert got(ask, {"n": ["4"], "more": ["5"]}).arguments == {"n": 4, "more": "5"}


# --- all that is wrong --------------------------------------------------------------------------


@dataclass
class Order:
    item: Item
    by: dict[str, int]
    at: tuple[int, str]
    model: Model
    more: list[Order] = field(default_factory=list)
    note: str | None = None


def order(it: Order) -> None:
    pass


WHOLE: dict[str, Any] = {"item": {"name": "a"}, "by": {}, "at": [1, "x"], "model": {"n": 1}}


def test_all_problems_of_a_body_are_told_at_once() -> None:
    body = {
        "item": {"count": "x", "tags": ["a", 1, 2]},
        "by": {"a": 1, "b": "x"},
        "at": ["x", "y"],
        "model": {"n": "x", "when": "never"},
        "more": [WHOLE, WHOLE | {"by": {"c": None}}],
        "note": 5,
    }

    assert places(posted(order, body)) == [
        "body.item.name",
        "body.item.count",
        "body.item.tags.1",
        "body.item.tags.2",
        "body.by.b",
        "body.at.0",
        "body.model.n",
        "body.model.when",
        "body.more.1.by.c",
        "body.note",
    ]


def test_what_is_missing_is_told_beside_what_is_wrong() -> None:
    def move(to: Point) -> None:
        pass

    problems = posted(move, {"x": "1"}).problems

    assert [(one.where, one.message) for one in problems] == [
        ("body.x", 'expected int, got "1"'),
        ("body.y", "is required"),
    ]


def test_all_problems_of_a_query_are_told_at_once() -> None:
    assert places(got(one_item, {"count": ["x"]})) == ["query.name", "query.count"]


def test_a_list_that_is_too_long_is_one_problem() -> None:
    def ask(pair: tuple[int, int]) -> None:
        pass

    assert places(posted(ask, {"pair": [1, 2, 3]})) == ["body.pair"]


def test_fields_by_other_names_are_told_by_those() -> None:
    class Renamed(msgspec.Struct, rename="camel"):
        first_name: str
        last_name: str

    def ask(it: Any) -> None:
        pass

    ask.__annotations__["it"] = Renamed

    assert places(posted(ask, {"firstName": 1})) == ["body.firstName", "body.lastName"]


def test_problems_are_told_up_to_a_number() -> None:
    def ask(numbers: list[int]) -> None:
        pass

    assert len(posted(ask, {"numbers": ["x"] * 10_000}).problems) == MOST_FAULTS


def test_of_many_values_the_first_that_is_wrong_is_told() -> None:
    def ask(numbers: list[int]) -> None:
        pass

    body = {"numbers": [1] * 10_000 + ["x", "y"]}

    assert places(posted(ask, body)) == ["body.numbers.10000"]


def test_what_is_deep_within_is_told_by_its_path() -> None:
    body: dict[str, Any] = {**WHOLE, "by": 1, "note": 1}
    for _ in range(10):
        body = {**WHOLE, "more": [body]}

    assert places(posted(order, body)) == ["body" + ".more.0" * 10 + ".by"]


# --- signatures ---------------------------------------------------------------------------------


def test_a_request_is_not_read_for_whoever_takes_only_that() -> None:
    def raw(request: Request) -> None:
        pass

    takes = parameters_of(raw)

    assert (takes.requests, takes.are_bound) == (("request",), False)


def test_a_type_that_no_request_holds_is_refused_and_named() -> None:
    class Model:
        pass

    def ask(x: Any) -> None:
        pass

    ask.__annotations__["x"] = Model
    with pytest.raises(NotBindable, match=r"the parameter x of ask\(\) is a Model"):
        parameters_of(ask)


def test_a_hint_that_means_nothing_is_refused() -> None:
    def ask(x: Nowhere) -> None:  # type: ignore[name-defined]  # noqa: F821
        pass

    with pytest.raises(NotBindable, match="Nowhere"):
        parameters_of(ask)


def test_a_union_that_cannot_be_told_apart_is_refused() -> None:
    def ask(x: Any) -> None:
        pass

    ask.__annotations__["x"] = list[int] | set[int]
    with pytest.raises(NotBindable, match="x of ask"):
        parameters_of(ask)


def test_a_value_out_of_a_list_of_words_is_named_with_it() -> None:
    def paint(color: Literal["red", "blue"]) -> None:
        pass

    (problem,) = got(paint, {"color": ["green"]}).problems

    assert (problem.where, problem.got) == ("query.color", '"green"')
