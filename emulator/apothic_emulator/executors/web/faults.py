"""All that is wrong with a value.

What converts values tells of the first fault alone. So the parts of what is wrong are converted
each by itself, and the parts of those, as far down as there is something wrong.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import repeat
from typing import Any

import msgspec

from apothic_emulator.executors.web.problems import Problem, found_by_pydantic, told
from apothic_emulator.executors.web.values import (
    bare,
    class_of,
    converted,
    fields_of,
    is_many,
    is_pydantic,
    is_record,
)

MISSING: Any = inspect.Parameter.empty
"""In place of a value that is not there."""

MOST_FAULTS = 100
"""How many are told."""

MOST_PARTS, MOST_LEVELS = 1000, 8
"""How many parts are looked at, and how far down, so that no request keeps all others waiting."""

Part = tuple[Any, Any, str]
"""A value, which may be `MISSING`, its hint, and its place."""


def faults(error: ValueError, value: Any, hint: Any, where: str, *, is_text: bool) -> list[Problem]:
    """What is wrong with a value that could not be converted, for which this error was raised."""
    search = _Search(is_text=is_text)
    search.look_within(error, value, hint, where, MOST_LEVELS)
    return search.found[:MOST_FAULTS] or _said(error, value, where)


class _Search:
    def __init__(self, *, is_text: bool) -> None:
        self.found: list[Problem] = []
        self._is_text = is_text
        self._left = MOST_PARTS

    def look_within(
        self, error: ValueError, value: Any, hint: Any, where: str, levels: int
    ) -> None:
        """Find what is wrong with the parts of a value, or else with itself."""
        before = len(self.found)
        for part, its_hint, place in _parts(value, hint, where) if levels else ():
            self._left -= 1
            if self._left < 0 or len(self.found) >= MOST_FAULTS:
                break
            self._look_at(part, its_hint, place, levels - 1)
        if len(self.found) == before:
            self.found += _said(error, value, where)

    def _look_at(self, part: Any, hint: Any, where: str, levels: int) -> None:
        if part is MISSING:
            self.found.append(Problem(where, "is required", "a value", ""))
            return
        try:
            converted(part, hint, is_text=self._is_text)
        except ValueError as error:
            self.look_within(error, part, hint, where, levels)


def _said(error: ValueError, value: Any, where: str) -> list[Problem]:
    """What an error says: of the first fault only, unless pydantic has looked."""
    if isinstance(error, msgspec.ValidationError):
        return [told(str(error), value, where)]
    return found_by_pydantic(error, where)


def _parts(value: Any, hint: Any, where: str) -> Iterator[Part]:
    """The parts of an object or a list, as far as its hint says of what kind they are."""
    kind: Any = bare(hint)
    if is_pydantic(kind):
        return iter(())  # it tells of all of them
    if isinstance(value, dict):
        return _parts_of_object(typing.cast("dict[str, Any]", value), kind, where)
    if isinstance(value, list) and is_many(kind):
        return _parts_of_list(typing.cast("list[Any]", value), kind, where)
    return iter(())


def _parts_of_object(value: dict[str, Any], kind: Any, where: str) -> Iterator[Part]:
    if not is_record(kind):
        return
    for name, hint, is_required in _fields(kind) if isinstance(kind, type) else ():
        if is_required or name in value:
            yield value.get(name, MISSING), hint, f"{where}.{name}"
    within = typing.get_args(kind)
    if issubclass(class_of(kind), Mapping) and within:
        yield from ((part, within[1], f"{where}.{name}") for name, part in value.items())


@lru_cache
def _fields(kind: type) -> list[tuple[str, Any, bool]]:
    """The fields of a record, as JSON has them: their hints, and whether they are required."""
    known: Any = msgspec.inspect.type_info(kind)
    hints = fields_of(kind)
    fields = getattr(known, "fields", ())
    return [(one.encode_name, hints[one.name], one.required) for one in fields]


def _parts_of_list(value: list[Any], kind: Any, where: str) -> Iterator[Part]:
    within = typing.get_args(kind)
    if within:
        is_row = class_of(kind) is tuple and within[-1] is not ...
        hints = within if is_row else repeat(within[0])
        for number, (part, hint) in enumerate(zip(value, hints, strict=False)):
            yield part, hint, f"{where}.{number}"
