"""Examples of calls: what generated code is tried with before it is frozen."""

from __future__ import annotations

from typing import Any, NamedTuple

from apothic._values import is_dict, is_list, is_tuple, refuse

_WANTED = 'a pair of arguments such as ((" READY ",), {}), or three with the result expected'


class Example(NamedTuple):
    """A call of the function, and what comes of it if `is_exact`; plain values only."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    expected: Any = None
    is_exact: bool = False

    def call(self, name: str) -> str:
        """The call as a text."""
        given = [*map(repr, self.args), *(f"{key}={value!r}" for key, value in self.kwargs.items())]
        return f"{name}({', '.join(given)})"


def is_plain(value: object) -> bool:
    """Whether `repr` writes it so that Python reads it back: numbers, texts, what holds them."""
    import ast  # for few programs  # noqa: PLC0415

    try:
        return bool(ast.literal_eval(repr(value)) == value)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return False


def examples_of(name: str, value: Any) -> tuple[Example, ...]:
    """Read a list of examples.

    Raises:
        InvalidOption: one is none, or has values that are not plain.
    """
    if not is_tuple(value) and not is_list(value):
        refuse(name, value, "a list of examples")
    return tuple(_example(one) for one in value)


def _example(value: Any) -> Example:
    if isinstance(value, Example):
        return value
    parts: tuple[Any, ...] = tuple(value) if is_tuple(value) or is_list(value) else ()
    if len(parts) not in (2, 3) or not is_tuple(parts[0]) or not is_dict(parts[1]):
        refuse("examples", value, _WANTED)
    if not is_plain(parts):
        refuse("examples", value, "made of plain values, which repr() writes and Python reads")
    return Example(parts[0], parts[1], *parts[2:], is_exact=len(parts) == 3)  # noqa: PLR2004
