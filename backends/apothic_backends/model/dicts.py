"""Dicts that programs share: what is in them, and the limits that they keep.

A key is a text here: the JSON of a string, of a whole number, or of a list of such. A value is a
pickle that the control plane never opens.
"""

from __future__ import annotations

from typing import Final

from apothic_backends.model.errors import InvalidOption, ValueTooLarge
from apothic_backends.model.names import is_name
from apothic_backends.model.payloads import Payload
from apothic_backends.model.record import Record

MOST_KEY: Final = 1024
"""The most characters of a key, as JSON."""

MOST_VALUE: Final = 1 << 20
"""The most bytes of a value, pickled (1 MiB). Larger things belong into a volume."""

LEAST_LEASE_S: Final = 1.0
MOST_LEASE_S: Final = 12 * 3600.0
"""How short and how long the lease of a key, a lock or a term may be, in seconds."""

EPHEMERAL: Final = "~"
"""What the names of dicts begin with that end with the control plane; users cannot write it."""

LOCK: Final = "lock"
TERM: Final = "term"
"""The two kinds of what one holder at a time can have: a key's lock, and to be the leader."""

DICT_EVENTS: Final = ("dict.snapshot", "dict.changed", "dict.deleted")
"""Everything that is told of a dict."""


def is_dict_name(text: str) -> bool:
    """Whether a text can be the name of a dict, one that users gave or an ephemeral one."""
    return is_name(text.removeprefix(EPHEMERAL))


class DictEntry(Record):
    """What stands under a key: the value, the revision of its latest write, and its lease.

    `lease_s` is None for a key that stays.
    """

    value: Payload
    rev: int
    lease_s: float | None = None


class DictContents(Record):
    """Everything in a dict at one moment, in the order in which the keys came.

    `values` has the pickles in the same order (codec `pickle5*`), if they were asked for.
    """

    keys: tuple[str, ...]
    values: Payload | None = None


class HolderSnapshot(Record):
    """Who has a lock, or is the leader: since when (Unix seconds), and by which fence."""

    candidate: str
    fence: int
    since: float


def check_key(key: str) -> None:
    """See to it that a key has a fair length.

    Raises:
        InvalidOption: it has not.
    """
    if not 0 < len(key) <= MOST_KEY:
        raise InvalidOption(
            f"a key must have 1 to {MOST_KEY} characters as JSON, not {len(key)}", option="key"
        )


def check_value(value: Payload) -> None:
    """See to it that a value is one pickle of a fair size.

    Raises:
        ValueTooLarge: it is too large.
    """
    nbytes = value.nbytes
    if nbytes > MOST_VALUE:
        raise ValueTooLarge(
            f"a value may have {MOST_VALUE} bytes, pickled, and this one has {nbytes}: put it "
            "into a volume, and its path into the dict",
            nbytes=nbytes,
            most=MOST_VALUE,
        )
    if value.buffers:
        raise InvalidOption("a value must be one pickle without buffers beside it", option="value")


def check_lease(lease_s: float) -> None:
    """See to it that a lease has a fair length.

    Raises:
        InvalidOption: it has not.
    """
    if not LEAST_LEASE_S <= lease_s <= MOST_LEASE_S:
        raise InvalidOption(
            f"lease_s must be from {LEAST_LEASE_S:g} to {MOST_LEASE_S:g} seconds, not {lease_s:g}",
            option="lease_s",
            value=lease_s,
        )
