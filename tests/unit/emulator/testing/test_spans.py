from __future__ import annotations

from datetime import timedelta

import pytest

from apothic import UsageError
from apothic_emulator.testing.spans import Span, seconds_of


@pytest.mark.parametrize(
    ("span", "seconds"),
    [
        (90, 90.0),
        (0.5, 0.5),
        (0, 0.0),
        (timedelta(minutes=2), 120.0),
        ("90s", 90.0),
        ("250ms", 0.25),
        ("1d", 86_400.0),
        ("1h30m", 5400.0),
        ("1.5 h", 5400.0),
        ("2W", 1_209_600.0),
    ],
)
def test_a_length_of_time_is_read_as_it_is_meant(span: Span, seconds: float) -> None:
    assert seconds_of(span) == seconds


@pytest.mark.parametrize(
    "span",
    ["", "1", "d", "1y", "-1d", "1d and more", -1, True, float("nan"), float("inf"), None, [1]],
)
def test_what_is_no_length_of_time_is_refused(span: Span) -> None:
    with pytest.raises(UsageError, match="no length of time"):
        seconds_of(span)
