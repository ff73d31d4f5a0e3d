"""Times are read, moved and compared."""

from __future__ import annotations

from tests.generation.evaluation.cases import case


@case(
    examples=[(("1h30m",), 5400)],
    hidden=[
        (("2d",), 172800),
        (("1d 1h 1m 1s",), 90061),
        (("90",), "raises ValueError"),
        (("1x",), "raises ValueError"),
        (("",), "raises ValueError"),
    ],
)
def seconds_of(duration: str) -> int:
    """Read a duration such as `1h30m` or `2d 5s`, of the units d, h, m and s, in seconds.

    Raises ValueError where there is no unit, or anything else.
    """
    raise NotImplementedError


@case(
    examples=[(("2024-01-31", 1), "2024-02-29")],
    hidden=[
        (("2024-12-05", 1), "2025-01-05"),
        (("2024-03-31", -1), "2024-02-29"),
        (("2023-08-31", 18), "2025-02-28"),
    ],
)
def add_months(day: str, months: int) -> str:
    """Move an ISO date by months; to the last day of the month where there is no such day."""
    raise NotImplementedError


@case(
    examples=[(("2024-03-01", "2024-03-08"), 5)],
    hidden=[
        (("2024-03-02", "2024-03-04"), 0),
        (("2024-03-08", "2024-03-08"), 0),
        (("2024-03-08", "2024-03-01"), 0),
    ],
)
def working_days(start: str, end: str) -> int:
    """How many days from Monday to Friday there are from `start` to before `end`, ISO dates."""
    raise NotImplementedError


@case(
    examples=[(("2024-05-01T12:00:00+02:00",), "2024-05-01T10:00:00Z")],
    hidden=[
        (("2024-01-01T00:30:00+05:30",), "2023-12-31T19:00:00Z"),
        (("2024-01-01T00:00:00Z",), "2024-01-01T00:00:00Z"),
        (("2024-01-01T00:00:00",), "raises ValueError"),
    ],
)
def in_utc(moment: str) -> str:
    """An ISO 8601 moment in UTC, to the second, ending in Z; without an offset a ValueError."""
    raise NotImplementedError


@case(
    examples=[(([(1, 3), (3, 5)],), False)],
    hidden=[(([(5, 9), (1, 6)],), True), (([],), False), (([(1, 9), (2, 3)],), True)],
)
def overlap(spans: list[tuple[int, int]]) -> bool:
    """Whether any two of the spans share more than an end."""
    raise NotImplementedError
