"""Pickles of plain data, to JSON's own types and back, without ever unpickling.

What Python programs keep in queues, dicts and results is pickled. Where that is nothing but None,
truth values, numbers, text, lists, tuples and dicts with texts for keys, it can be told as JSON:
`read` goes through the pickle by itself, knows the few codes that such data has, and gives up at
all others. It makes nothing that a pickle could name, and no more than it was allowed to.
"""

from __future__ import annotations

import math
import pickle
import struct
from collections.abc import Callable
from typing import Any, cast

MOST_BYTES = 8 << 20
"""A longer pickle is not looked into."""

MOST_STEPS = 100_000
"""Instructions of one pickle, and values in it, each as often as it is told: sharing makes small
pickles of large data. So many take about 50 ms."""

MOST_DEPTH = 200
_MOST_DIGITS_BYTES = 1024

_MARK: Any = object()
_CONTAINERS = (dict, list, tuple)


class NotPlain(Exception):
    """It is no pickle, or one of something else."""


def dump(value: Any) -> bytes:
    """Plain data as a pickle."""
    return pickle.dumps(value, 5)


def read(data: bytes | bytearray | memoryview) -> Any:
    """The plain data that a pickle is of.

    Raises:
        NotPlain: it is of something else, or of more than is told as JSON.
    """
    if len(data) > MOST_BYTES:
        raise NotPlain
    try:
        value = _Reader(bytes(data)).run()
    except (IndexError, struct.error, UnicodeError, TypeError, KeyError, AttributeError) as error:
        raise NotPlain from error
    _check(value)
    return value


class _Reader:
    """The machine that a pickle is a program for, with the instructions of plain data alone."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self.stack: list[Any] = []
        self._memo: list[Any] = []

    def run(self) -> Any:
        for _ in range(MOST_STEPS):
            code = self._data[self._at]
            self._at += 1
            if code == _STOP:
                if len(self.stack) != 1 or self._at != len(self._data):
                    raise NotPlain
                return self.stack[0]
            step = _STEPS.get(code)
            if step is None:
                raise NotPlain
            step(self)
        raise NotPlain

    def take(self, count: int) -> bytes:
        piece = self._data[self._at : self._at + count]
        if len(piece) != count:
            raise NotPlain
        self._at += count
        return piece

    def number(self, form: str) -> Any:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def text(self, form: str) -> None:
        self.push(str(self.take(self.number(form)), "utf-8"))

    def long(self) -> None:
        self.push(int.from_bytes(self.take(self.number("<B")), "little", signed=True))

    def long4(self) -> None:
        count: int = self.number("<i")
        if not 0 <= count <= _MOST_DIGITS_BYTES:
            raise NotPlain
        self.push(int.from_bytes(self.take(count), "little", signed=True))

    def since_mark(self) -> list[Any]:
        at = len(self.stack) - 1
        while self.stack[at] is not _MARK:
            at -= 1
            if at < 0:
                raise NotPlain
        items = self.stack[at + 1 :]
        del self.stack[at:]
        return items

    def tuple_of(self, count: int) -> None:
        items = self.stack[len(self.stack) - count :] if count else []
        if len(items) != count or any(item is _MARK for item in items):
            raise NotPlain
        del self.stack[len(self.stack) - count :]
        self.push(tuple(items))

    def append(self, items: list[Any]) -> None:
        target: Any = self.stack[-1]
        if type(target) is not list:
            raise NotPlain
        cast("list[Any]", target).extend(items)

    def set(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not dict or len(items) % 2:
            raise NotPlain
        for key, value in zip(items[::2], items[1::2], strict=True):
            if type(key) is not str:
                raise NotPlain
            target[key] = value

    def set_one(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self.set([key, value])

    def memoize(self) -> None:
        self._memo.append(self.stack[-1])

    def get(self, form: str) -> None:
        self.push(self._memo[self.number(form)])


_Step = Callable[[_Reader], object]
_STOP = ord(".")

_STEPS: dict[int, _Step] = {
    0x80: lambda r: r.number("<B"),  # PROTO
    0x95: lambda r: r.number("<Q"),  # FRAME
    ord("N"): lambda r: r.push(None),
    0x88: lambda r: r.push(True),
    0x89: lambda r: r.push(False),
    ord("K"): lambda r: r.push(r.number("<B")),
    ord("M"): lambda r: r.push(r.number("<H")),
    ord("J"): lambda r: r.push(r.number("<i")),
    0x8A: _Reader.long,
    0x8B: _Reader.long4,
    ord("G"): lambda r: r.push(r.number(">d")),
    0x8C: lambda r: r.text("<B"),
    ord("X"): lambda r: r.text("<I"),
    0x8D: lambda r: r.text("<Q"),
    ord("("): lambda r: r.push(_MARK),
    ord("]"): lambda r: r.push([]),
    ord("}"): lambda r: r.push({}),
    ord(")"): lambda r: r.push(()),
    0x85: lambda r: r.tuple_of(1),
    0x86: lambda r: r.tuple_of(2),
    0x87: lambda r: r.tuple_of(3),
    ord("t"): lambda r: r.push(tuple(r.since_mark())),
    ord("a"): lambda r: r.append([r.stack.pop()]),
    ord("e"): lambda r: r.append(r.since_mark()),
    ord("s"): _Reader.set_one,
    ord("u"): lambda r: r.set(r.since_mark()),
    0x94: _Reader.memoize,
    ord("h"): lambda r: r.get("<B"),
    ord("j"): lambda r: r.get("<I"),
}
"""The instructions that plain data has in protocol 4 and 5."""


def _check(value: Any) -> None:
    """See to it that JSON can tell it, and that it is not too much when it is told.

    Raises:
        NotPlain: it cannot, or is.
    """
    left, within = MOST_STEPS, [(value, 0)]
    while within:
        one, depth = within.pop()
        if one is _MARK or depth > MOST_DEPTH:
            raise NotPlain
        if type(one) is float and not math.isfinite(one):
            raise NotPlain
        left -= len(one) >> 6 if type(one) is str else 0
        parts: Any = ()
        if type(one) in _CONTAINERS:
            held = cast("Any", one)
            parts = held.values() if type(one) is dict else held
        left -= len(parts)
        if left < 0:
            raise NotPlain
        within.extend([(part, depth + 1) for part in parts])
