"""Reads what somebody has answered, who may answer anything: each look says what it expects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_LARGEST: Final = 1e300


class Nonsense(ValueError):
    """The answer is not of the shape that it should have; the message says where."""


def an_object(told: Any, what: str = "it") -> dict[str, Any]:
    """A JSON object.

    Raises:
        Nonsense: it is none; `what` is called so in the message. So do all here.
    """
    if not isinstance(told, dict):
        raise Nonsense(f"{what} is no object")
    return told  # type: ignore[reportUnknownVariableType]  # keys of JSON are text


def a_list(told: Any, what: str = "it") -> list[Any]:
    """A JSON array; null is an empty one, as servers written in Go have it."""
    if told is None:
        return []
    if not isinstance(told, list):
        raise Nonsense(f"{what} is no list")
    return told  # type: ignore[reportUnknownVariableType]  # of anything


def text(told: Mapping[str, Any], name: str, default: str | None = None) -> str:
    """A field that is text and not empty; the default, if there is one, where it is left out."""
    value = told.get(name)
    if value in (None, "") and default is not None:
        return default
    if not isinstance(value, str) or not value:
        raise Nonsense(f"{name!r} is no text")
    return value


def number(told: Mapping[str, Any], name: str, default: float | None = None) -> float:
    """A field that is a finite number."""
    value = told.get(name)
    if value is None and default is not None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Nonsense(f"{name!r} is no number")
    if not -_LARGEST < value < _LARGEST:
        raise Nonsense(f"{name!r} is no number that can be meant")
    return value
