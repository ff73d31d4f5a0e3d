"""Dict: keys and values that the main program, functions and services share."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from typing import Any, Generic, TypeVar, cast

from apothic._twins import stream, twin
from apothic._values import flag, text, whole
from apothic.blocks import Block
from apothic.entries import Entry, Get, Pop
from apothic.locks import Leader, Lock, Term
from apothic.watches import Watch, check_watch
from apothic_backends.model.errors import UsageError
from apothic_backends.model.events import Cursor

KeyT = TypeVar("KeyT")
ValueT = TypeVar("ValueT")


class Dict(Block["Dict[KeyT, ValueT]"], Generic[KeyT, ValueT]):
    """A dict that programs and their functions share, by its name.

    Keys are strings, whole numbers, or tuples of these; values are whatever can be pickled, up to
    1 MiB each. Every read gets a fresh copy of what was written last, wherever it was written.
    Methods block; each has an `aio` twin. The handle can be an argument, a result, or a value.

    Each write gets a revision, a number that is larger than all before. With a revision in hand a
    key can be written only if nobody has written it since (`if_rev`).
    """

    def __init__(self, name: str, *, create_if_missing: bool = False) -> None:
        self._name = text("name", name)
        self._create = create_if_missing

    @classmethod
    def from_name(
        cls,
        name: str,
        create_if_missing: bool = False,  # noqa: FBT001, FBT002 - as in other handles
    ) -> Dict[Any, Any]:
        """The dict of that name: 1 to 64 of A-Z, a-z, 0-9, `.`, `_` and `-`.

        It is looked up, or made with `create_if_missing`, at each use; `NotFound` says then that
        there is none.

        Raises:
            InvalidOption: that cannot be a name.
        """
        from apothic_backends.model.names import check_name  # as below  # noqa: PLC0415

        check_name("name", name)
        return Dict(name, create_if_missing=flag("create_if_missing", create_if_missing))

    @classmethod
    def ephemeral(cls) -> Dict[Any, Any]:
        """A new dict without a name of its own, which ends with the control plane.

        Or before: with the block, in `with Dict.ephemeral() as d`, or by `delete()`.
        """
        return Dict(f"~{os.urandom(8).hex()}", create_if_missing=True)

    @property
    def name(self) -> str:
        """Its name; that of an ephemeral one begins with `~`."""
        return self._name

    @property
    def aio(self) -> DictAio[KeyT, ValueT]:
        """The same methods, to be awaited."""
        return DictAio(self)

    def _link(self) -> Any:
        from apothic._dicts import DictLink  # most programs share no dict  # noqa: PLC0415

        return DictLink(self._name, create=self._create)

    # --- one key --------------------------------------------------------------------------------

    @property
    def get(self) -> Get[KeyT, ValueT]:
        """`get(key, default=None)`: the value of a key, or the default if there is no such key."""
        return Get(self._link())

    @twin
    async def entry(self, key: KeyT) -> Entry[ValueT] | None:
        """The value of a key with its revision and its lease; None if there is none."""
        found: dict[KeyT, Entry[ValueT]] = await self._link().entries([key])
        return found.get(key)

    @twin
    async def contains(self, key: KeyT) -> bool:
        """Whether there is a key."""
        return bool(await self._link().has(key))

    @twin
    async def put(
        self,
        key: KeyT,
        value: ValueT,
        *,
        if_absent: bool = False,
        if_rev: int | None = None,
        lease_s: float | None = None,
        fence: int | None = None,
    ) -> int | None:
        """Write a key; gives the revision of the write, or None if a condition did not hold.

        `if_absent` writes only if there is no such key, `if_rev` only if that is its revision:
        values are never compared, since pickles of equal values differ. With `lease_s` (1 to
        43,200 seconds) the key goes by itself, within a second after it was last written or
        renewed for that long; a write without takes the lease off. A `fence` lets the write
        through only while the lock or the term that was given it is held.

        Raises:
            Fenced: it is not held any more; nothing was written.
            ValueTooLarge: the value has more than 1 MiB, pickled.
            ArgumentNotSerializable: the value cannot be pickled.
        """
        if flag("if_absent", if_absent):
            if if_rev is not None:
                raise UsageError("if_absent and if_rev are two conditions; keep one")
            if_rev = 0
        elif if_rev is not None:
            whole("if_rev", if_rev, 0)
        rev: int | None = await self._link().put(key, value, if_rev, lease_s, fence)
        return rev

    @property
    def pop(self) -> Pop[KeyT, ValueT]:
        """`pop(key[, default])`: take a key out and give its value, or the default."""
        return Pop(self._link())

    @twin
    async def renew(
        self, key: KeyT, lease_s: float, *, if_rev: int | None = None, fence: int | None = None
    ) -> bool:
        """Have a key stay for `lease_s` seconds from now, however long it would have stayed.

        False if it is not there, or not at the revision `if_rev`.
        """
        if if_rev is not None:
            whole("if_rev", if_rev, 0)
        return bool(await self._link().renew(key, lease_s, if_rev, fence))

    # --- several keys ---------------------------------------------------------------------------

    @twin
    async def get_many(self, keys: Iterable[KeyT]) -> dict[KeyT, ValueT]:
        """The values of several keys at one moment; keys that are not there are left out."""
        found: dict[KeyT, Entry[ValueT]] = await self._link().entries(keys)
        return {key: it.value for key, it in found.items()}

    @twin
    async def update(
        self,
        items: Mapping[KeyT, ValueT] | Iterable[tuple[KeyT, ValueT]],
        *,
        fence: int | None = None,
    ) -> int:
        """Write several keys in one step, all or none; gives the revision of the last write.

        Raises:
            Fenced: the fence is not held any more; nothing was written.
            ValueTooLarge: one of the values has more than 1 MiB, pickled.
        """
        given: Any = items
        pairs = given.items() if isinstance(items, Mapping) else given
        rev: int = await self._link().update(pairs, fence)
        return rev

    @twin
    async def len(self) -> int:
        """How many keys there are."""
        count: int = await self._link().count()
        return count

    @twin
    async def keys(self) -> list[KeyT]:
        """All keys as they are at one moment, in the order in which they came."""
        found: list[KeyT] = await self._link().keys()
        return found

    @twin
    async def values(self) -> list[ValueT]:
        """All values as they are at one moment, in the order of the keys."""
        return [value for _, value in await self._link().items()]

    @twin
    async def items(self) -> list[tuple[KeyT, ValueT]]:
        """All keys with their values as they are at one moment, in the order of the keys."""
        found: list[tuple[KeyT, ValueT]] = await self._link().items()
        return found

    @twin
    async def clear(self, *, fence: int | None = None) -> int:
        """Take all keys out; gives how many there were. Locks and terms stay."""
        count: int = await self._link().clear(fence)
        return count

    @twin
    async def delete(self) -> bool:
        """Delete the dict with all that is in it; False if there is none.

        Whoever waits for a lock in it gets `NotFound`, and its holders have lost theirs.
        """
        return bool(await self._link().delete())

    # --- locks and elections --------------------------------------------------------------------

    def lock(self, key: KeyT, *, lease_s: float = 15.0, timeout_s: float | None = None) -> Lock:
        """The lock of a key, to be held by one holder at a time: `with d.lock(key) as lock:`.

        Whoever asks first is served first; after `timeout_s` seconds `WaitTimeout` is raised (None
        waits for ever, 0 not at all). While it is held it is renewed by itself; a holder that has
        died, or was stopped, loses it within `lease_s` (1 to 43,200) seconds, and a second. It
        needs no entry under that key. See `Lock` for what it guards.

        Raises:
            InvalidOption: a value is out of its range.
        """
        return Lock(self._link().holding("lock", key, None, lease_s, timeout_s))

    def elect(
        self,
        name: str,
        *,
        candidate: str | None = None,
        lease_s: float = 15.0,
        timeout_s: float | None = None,
    ) -> Term:
        """Stand for election: `with d.elect("leader") as term:` begins when one is elected.

        `candidate` is what others see in `leader()`: by default the job, or the process. The rest
        is as in `lock`.

        Raises:
            InvalidOption: a value is out of its range.
        """
        return Term(self._link().holding("term", name, candidate, lease_s, timeout_s))

    @twin
    async def leader(self, name: str) -> Leader | None:
        """Who is elected now; None if nobody is."""
        found: Leader | None = await self._link().leader(name)
        return found

    # --- watches --------------------------------------------------------------------------------

    @stream
    def watch(
        self,
        key: KeyT | None = None,
        *,
        prefix: KeyT | None = None,
        snapshot: bool = False,
        after: Cursor | None = None,
    ) -> Watch:
        """Follow what happens from now on: to a key, to those with a prefix, or to all.

        `dict.changed` has `op`: `put` (with `key`, `value`, `rev`, `lease_s`), `deleted` and
        `expired` (`key`, `rev`), `cleared` (`rev`), or what became of a lock or a term: `locked`,
        `unlocked`, `lock_expired`, `elected`, `resigned`, `term_expired` (`key`, `holder`, and its
        fence as `rev`). `snapshot` begins with `dict.snapshot`: `entries`, a dict of `Entry`s, and
        `held`; with all that follows it the dict can be rebuilt at any moment. `after` begins after
        an event of another watch. A prefix is a string, or a tuple with which others begin.

        Raises:
            UsageError: `after` is no position, or two ways to choose or to begin are given.
            NotFound: there is no such dict; when the first event is read.
        """
        check_watch(after, snapshot=snapshot)
        if key is not None and prefix is not None:
            raise UsageError("key and prefix both choose; keep one")
        return Watch(self._link().watch(key, prefix, after, snapshot=snapshot), owner=self)

    @stream
    def observe(self, name: str, *, snapshot: bool = True, after: Cursor | None = None) -> Watch:
        """Follow an election: who is elected, resigns, or loses the term; from who is it now."""
        return self.watch(cast("KeyT", name), snapshot=snapshot and after is None, after=after)

    # --- as dicts do ----------------------------------------------------------------------------

    def __getitem__(self, key: KeyT) -> ValueT:
        """The value of a key, blocking.

        Raises:
            KeyError: there is none.
        """
        entry = self.entry(key)
        if entry is None:
            raise KeyError(key)
        return entry.value

    def __setitem__(self, key: KeyT, value: ValueT) -> None:
        """Write a key, blocking."""
        self.put(key, value)

    def __delitem__(self, key: KeyT) -> None:
        """Take a key out, blocking.

        Raises:
            KeyError: there is none.
        """
        self.pop(key)

    def __contains__(self, key: KeyT) -> bool:
        """Whether there is a key, blocking."""
        return self.contains(key)

    def __len__(self) -> int:
        """How many keys there are, blocking."""
        return self.len()

    def __iter__(self) -> Iterator[KeyT]:
        """All keys as they are at one moment, blocking."""
        return iter(self.keys())

    async def __aiter__(self) -> AsyncIterator[KeyT]:
        """All keys as they are at one moment, on asyncio or trio."""
        for key in await self.keys.aio():
            yield key

    async def _begin(self) -> Dict[KeyT, ValueT]:
        return self

    async def _end(self, error: BaseException | None) -> None:
        """Delete it if it is ephemeral."""
        if self._name.startswith("~"):
            await self._link().delete()

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel by name."""
        return (_rebuilt, (self._name, self._create))

    def __eq__(self, other: object) -> bool:
        """Equal when it is the same dict."""
        return isinstance(other, Dict) and self._name == other._name

    def __hash__(self) -> int:
        """By the dict."""
        return hash(("Dict", self._name))

    def __repr__(self) -> str:
        """The name."""
        return f"<Dict {self._name}>"


def _rebuilt(name: str, create: bool) -> Dict[Any, Any]:  # noqa: FBT001 - of pickles only
    return Dict(name, create_if_missing=create)


class DictAio(Generic[KeyT, ValueT]):
    """The methods of a dict, to be awaited on asyncio or trio."""

    def __init__(self, of: Dict[KeyT, ValueT]) -> None:
        self.get = of.get.aio
        self.entry = of.entry.aio
        self.contains = of.contains.aio
        self.put = of.put.aio
        self.pop = of.pop.aio
        self.renew = of.renew.aio
        self.get_many = of.get_many.aio
        self.update = of.update.aio
        self.len = of.len.aio
        self.keys = of.keys.aio
        self.values = of.values.aio
        self.items = of.items.aio
        self.clear = of.clear.aio
        self.delete = of.delete.aio
        self.leader = of.leader.aio
        self.watch = of.watch.aio
        self.observe = of.observe.aio
