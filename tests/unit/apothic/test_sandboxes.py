"""Options of sandboxes: what cannot be meant is refused where it is written."""

from __future__ import annotations

from typing import Any

import pytest

from apothic import App, InvalidOption, NotBuiltYet, Sandbox
from apothic._sandboxes import METHODS, Link
from apothic_backends.sandboxes.host import Host

app = App("demo")


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"memory": 512}, "did you mean 'memory_mb'"),
        ({"memory_mb": "much"}, "memory_mb must be a whole number"),
        ({"cpu": 0}, "cpu"),
        ({"pids": True}, "pids"),
        ({"isolation": "hope"}, "'process' or 'docker'"),
        ({"image": "python:3.12-slim"}, "isolation"),
        ({"untrusted": 1}, "untrusted"),
        ({"network": "none"}, "network"),
        ({"timeout_s": 0}, "timeout_s must be a number above 0"),
        ({"idle_timeout_s": -1}, "idle_timeout_s"),
        ({"workdir": "/etc"}, "'/workspace', or a folder below"),
        ({"workdir": "/workspace/../etc"}, "workdir"),
        ({"env": {"A": 1}}, "env must be a dictionary of strings"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(options: dict[str, Any], what: str) -> None:
    with pytest.raises(InvalidOption, match=what):
        app.sandbox("coder", **options)


@pytest.mark.parametrize("name", ["volumes", "gpu"])
def test_options_that_are_not_built_say_what_to_do(name: str) -> None:
    options: Any = {name: []}
    with pytest.raises(NotBuiltYet, match="for now"):
        app.sandbox("coder", **options)


def test_what_is_not_trusted_has_no_network_unless_it_is_said() -> None:
    given: list[Any] = [{}, {"untrusted": True}, {"untrusted": True, "network": True}]
    workspaces = [app.sandbox("coder", **options) for options in given]
    how = [it._how({})["network"] for it in workspaces]
    assert how == [True, False, True]


def test_a_name_that_looks_like_an_id_is_refused() -> None:
    with pytest.raises(InvalidOption, match="sb-"):
        app.sandbox("coder").create(name="sb-1-2")


def test_every_method_that_is_called_from_afar_is_there() -> None:
    assert [name for name in METHODS if not hasattr(Host, name)] == []


@pytest.mark.parametrize("argv", [(), (1,), ("a", b"b"), ("a\0",), ("x" * 70_000,)], ids=str)
def test_arguments_are_checked_before_anybody_is_asked(argv: tuple[Any, ...]) -> None:
    with pytest.raises(InvalidOption):
        Sandbox(Link("sb-1-2"), "a", {}).exec(*argv)


@pytest.mark.parametrize(
    "how",
    [
        {"pty": (1,)},
        {"pty": "yes"},
        {"pty": (0, 80)},
        {"timeout_s": -1},
        {"env": {"A": 1}},
        {"text": 1},
        {"merge_stderr": "yes"},
    ],
    ids=str,
)
def test_what_is_said_of_a_program_is_checked_too(how: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption):
        Sandbox(Link("sb-1-2"), "a", {}).exec("true", **how)
