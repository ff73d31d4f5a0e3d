"""What is wrong with a request, as its sender is told."""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

_PLACE = re.compile(r" - at (?:`key` in )?`\$([^`]*)`$")
_EXPECTED = re.compile(r"Expected `([^`]*)`(?: of length)?(.*?)(?:, got .*)?$")
_MISSING = re.compile(r"Object missing required field `([^`]*)`$")
_SHORT = 80


class Problem(NamedTuple):
    """One thing that is wrong."""

    where: str
    """`query.n`, or `body.items.0`."""
    message: str
    expected: str
    got: str
    """What came, as JSON, cut short."""


def told(message: str, value: Any, where: str) -> Problem:
    """What msgspec says of a value."""
    place = _PLACE.search(message)
    path = "" if place is None else place[1]
    message = _PLACE.sub("", message)
    where += path.replace("[", ".").replace("]", "")
    missing = _MISSING.match(message)
    if missing is not None:
        return Problem(f"{where}.{missing[1]}", "is required", "a value", "")
    got = shown(_at(value, path))
    match = _EXPECTED.match(message)
    if match is None:
        return Problem(where, message, message, got)
    expected = match[1].replace(" | ", " or ") + match[2]
    return Problem(where, f"expected {expected}, got {got}", expected, got)


def found_by_pydantic(error: ValueError, where: str) -> list[Problem]:
    """What pydantic says of a value."""
    found: Any = error
    if not hasattr(found, "errors"):
        return [Problem(where, str(error), str(error), "")]
    return [
        Problem(
            ".".join([where, *map(str, one["loc"])]),
            one["msg"],
            one["type"],
            "" if one["type"] == "missing" else shown(one["input"]),
        )
        for one in found.errors(include_url=False)
    ]


def _at(value: Any, path: str) -> Any:
    """What is at a path such as `.items[0]`; the whole, where that cannot be told."""
    found = value
    for step in re.findall(r"[^.\[\]]+", path):
        try:
            found = found[int(step) if hasattr(found, "append") else step]
        except (ValueError, LookupError, TypeError):
            break
    return found


def shown(value: Any) -> str:
    """A value that came, in one short line."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHORT else f"{text[: _SHORT - 3]}..."
