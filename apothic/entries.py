"""What stands under the keys of a dict, and the two ways to get at it that have a default."""

from __future__ import annotations

from typing import Any, Generic, Protocol, TypeVar, overload

from apothic._twins import awaited, blocking
from apothic._values import Value, whole

KeyT = TypeVar("KeyT")
ValueT = TypeVar("ValueT")
DefaultT = TypeVar("DefaultT")

_NONE: Any = object()
"""In place of a default that was not given."""


class Entry(Value, Generic[ValueT]):
    """What stands under a key: its value, the revision of its latest write, and its lease.

    `lease_s` is how long the key is there after it was last renewed, None for ever.
    """

    value: ValueT
    rev: int
    lease_s: float | None

    def __init__(self, value: ValueT, rev: int, lease_s: float | None = None) -> None:
        super().__init__(value=value, rev=rev, lease_s=lease_s)

    def __repr__(self) -> str:
        """All of it; None is a value."""
        lease = "" if self.lease_s is None else f", lease_s={self.lease_s!r}"
        return f"Entry({self.value!r}, rev={self.rev!r}{lease})"


class Link(Protocol):
    """What looks into the dict: a `_dicts.DictLink`."""

    name: str

    async def entries(self, keys: Any) -> dict[Any, Entry[Any]]: ...  # noqa: D102
    async def pop(self, key: object, if_rev: int | None, fence: object) -> Entry[Any] | None: ...  # noqa: D102


class Get(Generic[KeyT, ValueT]):
    """`Dict.get`: blocks when called; its `aio` is the same to be awaited."""

    __slots__ = ("_link", "name")

    def __init__(self, link: Link) -> None:
        self._link = link
        self.name = link.name

    @overload
    def __call__(self, key: KeyT) -> ValueT | None: ...
    @overload
    def __call__(self, key: KeyT, default: ValueT) -> ValueT: ...
    @overload
    def __call__(self, key: KeyT, default: DefaultT) -> ValueT | DefaultT: ...
    def __call__(self, key: KeyT, default: object = None) -> Any:
        """The value of a key, or the default if there is no such key."""
        return blocking(self, "get", lambda: self._get(key, default))

    @overload
    async def aio(self, key: KeyT) -> ValueT | None: ...
    @overload
    async def aio(self, key: KeyT, default: ValueT) -> ValueT: ...
    @overload
    async def aio(self, key: KeyT, default: DefaultT) -> ValueT | DefaultT: ...
    async def aio(self, key: KeyT, default: object = None) -> Any:
        """The same on asyncio or trio."""
        return await awaited(self._get(key, default))

    async def _get(self, key: KeyT, default: object) -> Any:
        found = await self._link.entries([key])
        return found[key].value if found else default


class Pop(Generic[KeyT, ValueT]):
    """`Dict.pop`: blocks when called; its `aio` is the same to be awaited."""

    __slots__ = ("_link", "name")

    def __init__(self, link: Link) -> None:
        self._link = link
        self.name = link.name

    @overload
    def __call__(
        self, key: KeyT, *, if_rev: int | None = None, fence: int | None = None
    ) -> ValueT: ...
    @overload
    def __call__(
        self, key: KeyT, default: DefaultT, *, if_rev: int | None = None, fence: int | None = None
    ) -> ValueT | DefaultT: ...
    def __call__(self, key: KeyT, default: object = _NONE, **how: Any) -> Any:
        """Take a key out and give its value, or the default if there is no such key.

        With `if_rev` only if that is its revision; otherwise it counts as missing.

        Raises:
            KeyError: there is no such key, and no default.
            Fenced: the fence is not held any more; nothing was taken.
        """
        return blocking(self, "pop", lambda: self._pop(key, default, **how))

    @overload
    async def aio(
        self, key: KeyT, *, if_rev: int | None = None, fence: int | None = None
    ) -> ValueT: ...
    @overload
    async def aio(
        self, key: KeyT, default: DefaultT, *, if_rev: int | None = None, fence: int | None = None
    ) -> ValueT | DefaultT: ...
    async def aio(self, key: KeyT, default: object = _NONE, **how: Any) -> Any:
        """The same on asyncio or trio."""
        return await awaited(self._pop(key, default, **how))

    async def _pop(
        self, key: KeyT, default: object, if_rev: int | None = None, fence: int | None = None
    ) -> Any:
        if if_rev is not None:
            whole("if_rev", if_rev, 0)
        found = await self._link.pop(key, if_rev, fence)
        if found is not None:
            return found.value
        if default is _NONE:
            raise KeyError(key)
        return default
