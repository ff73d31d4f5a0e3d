"""Answers of HTTP: what they say, whether that is JSON, and when to ask again. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final, NamedTuple, NoReturn

from apothic_backends.providers.reading import Nonsense

_MOST_SHOWN: Final = 500
_UNIX_S: Final = 1e9
"""More seconds than anybody says to wait: that is a date."""

_MOST_UNIX_S: Final = 1e10


class Answer(NamedTuple):
    """One response, whole. Names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def is_success(status: int) -> bool:
    """Whether it is one of 2xx."""
    return 200 <= status < 300  # noqa: PLR2004 - of HTTP


def parsed(body: bytes, *, may_be_empty: bool) -> Any:
    """The JSON of a body; None for an empty one that may be empty.

    Raises:
        ValueError: it is no JSON (`Nonsense` if it is empty, or has what is no number).
        RecursionError: it is too deep.
    """
    if not body.strip():
        if may_be_empty:
            return None
        raise Nonsense("it is empty")
    return json.loads(body, parse_constant=_no_number)


def _no_number(name: str) -> NoReturn:
    raise Nonsense(f"{name} is no number")


def shown_of(text: str) -> str:
    """The beginning of an answer, in one line."""
    line = " ".join(text[: 4 * _MOST_SHOWN].split())
    printable = "".join(char if char.isprintable() else "?" for char in line)
    return printable if len(printable) <= _MOST_SHOWN else f"{printable[:_MOST_SHOWN]}..."


def request_id_of(answer: Answer) -> str:
    """What the provider's people know the call by; empty if that was not told."""
    ids = (its for name, its in answer.headers.items() if name.endswith("request-id"))
    return next(ids, "")[:100]


def by_id(answer: Answer) -> str:
    """The same for the end of a message."""
    found = request_id_of(answer)
    return f" (its request id is {found})" if found else ""


def told_pause_s(answer: Answer, now: float) -> float:
    """What the answer says of when to ask again, in seconds from now; 0 if nothing."""
    told = answer.headers.get("retry-after", "").strip()
    at = date_of(told)
    told_s = _seconds(told) if at is None else at - now
    reset = _seconds(answer.headers.get("x-ratelimit-reset", ""))
    reset_s = reset - now if reset > _UNIX_S else reset
    return max(0.0, told_s, reset_s, _seconds(_told_in(answer.body)))


def _told_in(body: bytes) -> str:
    """How many seconds a refusal names in its JSON."""
    if len(body) > _MOST_SHOWN:
        return ""
    try:
        told = json.loads(body)
    except ValueError:
        return ""
    return str(told.get("retry_after", "")) if isinstance(told, dict) else ""  # type: ignore[reportUnknownMemberType, reportUnknownArgumentType]


def _seconds(told: str) -> float:
    """A number that can be meant; 0 for anything else."""
    try:
        seconds = float(told)
    except ValueError:
        return 0.0
    return seconds if 0 <= seconds < _MOST_UNIX_S else 0.0


def date_of(told: str) -> float | None:
    """A date of HTTP in Unix seconds."""
    try:
        return parsedate_to_datetime(told).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
