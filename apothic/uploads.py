"""Files on their way into a volume."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, BinaryIO

from apothic._twins import twin, work
from apothic.blocks import Block

Source = str | os.PathLike[str] | BinaryIO
"""A file on the disk, or what gives the bytes of one."""


class BatchUpload(Block["BatchUpload"]):
    """Files on their way into a volume: they are there after the block, unless it raises."""

    def __init__(self, begin: Callable[[], Any]) -> None:
        self._begin_upload = begin
        self._block: Any = None
        self._upload: Any = None

    @twin
    async def put_file(self, source: Source, path: str) -> None:
        """Put a file, or what a binary file object gives, at a path; `x/` puts it into `x`."""
        await work(lambda: self._upload.put_file(source, path))

    @twin
    async def put_directory(self, source: str | os.PathLike[str], path: str = "/") -> None:
        """Put all that is below a folder below a path. Links stay links."""
        await work(lambda: self._upload.put_directory(source, path))

    async def _begin(self) -> BatchUpload:
        self._block = await work(self._begin_upload)
        self._upload = await work(self._block.__enter__)
        return self

    async def _end(self, error: BaseException | None) -> None:
        kind, traceback = (type(error), error.__traceback__) if error else (None, None)
        await work(lambda: self._block.__exit__(kind, error, traceback))
