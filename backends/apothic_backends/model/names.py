"""The names that users give to what they share: queues, dicts, the partitions of a queue."""

from __future__ import annotations

from typing import Final

from apothic_backends.model.errors import InvalidOption

MOST_NAME: Final = 64
"""The most characters of a name."""


def is_name(text: str) -> bool:
    """Whether a text can be a name: 1 to 64 of A-Z, a-z, 0-9, `.`, `_` and `-`."""
    return (
        0 < len(text) <= MOST_NAME
        and text.isascii()
        and all(letter.isalnum() or letter in "._-" for letter in text)
    )


def check_name(what: str, name: object) -> str:
    """See to it that something can be a name.

    Raises:
        InvalidOption: it cannot.
    """
    if not isinstance(name, str) or not is_name(name):
        raise InvalidOption(
            f"{what} must be 1 to {MOST_NAME} characters of A-Z, a-z, 0-9, '.', '_' and '-', "
            f"not {name!r:.100} ({type(name).__name__})",
            option=what,
            value=name,
        )
    return name
