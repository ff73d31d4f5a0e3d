"""What senders are told of a wrong request."""

from __future__ import annotations

from apothic_emulator.executors.web.problems import Problem, found_by_pydantic, told


def test_a_wrong_value_is_shown_with_what_was_expected() -> None:
    assert told("Expected `int`, got `str`", "abc", "query.n") == Problem(
        "query.n", 'expected int, got "abc"', "int", '"abc"'
    )


def test_a_path_leads_to_the_value() -> None:
    problem = told("Expected `str`, got `int` - at `$.items[1]`", {"items": ["a", 5]}, "body")

    assert (problem.where, problem.got) == ("body.items.1", "5")


def test_a_missing_field_is_named() -> None:
    assert told("Object missing required field `name` - at `$.item`", {"item": {}}, "body") == (
        Problem("body.item.name", "is required", "a value", "")
    )


def test_either_of_two_types_is_said_in_words() -> None:
    assert told("Expected `int | null`, got `str`", "x", "body.n").expected == "int or null"


def test_a_limit_is_said() -> None:
    assert told("Expected `int` >= 0", -1, "query.n").expected == "int >= 0"


def test_what_says_nothing_of_a_type_is_passed_on() -> None:
    assert told("Invalid RFC3339 encoded date", "x", "query.d").message == (
        "Invalid RFC3339 encoded date"
    )


def test_a_path_that_leads_nowhere_shows_the_whole() -> None:
    assert told("Expected `int`, got `str` - at `$[...]`", {"a": "b"}, "body").got == '{"a": "b"}'


def test_a_long_value_is_cut() -> None:
    assert len(told("Expected `int`, got `str`", "x" * 1000, "query.n").got) == 80


def test_an_error_that_has_no_list_is_one_problem() -> None:
    assert found_by_pydantic(ValueError("no"), "body")[0][:2] == ("body", "no")
