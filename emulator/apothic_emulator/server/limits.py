"""How much of a server one address, and one account, may have at a time."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from apothic_backends.model.errors import InvalidOption
from apothic_backends.model.record import Record
from apothic_emulator.core.quotas import Quotas

_NUMBER = re.compile(r"[1-9][0-9]{0,17}")


class Limits(Record):
    """What the server itself looks at; what its accounts hold is a matter of `Quotas`."""

    connections: int = 256
    """From one address. Behind a proxy, all of them come from its one."""
    requests: int = 1000
    """Of one account under way: requests that wait, event streams, programs, agents."""


def read(given: Iterable[str]) -> tuple[Limits, Quotas]:
    """What was told as NAME=NUMBER.

    Raises:
        InvalidOption: there is no limit of that name, or it cannot be that number.
    """
    told: dict[str, int] = {}
    known = {**Limits().defaults, **Quotas().defaults}
    for text in given:
        name, _, number = text.partition("=")
        if name not in known:
            raise InvalidOption(
                f"there is no limit {name!r:.60}; there are {', '.join(known)}", option="limit"
            )
        if not _NUMBER.fullmatch(number):
            raise InvalidOption(
                f"the limit {name} is a whole number from 1, not {number!r:.60}", option="limit"
            )
        told[name] = int(number)
    return Limits(**_of(Limits, told)), Quotas(**_of(Quotas, told))


def _of(kind: type[Any], told: Mapping[str, int]) -> dict[str, int]:
    return {name: number for name, number in told.items() if name in kind.fields}
