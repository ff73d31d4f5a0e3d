"""How the fake misbehaves: as a test says for the next call, and else by chance, from a seed.

Before a call has its effect: `drop` (the connection ends), `broken` (500), `garbage` (502, in
HTML), `busy` (429, in one of three forms), `quota` (429 until midnight). After it: `lose_reply`.

A create may find its offer `gone` (410, 404 or 400), be `refused` (200 and no success), `leaves` a
stopped machine beside its error; what it makes may be `dearer` (a factor), not listed for `lag_s`,
and have another `fate` than "runs": "hangs" (is loading for ever), "fails" (an error of its image),
"exits" (its program ends), "vanishes" (its host is lost, and it is not listed any more).
A destroy may be `stubborn` (says yes and does nothing). A list may be `stale` (leaves out the
newest, but not twice in succession), `short` (tells of fewer than it counts) or `odd` (one row has
no number). Of volumes a create may be `gone`, a delete `stubborn`, and a list may leave out all
(`stale`, but not twice in succession).
"""

from __future__ import annotations

from collections import defaultdict, deque
from random import Random
from typing import Any

FATES = ("hangs", "fails", "exits", "vanishes")

Fault = dict[str, Any]

_EVERYWHERE = ("drop", "broken", "garbage", "busy", "lose_reply")
_OF = {
    "create": ("gone", "refused", "leaves", "lag", "fate", "dearer"),
    "destroy": ("stubborn",),
    "list": ("stale",),
    "create_volume": ("gone",),
    "delete_volume": ("stubborn",),
    "volumes": ("stale",),
}


class Faults:
    """`rates` say how likely each is, from 0 to 1; `lag` and `fate` are among them."""

    def __init__(self, seed: int = 0, **rates: float) -> None:
        self.chance = Random(seed)
        self._rates = rates
        self._scripted: dict[str, deque[Fault]] = defaultdict(deque)

    def next(self, action: str, **fault: Any) -> None:
        """So the next call of that kind goes wrong for which nothing was said yet."""
        self._scripted[action].append(fault)

    def stop(self) -> None:
        """From now on nothing goes wrong."""
        self._rates = {}
        self._scripted.clear()

    def of(self, action: str) -> Fault:
        """What goes wrong now."""
        if self._scripted[action]:
            return self._scripted[action].popleft()
        kinds = (*_EVERYWHERE, *_OF.get(action, ()))
        return {
            name: value
            for kind in kinds
            if self.chance.random() < self._rates.get(kind, 0)
            for name, value in self._drawn(kind).items()
        }

    def _drawn(self, kind: str) -> Fault:
        if kind == "fate":
            return {"fate": self.chance.choice(FATES)}
        if kind == "lag":
            return {"lag_s": self.chance.uniform(1, 60)}
        return {kind: 1 + self.chance.random() if kind == "dearer" else True}
