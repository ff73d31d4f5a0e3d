"""Dicts, and the locks and elections in them.

Each command names its dict; with `create` a missing one is made. A write that carries a `fence`
is refused (`Fenced`) unless the lock or the term which was given that fence is held.
"""

from __future__ import annotations

from apothic_backends.commands.base import Command
from apothic_backends.model.dicts import DictContents, DictEntry, HolderSnapshot
from apothic_backends.model.payloads import Payload


class PutKey(Command[int | None]):
    """Write a key; the reply is the revision of the write.

    With `if_rev` only if that is the key's present revision, 0 for a key that is not there; else
    nothing is written and the reply is None. With `lease_s` the key goes when the lease is over;
    without, it stays, even if it had a lease before.
    """

    adds = True

    name: str
    key: str
    value: Payload
    create: bool = False
    if_rev: int | None = None
    lease_s: float | None = None
    fence: int | None = None


class UpdateKeys(Command[int]):
    """Write several keys in one step, all or none; the reply is the revision of the last."""

    adds = True

    name: str
    keys: tuple[str, ...]
    values: tuple[Payload, ...]
    create: bool = False
    fence: int | None = None


class GetKeys(Command[tuple[DictEntry | None, ...]]):
    """Read several keys as they are at one moment, None for each that is not there."""

    name: str
    keys: tuple[str, ...]
    create: bool = False


class PopKey(Command[DictEntry | None]):
    """Take a key out; the reply is what stood there, None if nothing did.

    With `if_rev` only if that is the key's present revision.
    """

    name: str
    key: str
    create: bool = False
    if_rev: int | None = None
    fence: int | None = None


class RenewKey(Command[bool]):
    """Give a key a lease from now on; False if it is not there, or not at the revision `if_rev`."""

    name: str
    key: str
    lease_s: float
    create: bool = False
    if_rev: int | None = None
    fence: int | None = None


class ReadDict(Command[DictContents]):
    """Read all keys, and their values if asked for, as they are at one moment."""

    name: str
    values: bool
    create: bool = False


class CountKeys(Command[int]):
    """Count the keys."""

    name: str
    create: bool = False


class ClearDict(Command[int]):
    """Take all keys out; the reply is how many there were. Locks and terms stay."""

    name: str
    create: bool = False
    fence: int | None = None


class DeleteDict(Command[bool]):
    """Delete a dict with its locks and terms; False if there is none."""

    name: str


class AcquireLock(Command[int | None]):
    """Get hold of a lock, or be elected (`kind` "lock" or "term"); the reply is the fence.

    Whoever asks first is served first. None comes after `timeout_s`, or at once if that is 0.
    `holder` is what the asker alone is known by, so that it can let go before it has the reply;
    `candidate` is what others see. The lease counts from the reply.
    """

    name: str
    kind: str
    key: str
    holder: str
    candidate: str
    lease_s: float
    timeout_s: float | None = None
    create: bool = False


class RenewLock(Command[None]):
    """Begin the lease of a lock or a term anew; `LockLost` if `fence` does not hold it any more.

    With `wait` the reply comes when it is time to renew again, a third of the lease later. So
    whoever renews needs no clock, and holds by the one of the control plane.
    """

    name: str
    kind: str
    key: str
    fence: int
    wait: bool = False


class ReleaseLock(Command[bool]):
    """Let go of a lock or a term that `holder` has, for the next one; False if it has it not."""

    name: str
    kind: str
    key: str
    holder: str


class GetHolder(Command[HolderSnapshot | None]):
    """Look who has a lock or is the leader."""

    name: str
    kind: str
    key: str
    create: bool = False
