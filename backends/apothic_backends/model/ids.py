"""Ids as users see them: the table's name, a colon, a number that only grows (`jobs:123`)."""

from __future__ import annotations

from apothic_backends.model.errors import UsageError

_MOST_DIGITS = 18


def number_of(id_: str, table: str) -> int:
    """Read the number of an id such as `jobs:123`.

    Raises:
        UsageError: it is not an id of that table.
    """
    name, _, number = id_.partition(":")
    if name != table or not number.isascii() or not number.isdigit() or len(number) > _MOST_DIGITS:
        raise UsageError(f"{id_!r} is not an id of {table}: one looks like '{table}:123'")
    return int(number)
