"""Which functions can take their inputs in batches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn, cast

from apothic_backends.model.errors import InvalidOption

_VARIABLE = 0x04 | 0x08
_GENERATES = 0x20 | 0x200
"""Flags of code objects, as in `inspect`."""


def check_batchable(function: Callable[..., Any]) -> None:
    """See to it that every parameter can become a list, and the result one with as many.

    Raises:
        InvalidOption: it cannot; the message says why.
    """
    name, inner = function.__name__, cast("Any", function)
    while hasattr(inner, "__wrapped__"):
        inner = inner.__wrapped__
    code = getattr(inner, "__code__", None)
    if code is None:
        _refuse(name, "a function that is written in Python")
    if code.co_flags & _GENERATES:
        _refuse(name, "a list with one result for each input: return it, do not yield")
    if code.co_flags & _VARIABLE:
        _refuse(name, "parameters with names: *args and **kwargs differ from input to input")
    if not code.co_argcount + code.co_kwonlyargcount:
        _refuse(name, "at least one parameter: without any there is nothing to gather")
    if inner.__defaults__ or inner.__kwdefaults__:
        _refuse(
            name,
            "parameters without default values: in place one would stand for a whole list, in a "
            "batch for the value of one input. Let callers send it",
        )


def _refuse(name: str, needed: str) -> NoReturn:
    raise InvalidOption(f"{name}(): @batched needs {needed}", option="batched")
