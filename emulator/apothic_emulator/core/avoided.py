"""Where nothing is rented for a while, since a machine has not come up there.

A computer on which one has not is left alone for hours: there are others. A region is many of them
and has trouble for minutes, mostly: it is left alone for some, and twice as long each time that one
fails there which was asked for after that, until one comes up.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

HOST_S = 6 * 3600.0
"""For how long a computer is left alone."""

REGION_S, LONGEST_REGION_S = 300.0, 3600.0
"""For how long a region is: at first, and at the most. It is remembered for as long after that."""


class Avoided:
    """Computers and regions that have failed; all times are Unix."""

    def __init__(self) -> None:
        self._places: dict[str, tuple[float, int]] = {}
        """Of each, until when it is left alone, and how often in a row it has failed."""

    def at(self, unix: float) -> dict[str, float]:
        """Those that are left alone at that moment, and until when."""
        return {place: until for place, (until, _) in self._places.items() if until > unix}

    def fails(self, host: str, region: str, unix: float) -> None:
        """A machine has not come up on a computer; of a region where such are not told of."""
        self._places = {
            place: its for place, its in self._places.items() if its[0] + LONGEST_REGION_S > unix
        }
        place = region or host
        until, times = self._places.get(place, (0.0, 0))
        if place and until <= unix:
            region_s = min(REGION_S * 2**times, LONGEST_REGION_S)
            self._places[place] = unix + (region_s if region else HOST_S), times + 1

    def works(self, place: str) -> bool:
        """A machine has come up there: it is not left alone any more; whether it was."""
        return self._places.pop(place, None) is not None

    def pack(self) -> Mapping[str, Any]:
        """All of it, as JSON has it."""
        return self._places

    def load(self, told: Mapping[str, Any]) -> None:
        """Take it back."""
        self._places = {place: (float(until), int(times)) for place, (until, times) in told.items()}
