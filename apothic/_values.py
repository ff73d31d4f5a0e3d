"""Values that users declare: checked when made, compared and shown by their fields, never changed.

They are not `Record`s because each checks what it is given, and the spec's signatures differ from a
plain list of fields.
"""

from __future__ import annotations

from typing import Any, NoReturn, TypeGuard

from apothic_backends.model.errors import InvalidOption


class Value:
    """Something declared once; a change makes another value."""

    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        """Refuse: the function that it was given to has read it already."""
        raise AttributeError(f"a {type(self).__name__} cannot be changed; make another one")

    def __eq__(self, other: object) -> bool:
        """Equal when the type and every field are."""
        return type(other) is type(self) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        """Fit for sets: equal values are shown alike."""
        return hash(repr(self))

    def __repr__(self) -> str:
        """The call that makes it, without the fields that were left out."""
        shown = [f"{name}={value!r}" for name, value in self.__dict__.items() if value is not None]
        return f"{type(self).__name__}({', '.join(shown)})"


def refuse(what: str, value: object, wanted: str) -> NoReturn:
    """Say that a value cannot be meant, and what would do."""
    raise InvalidOption(
        f"{what} must be {wanted}, not {value!r} ({type(value).__name__})", option=what, value=value
    )


def number(what: str, value: Any, low: float, high: float | None = None) -> float:
    """Check a number within a range, both ends included; True is not a number here."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not low <= value or (high is not None and value > high):
        refuse(what, value, _range("a number", low, high))
    return float(value)


def seconds(what: str, value: Any) -> float | None:
    """Check how long to wait; None is for ever."""
    return None if value is None else number(what, value, 0)


def whole(what: str, value: Any, low: int, high: int | None = None) -> int:
    """Check a whole number within a range, both ends included."""
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if not is_whole or value < low or (high is not None and value > high):
        refuse(what, value, _range("a whole number", low, high))
    return int(value)


def fence_of(fence: Any) -> int | None:
    """Check what is to be passed as a fence."""
    return None if fence is None else whole("fence", fence, 1)


def _range(kind: str, low: float, high: float | None) -> str:
    return f"{kind} of at least {low:g}" if high is None else f"{kind} from {low:g} to {high:g}"


def flag(what: str, value: Any) -> bool:
    """Check a yes or no."""
    if not isinstance(value, bool):
        refuse(what, value, "True or False")
    return value


def is_list(value: object) -> TypeGuard[list[Any]]:
    """Whether it is a list, of anything."""
    return isinstance(value, list)


def is_dict(value: object) -> TypeGuard[dict[Any, Any]]:
    """Whether it is a dictionary, of anything."""
    return isinstance(value, dict)


def is_string(value: object) -> bool:
    """Whether it is a string, whatever its type claims."""
    return isinstance(value, str)


def is_tuple(value: object) -> TypeGuard[tuple[Any, ...]]:
    """Whether it is a tuple, of anything."""
    return isinstance(value, tuple)


def text(what: str, value: Any) -> str:
    """Check a non-empty string."""
    if not isinstance(value, str) or not value:
        refuse(what, value, "a non-empty string")
    return value


def shortly(value: object) -> str:
    """What a value looks like, in one short line, whatever its `repr` does."""
    import reprlib  # only where something went wrong  # noqa: PLC0415

    try:
        shown = " ".join(reprlib.repr(value).split())
    except Exception:  # noqa: BLE001 - a user's class has a say
        shown = f"<{type(value).__name__} whose repr() fails>"
    return shown if len(shown) <= _SHORT else f"{shown[: _SHORT - 3]}..."


_SHORT = 80
