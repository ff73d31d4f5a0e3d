"""Blocks of code in which a volume is there, or files are on their way into one."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, BinaryIO, Generic, Self, TypeVar

from apothic._twins import twin

T = TypeVar("T")
Source = str | os.PathLike[str] | BinaryIO
"""A file on the disk, or what gives the bytes of one."""


class BatchUpload:
    """Files on their way into a volume, in a `with` or `async with` block."""

    def __init__(self, begin: Callable[[], Any]) -> None:
        self._begin = begin
        self._block: Any = None
        self._upload: Any = None

    @twin
    async def put_file(self, source: Source, path: str) -> None:
        """Put a file, or what a binary file object gives, at a path; `x/` puts it into `x`."""
        await _work(lambda: self._upload.put_file(source, path))

    @twin
    async def put_directory(self, source: str | os.PathLike[str], path: str = "/") -> None:
        """Put all that is below a folder below a path. Links stay links."""
        await _work(lambda: self._upload.put_directory(source, path))

    @twin
    async def _enter(self) -> None:
        self._block = await _work(self._begin)
        self._upload = await _work(self._block.__enter__)

    @twin
    async def _leave(self, *error: Any) -> None:
        await _work(lambda: self._block.__exit__(*error))

    def __enter__(self) -> Self:
        """Begin."""
        self._enter()
        return self

    def __exit__(self, *error: object) -> None:
        """Put them there, unless the block was left by an exception."""
        self._leave(*error)

    async def __aenter__(self) -> Self:
        """Begin."""
        await self._enter.aio()
        return self

    async def __aexit__(self, *error: object) -> None:
        """Put them there, unless the block was left by an exception."""
        await self._leave.aio(*error)


class Ephemeral(Generic[T]):
    """What `Volume.ephemeral()` gives: the volume of one block."""

    def __init__(self, volume: Callable[[str], T]) -> None:
        self._volume = volume
        self._block: Any = None

    @twin
    async def _enter(self) -> T:
        from apothic_backends.volumes.reach import volumes  # as below  # noqa: PLC0415

        self._block = volumes().ephemeral()
        store = await _work(self._block.__enter__)
        return self._volume(store.name)

    @twin
    async def _leave(self) -> None:
        await _work(lambda: self._block.__exit__(None, None, None))

    def __enter__(self) -> T:
        """Make it."""
        return self._enter()

    def __exit__(self, *_: object) -> None:
        """Delete it."""
        self._leave()

    async def __aenter__(self) -> T:
        """Make it."""
        return await self._enter.aio()

    async def __aexit__(self, *_: object) -> None:
        """Delete it."""
        await self._leave.aio()


async def _work(do: Callable[[], Any]) -> Any:
    from apothic._work import work  # brings threads, for those who do something  # noqa: PLC0415

    return await work(do)
