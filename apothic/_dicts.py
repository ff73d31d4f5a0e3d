"""What carries out the methods of a dict: procedures, for `_drive`."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable
from typing import Any, cast

from apothic._connect import ask, connect
from apothic._drive import step
from apothic._locks import Holding
from apothic._serialize import decode_value, encode_value
from apothic._values import fence_of, is_list, is_tuple, number, refuse, seconds, text
from apothic.entries import Entry
from apothic.locks import Leader
from apothic_backends.base import EventStream
from apothic_backends.commands.dicts import (
    ClearDict,
    CountKeys,
    DeleteDict,
    GetHolder,
    GetKeys,
    PopKey,
    PutKey,
    ReadDict,
    RenewKey,
    UpdateKeys,
)
from apothic_backends.model.dicts import (
    LEAST_LEASE_S,
    MOST_LEASE_S,
    TERM,
    DictEntry,
    check_key,
    check_value,
)
from apothic_backends.model.errors import (
    ValueNotLoadable,
    ValueTooLarge,
)
from apothic_backends.model.events import Cursor, Event
from apothic_backends.model.payloads import Payload
from apothic_backends.ticket import Ticket

_KEYS = "a string, a whole number, or a tuple of these"
_dumps = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


# --- keys ---------------------------------------------------------------------------------------


def key_text(key: object) -> str:
    """A key as it travels: the same text for equal keys.

    Raises:
        InvalidOption: it is none.
    """
    parts: tuple[object, ...] = key if is_tuple(key) else (key,)
    if not parts or not all(isinstance(it, str | int) and not isinstance(it, bool) for it in parts):
        refuse("key", key, _KEYS)
    try:
        made = _dumps([*parts] if is_tuple(key) else key)
        made.encode()  # half of a character has no text in any file
    except ValueError:
        refuse("key", key, _KEYS)
    check_key(made)
    return made


def key_of(text: str) -> Any:
    """The key that travelled as this text."""
    found: Any = json.loads(text)
    return tuple(found) if is_list(found) else found


def prefix_text(prefix: object) -> str:
    """What the texts of keys begin with that begin so; keys that are tuples, with that tuple."""
    if not isinstance(prefix, str) and not is_tuple(prefix):
        refuse("prefix", prefix, "a string, or a tuple with which others begin")
    made = key_text(prefix)
    return f"{made[:-1]}," if is_tuple(prefix) else made[:-1]


def lease(lease_s: object) -> float:
    """Check the length of a lease."""
    return number("lease_s", lease_s, LEAST_LEASE_S, MOST_LEASE_S)


# --- values -------------------------------------------------------------------------------------


class DictLink:
    """The wishes of whoever holds the handle of a dict."""

    def __init__(self, name: str, *, create: bool) -> None:
        self.name = name
        self.create = create

    async def put(
        self, key: object, value: object, if_rev: int | None, lease_s: object, fence: object
    ) -> int | None:
        """Write a key; the revision."""
        return await ask(
            PutKey(
                self.name,
                key_text(key),
                self._encoded(key, value),
                self.create,
                if_rev,
                None if lease_s is None else lease(lease_s),
                fence_of(fence),
            )
        )

    async def update(self, items: Iterable[tuple[object, object]], fence: object) -> int:
        """Write several keys, all or none; the revision of the last."""
        pairs = [*items]
        keys = tuple([key_text(key) for key, _ in pairs])
        values = tuple([self._encoded(key, value) for key, value in pairs])
        return await ask(UpdateKeys(self.name, keys, values, self.create, fence_of(fence)))

    async def entries(self, keys: Iterable[object]) -> dict[Any, Entry[Any]]:
        """What stands under some keys at one moment; those that are not there are left out."""
        wanted = [*keys]
        texts = tuple(map(key_text, wanted))
        found = await ask(GetKeys(self.name, texts, self.create))
        pairs = zip(wanted, found, strict=True)
        return {key: self._entry(key, it) for key, it in pairs if it is not None}

    async def pop(self, key: object, if_rev: int | None, fence: object) -> Entry[Any] | None:
        """Take a key out; what stood there."""
        found = await ask(PopKey(self.name, key_text(key), self.create, if_rev, fence_of(fence)))
        return None if found is None else self._entry(key, found)

    async def has(self, key: object) -> bool:
        """Whether there is a key."""
        [found] = await ask(GetKeys(self.name, (key_text(key),), self.create))
        return found is not None

    async def renew(self, key: object, lease_s: object, if_rev: int | None, fence: object) -> bool:
        """Begin the lease of a key anew; whether it is there."""
        return await ask(
            RenewKey(self.name, key_text(key), lease(lease_s), self.create, if_rev, fence_of(fence))
        )

    async def count(self) -> int:
        """How many keys there are."""
        return await ask(CountKeys(self.name, self.create))

    async def clear(self, fence: object) -> int:
        """Take all keys out; how many."""
        return await ask(ClearDict(self.name, self.create, fence_of(fence)))

    async def delete(self) -> bool:
        """Delete the dict; whether there was one."""
        return await ask(DeleteDict(self.name))

    async def keys(self) -> list[Any]:
        """All keys."""
        contents = await ask(ReadDict(self.name, values=False, create=self.create))
        return [*map(key_of, contents.keys)]

    async def items(self) -> list[tuple[Any, Any]]:
        """All keys with their values."""
        contents = await ask(ReadDict(self.name, values=True, create=self.create))
        keys = [*map(key_of, contents.keys)]
        if contents.values is None:
            return []
        pickles = _pickles(contents.values, len(keys))
        return [(key, self._decoded(key, it)) for key, it in zip(keys, pickles, strict=True)]

    def _entry(self, key: object, found: DictEntry) -> Entry[Any]:
        return Entry(self._decoded(key, found.value.data), found.rev, found.lease_s)

    def _encoded(self, key: object, value: object) -> Payload:
        payload = encode_value("value", value)
        try:
            check_value(payload)
        except ValueTooLarge as error:
            raise ValueTooLarge(
                f"{self.name}[{key!r:.80}]: {error.message}", **error.data
            ) from None
        return payload

    def _decoded(self, key: object, data: bytes | memoryview) -> Any:
        try:
            return decode_value(data)
        except Exception as error:
            raise ValueNotLoadable(
                f"{self.name}[{key!r:.80}] cannot be rebuilt in this process: "
                f"{type(error).__name__}: {error}",
                key=key,
            ) from error

    # --- locks ----------------------------------------------------------------------------------

    def holding(
        self, kind: str, key: object, candidate: object, lease_s: object, timeout_s: object
    ) -> Holding:
        """A lock, or a term, that is not acquired yet."""
        if candidate is not None:
            text("candidate", candidate)
        return Holding(
            (self.name, kind, key_text(key)),
            cast("str | None", candidate),
            lease(lease_s),
            seconds("timeout_s", timeout_s),
            create=self.create,
        )

    async def leader(self, name: object) -> Leader | None:
        """Who is elected."""
        found = await ask(GetHolder(self.name, TERM, key_text(name), self.create))
        return None if found is None else Leader(found.candidate, found.fence, found.since)

    # --- watches --------------------------------------------------------------------------------

    def watch(
        self, key: object, prefix: object, after: Cursor | None, *, snapshot: bool
    ) -> DictReading:
        """Read what happens from now on: to a key, to those with a prefix, or to all."""
        keys = () if key is None else (key_text(key),)
        begin = "" if prefix is None else prefix_text(prefix)
        backend = connect()
        there_is = backend.start(CountKeys(self.name, self.create))
        stream = EventStream(
            backend, f"dicts:{self.name}", after, snapshot=snapshot, keys=keys, prefix=begin
        )
        return DictReading(self, there_is, stream)

    def decoded(self, event: Event) -> Event:
        """An event as its readers get it: keys as they are, and values as far as they load here."""
        data = dict(event.data)
        if event.event == "dict.snapshot":
            data["entries"] = {
                key_of(text): self._told_entry(key_of(text), it)
                for text, it in data["entries"].items()
            }
            data["held"] = [{**it, "key": key_of(it["key"])} for it in data["held"]]
        elif "key" in data:
            key = data["key"] = key_of(data["key"])
            if "value" in data:
                data = self._told_value(key, data)
        return event.replace(data=data)

    def _told_entry(self, key: object, told: dict[str, Any]) -> Any:
        told = self._told_value(key, told)
        if "error" in told:
            return told["error"]
        return Entry(told["value"], told["rev"], told["lease_s"])

    def _told_value(self, key: object, told: dict[str, Any]) -> dict[str, Any]:
        try:
            return {**told, "value": self._decoded(key, told["value"].data)}
        except ValueNotLoadable as error:
            left = {name: it for name, it in told.items() if name != "value"}
            return {**left, "error": {"code": error.code, "message": error.message}}


def _pickles(values: Payload, count: int) -> list[memoryview]:
    data = memoryview(values.data)
    ends = 4 * count
    found: list[memoryview] = []
    for length in struct.unpack_from(f"<{count}I", data):
        found.append(data[ends : ends + length])
        ends += length
    return found


class DictReading:
    """Reads a stream of a dict's events, once it is known that there is such a dict."""

    def __init__(self, link: DictLink, there_is: Ticket[int], stream: EventStream) -> None:
        self._link = link
        self._there_is: Ticket[int] | None = there_is
        self._stream = stream

    @property
    def cursor(self) -> Cursor | None:
        """The position of the latest event that was read."""
        return self._stream.cursor

    async def next(self) -> Event | None:
        """The next event; None after the last."""
        stream = self._stream
        if self._there_is is not None:
            await step(self._there_is)
            self._there_is = None
        while (event := stream.pop()) is None:
            ticket = stream.more()
            if ticket is None:
                return None
            stream.take(await step(ticket))
        return self._link.decoded(event)

    def close(self) -> None:
        """Read no more."""
        self._stream.close()
