"""Lengths of time as people write them."""

from __future__ import annotations

import re
from datetime import timedelta

from apothic_backends.model.errors import UsageError

Span = str | float | timedelta

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhdw])")


def seconds_of(span: Span) -> float:
    """Seconds of a number of them, a `timedelta`, or a text such as "90s", "1d" or "1h30m".

    Raises:
        UsageError: it is negative, or none of these.
    """
    seconds = _read(span)
    if seconds is None or not 0 <= seconds < float("inf"):
        raise UsageError(
            f"{span!r} is no length of time: give seconds, a timedelta, or a text of numbers and "
            f'units ({", ".join(_UNITS)}) such as "90s", "1d" or "1h30m"; time goes forward only'
        )
    return seconds


def _read(span: object) -> float | None:
    if isinstance(span, timedelta):
        return span.total_seconds()
    if isinstance(span, bool) or not isinstance(span, str | int | float):
        return None
    if not isinstance(span, str):
        return float(span)
    text = span.replace(" ", "").lower()
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in parts)
