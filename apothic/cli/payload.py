"""The arguments of a call as one JSON document: `{"args": [...], "kwargs": {...}}`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import Any, cast

import click

from apothic._values import is_dict, is_list
from apothic_backends.model.errors import NotFound

Arguments = tuple[list[Any], dict[str, Any]]


def read(text: str, function: Callable[..., Any]) -> Arguments:
    """The arguments that a payload stands for: JSON, `@FILE`, or `-` for standard input.

    Raises:
        NotFound: there is no such file.
        click.UsageError: it is no such document, or does not fit the function.
    """
    arguments = parse(text)
    args, kwargs = arguments
    try:
        signature(function).bind(*args, **kwargs)
    except TypeError as error:
        raise click.UsageError(
            f"--payload does not fit {function.__name__}{signature(function)}: {error}"
        ) from None
    return arguments


def parse(text: str) -> Arguments:
    """As `read`, for a function that is not here.

    Raises:
        NotFound: there is no such file.
        click.UsageError: it is no such document.
    """
    return _parsed(*_source(text))


def refuse_beside(given: dict[str, Any]) -> None:
    """See to it that a payload stands alone.

    Raises:
        click.UsageError: other arguments were given too.
    """
    others = [name for name, value in given.items() if value not in (None, ())]
    if others:
        raise click.UsageError("--payload gives all arguments; leave out the others, or it")


def _source(text: str) -> tuple[str, str]:
    """The document, and what to call it."""
    if text == "-":
        return sys.stdin.read(), "standard input"
    if not text.startswith("@"):
        return text, "--payload"
    path = Path(text[1:])
    try:
        return path.read_text("utf-8"), str(path)
    except OSError as error:
        raise NotFound(f"cannot read {path}: {error.strerror}", name=str(path)) from None
    except UnicodeDecodeError as error:
        raise click.UsageError(f"{path} is not UTF-8: {error.reason}") from None


def _parsed(text: str, where: str) -> Arguments:
    try:
        found: object = json.loads(text)
    except ValueError as error:
        raise click.UsageError(f"{where} is not JSON: {error}") from None
    if not is_dict(found) or not set(found) <= {"args", "kwargs"}:
        raise click.UsageError(
            f'{where}: expected {{"args": [...], "kwargs": {{...}}}}, got {_shape(found)}'
        )
    args, kwargs = found.get("args", []), found.get("kwargs", {})
    if not is_list(args):
        raise click.UsageError(f"{where}: args is a list, not {_shape(args)}")
    if not is_dict(kwargs):
        raise click.UsageError(f"{where}: kwargs is an object, not {_shape(kwargs)}")
    return args, cast("dict[str, Any]", kwargs)


def _shape(value: object) -> str:
    """A JSON value in few words."""
    if is_dict(value):
        return f"an object with the keys {', '.join(map(str, value)) or '(none)'}"
    return "a list" if is_list(value) else json.dumps(value)
