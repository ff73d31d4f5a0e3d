"""What every command is."""

from __future__ import annotations

from typing import Generic, TypeVar

from apothic_backends.model.record import Record

ReplyT = TypeVar("ReplyT")


class Command(Record, Generic[ReplyT]):
    """Something that can be asked of a backend; `ReplyT` is what comes back."""

    __slots__ = ()
    beside_core = False
    """Whether it is carried out beside the core, because nothing in there may know of it."""
    adds = False
    """Whether it adds to what is kept, so that it has to wait while there is no room for more."""
