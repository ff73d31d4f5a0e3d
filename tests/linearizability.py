"""Whether what clients saw of one key can have happened in one order (Wing and Gong, with memory).

Each call takes effect at one moment between its beginning and its end. A history is linearizable
if there is an order of all calls that respects this, in which each gives what it gave. A call whose
end nobody saw may have taken effect at any later moment, or not at all.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

NEVER = float("inf")


@dataclass
class Op:
    """A call: a write of `value`, a read, or a removal; `if_rev` is its condition, if it has one.

    Values must differ from each other, so that it is known which write a read has seen. `result`
    is the revision of a write (None: refused), or what a read or a removal has found: the value
    and its revision, or None.
    """

    kind: str
    began: float
    ended: float = NEVER
    value: Any = None
    if_rev: int | None = None
    result: Any = None

    @property
    def is_known(self) -> bool:
        """Whether anybody saw its end."""
        return self.ended < NEVER


State = tuple[Any, int | None] | None
"""The value and its revision, None if that is unknown; or that nothing is there."""


def violation(ops: Iterable[Op]) -> str:
    """Why a history of one key is not linearizable; empty if it is."""
    history = sorted(ops, key=lambda op: op.began)
    seen = {op.result[0]: op.result[1] for op in history if op.kind != "put" and op.result}
    total = (1 << len(history)) - 1
    needed = sum(1 << i for i, op in enumerate(history) if op.is_known)
    stack: list[tuple[int, State]] = [(0, None)]
    known: set[tuple[int, State]] = set(stack)
    longest = 0
    while stack:
        done, state = stack.pop()
        if done & needed == needed:
            return ""
        longest = max(longest, done, key=int.bit_count)
        for i in _next(history, total & ~done):
            for after in _after(state, history[i], seen):
                place = done | 1 << i, after
                if place not in known:
                    known.add(place)
                    stack.append(place)
    stuck = [op for i, op in enumerate(history) if op.is_known and not longest >> i & 1]
    return f"no order explains {stuck[0]}" if stuck else ""


def _next(history: list[Op], left: int) -> Iterable[int]:
    """Those that may come next: none of those left has ended before they began."""
    first_end = NEVER
    found: list[int] = []
    while left:
        i = (left & -left).bit_length() - 1
        left &= left - 1
        op = history[i]
        if op.began > first_end:
            break
        found.append(i)
        first_end = min(first_end, op.ended)
    return [i for i in found if history[i].began <= first_end]


def _after(state: State, op: Op, seen: dict[Any, int]) -> list[State]:
    """What may be there after a call, if it gives what it gave; nothing if it cannot."""
    rev = None if state is None else state[1]
    may = op.if_rev is None or op.if_rev == (0 if state is None else rev)
    if op.kind == "put":
        return _written(state, op, seen, may=may)
    if op.kind == "pop" and op.is_known and op.result is None and not may:
        return [state]  # at another revision
    if not op.is_known:
        return [None if op.kind == "pop" and may else state]
    found = None if op.result is None else (op.result[0], op.result[1])
    if found != (
        None if state is None else (state[0], rev if rev is not None else found and found[1])
    ):
        return []
    return [None if op.kind == "pop" else state]


def _written(state: State, op: Op, seen: dict[Any, int], *, may: bool) -> list[State]:
    if op.is_known and op.result is None:
        return [] if may else [state]
    if not may:
        return [state] if not op.is_known else []
    new = op.result if op.is_known else seen.get(op.value)
    is_later = new is None or state is None or state[1] is None or new > state[1]
    return [(op.value, new)] if is_later else []
