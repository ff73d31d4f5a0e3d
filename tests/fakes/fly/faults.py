"""How the fake misbehaves: as a test says for the next call of a kind, and else by chance.

Kinds of calls are the `operationId`s of the document: "create", "list", "app_get" ...

Before a call has its effect: `drop` (the connection ends), `broken` (500), `garbage` (502, in
HTML), `busy` (429; a number is its Retry-After), `refuse` (a status, a text, and perhaps a word).
After it: `lose_reply` (the connection ends), `garble` (200, and nothing else).

A create may find its region `full`. What it makes may have a `fate`: "hangs" (never starts),
"fails" (to start), "vanishes" (its host stops answering). A destroy may be `stubborn` (says yes and
does nothing). A list may be `stale` (without what was made in the last 110 seconds).
"""

from __future__ import annotations

from collections import defaultdict, deque
from random import Random
from typing import Any

FATES = ("hangs", "fails", "vanishes")

Fault = dict[str, Any]

_EVERYWHERE = ("drop", "broken", "garbage", "busy", "lose_reply", "garble")
_OF = {"create": ("full", "fate"), "destroy": ("stubborn",), "list": ("stale",)}


class Faults:
    """`rates` say how likely each is, from 0 to 1; `fate` is among them."""

    def __init__(self, seed: int = 0, **rates: float) -> None:
        unknown = rates.keys() - {*_EVERYWHERE, "full", "fate", "stubborn", "stale"}
        assert not unknown, unknown
        self._chance, self._rates = Random(seed), rates
        self._scripted: dict[str, deque[Fault]] = defaultdict(deque)

    def next(self, action: str, times: int = 1, **fault: Any) -> None:
        """So the next calls of that kind go wrong for which nothing was said yet."""
        self._scripted[action] += [fault] * times

    def stop(self) -> None:
        """Nothing goes wrong any more."""
        self._rates.clear()
        self._scripted.clear()

    def of(self, action: str) -> Fault:
        """What goes wrong now."""
        if self._scripted[action]:
            return self._scripted[action].popleft()
        kinds = (*_EVERYWHERE, *_OF.get(action, ()))
        drawn = [kind for kind in kinds if self._chance.random() < self._rates.get(kind, 0)]
        return {kind: self._chance.choice(FATES) if kind == "fate" else True for kind in drawn}
