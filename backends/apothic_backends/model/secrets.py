"""Secrets as functions name them, and what may be in one: a few environment variables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from apothic_backends.model.errors import InvalidOption

HELD: Final = "held:"
"""Begins the name of a secret that a program has given to its control plane, and no store knows."""

OURS: Final = frozenset({"APOTHIC_WORKER", "APOTHIC_ZYGOTE"})
"""Variables by which processes are known; nothing may be put in their place."""

MOST_NAME: Final = 128
MOST_VALUE: Final = 64 * 1024
"""Bytes of one value. Linux hands no program an environment variable of more than twice that."""
MOST_KEYS: Final = 100

_LETTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_")
_KEY_CHARACTERS: Final = _LETTERS | frozenset("0123456789")
_NAME_CHARACTERS: Final = _KEY_CHARACTERS | frozenset("-.")


def check_name(name: Any) -> str:
    """See to it that a secret can be called so.

    Raises:
        InvalidOption: it cannot.
    """
    is_good = isinstance(name, str) and 0 < len(name) <= MOST_NAME and {*name} <= _NAME_CHARACTERS
    if not is_good or name.startswith((".", "-")):
        raise InvalidOption(
            f"the name of a secret must be up to {MOST_NAME} of A-Z a-z 0-9 _ - . and begin with "
            f"none of - and . (it was {_shortly(name)})",
            option="name",
        )
    return name


def check_key(key: Any) -> str:
    """See to it that an environment variable can be called so.

    Raises:
        InvalidOption: it cannot.
    """
    is_good = isinstance(key, str) and 0 < len(key) <= MOST_NAME and {*key} <= _KEY_CHARACTERS
    if not is_good or key[0] not in _LETTERS or key in OURS:
        raise InvalidOption(
            f"a key of a secret must be the name of an environment variable, A-Z a-z 0-9 _ and no "
            f"digit first (it was {_shortly(key)})",
            option="key",
        )
    return key


def check_values(values: Mapping[Any, Any]) -> dict[str, str]:
    """The variables of a secret, without those that are None.

    Raises:
        InvalidOption: a name or a value is none of a variable; the message names it, but no value.
    """
    good: dict[str, str] = {}
    for key, value in values.items():
        check_key(key)
        if value is None:
            continue
        if not isinstance(value, str):
            raise InvalidOption(
                f"the value of {key} must be a string, not of type {type(value).__name__}",
                option=key,
            )
        good[key] = _check_value(key, value)
    if len(good) > MOST_KEYS:
        raise InvalidOption(f"a secret has at most {MOST_KEYS} keys, not {len(good)}")
    return good


def _check_value(key: str, value: str) -> str:
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise InvalidOption(f"the value of {key} cannot be encoded as UTF-8", option=key) from None
    if "\0" in value:
        raise InvalidOption(f"the value of {key} has a NUL character in it", option=key)
    if size > MOST_VALUE:
        raise InvalidOption(
            f"the value of {key} has {size} bytes; at most {MOST_VALUE} fit", option=key
        )
    return value


def _shortly(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= MOST_NAME else f"{shown[:MOST_NAME]}..."
