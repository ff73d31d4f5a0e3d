"""The files of a sandbox: `box.files`."""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from apothic._twins import stream, twin, work
from apothic._values import flag, is_string, refuse, text, whole
from apothic.iterations import Iteration
from apothic_backends.model.sandboxes import FileChange, FileInfo

PIECE = 1 << 20
"""The most bytes that go with one call."""
WAIT_S = 20.0
"""How long one call waits for changes; then the next one does."""
WORKSPACE = "/workspace"

LocalPath = str | os.PathLike[str]
"""A path on this machine."""


class SandboxFiles:
    """The files of a sandbox, below "/workspace"; a relative path counts from there.

    Links are followed where they stay in there, and refused where they lead out. Errors are those
    of the standard library, too: `FileMissing` is a `FileNotFoundError`. There are `FileExists`,
    `IsADirectory`, `NotADirectory`, `DirectoryNotEmpty`, `FileTooLarge`, `PathRefused` (it leads
    out), `FileRefused` (permissions; pipes, devices and hard links) and `FileFailed` (the disk).
    """

    def __init__(self, link: Any) -> None:
        self._link = link

    # --- looking ----------------------------------------------------------------------------------

    @twin
    async def read_bytes(self, path: str, offset: int = 0, limit: int | None = None) -> bytes:
        """The content of a file: all, or from an offset on `limit` bytes at most."""
        if limit is None and not offset:
            return b"".join([piece async for piece in self._down("read", _path(path))])
        most = None if limit is None else whole("limit", limit, 0)
        found: bytes = await self._ask("read_part", _path(path), whole("offset", offset, 0), most)
        return found

    @twin
    async def read_text(self, path: str, encoding: str = "utf-8") -> str:
        """The text of a file."""
        return b"".join([piece async for piece in self._down("read", _path(path))]).decode(encoding)

    @twin
    async def stat(self, path: str) -> FileInfo:
        """What is at a path; of a link the link itself."""
        found: FileInfo = await self._ask("stat", _path(path))
        return found

    @twin
    async def list(self, path: str = WORKSPACE) -> list[FileInfo]:
        """What is in a directory, sorted by name."""
        found: list[FileInfo] = await self._ask("list", _path(path))
        return found

    @stream
    def watch(self, path: str = WORKSPACE) -> Watching:
        """What changes at a path from the first look on, in directories at any depth.

        It is looked for four times a second, so what comes and goes in between is not seen.
        """
        return Watching(self._link, _path(path))

    # --- changing ---------------------------------------------------------------------------------

    @twin
    async def write_bytes(
        self, path: str, data: bytes, *, append: bool = False, mode: int | None = None
    ) -> None:
        """Put a whole file in place in one step, or append to it; directories above are made.

        A new file has `mode`, 0o644 unless it is given; one that is replaced keeps its own.
        """
        await self._up(_cut(_bytes(data)), "write", _path(path), flag("append", append), mode)

    @twin
    async def write_text(
        self, path: str, text: str, *, append: bool = False, mode: int | None = None
    ) -> None:
        """The same with text, which is kept as UTF-8."""
        if not is_string(text):
            refuse("text", text, "a str; write_bytes() takes bytes")
        await self._up(_cut(text.encode()), "write", _path(path), flag("append", append), mode)

    @twin
    async def make_directory(self, path: str, *, parents: bool = True) -> None:
        """Make a directory, and those above it; with `parents` it may be there already."""
        await self._ask("make_directory", _path(path), flag("parents", parents))

    @twin
    async def remove(self, path: str, *, recursive: bool = False) -> None:
        """Remove a file, a link or an empty directory; with `recursive` what is in it, too."""
        await self._ask("remove", _path(path), flag("recursive", recursive))

    @twin
    async def rename(self, old: str, new: str) -> None:
        """Give a file or a directory another path; a file that is there is replaced."""
        await self._ask("rename", _path(old), _path(new))

    # --- between here and there -------------------------------------------------------------------

    @twin
    async def copy_from_local(self, local_path: LocalPath, path: str) -> None:
        """Copy a file of this machine into the sandbox, with its mode."""
        with await work(lambda: Path(local_path).open("rb")) as file:
            mode = os.fstat(file.fileno()).st_mode & 0o777
            await self._up(_read(file), "write", _path(path), False, mode)

    @twin
    async def copy_to_local(self, path: str, local_path: LocalPath) -> None:
        """Copy a file of the sandbox to this machine; it is there once it is whole."""
        from apothic._trees import write_file  # brings much  # noqa: PLC0415

        with tempfile.TemporaryFile() as held:
            await self._hold(held, "read", path)
            await work(lambda: write_file(Path(local_path), _read(held)))

    @twin
    async def upload_tree(self, local_path: LocalPath, path: str = WORKSPACE) -> None:
        """Copy what is in a folder of this machine into a directory: what a project would ship.

        That is what git tracks or does not ignore, and never `.env`, `.git`, `.ssh` and the like.
        Files that are there are replaced.

        Raises:
            PackageRefused: links lead out of the folder, or it is too large.
        """
        from apothic._trees import packed  # brings much  # noqa: PLC0415

        await self._up(packed(Path(local_path)), "unpack", _path(path), "refuse")

    @twin
    async def download_tree(self, path: str, local_path: LocalPath) -> list[str]:
        """Copy what is in a directory into a folder of this machine; the links, which stay there.

        Files that are here are replaced. Pipes, devices and sockets are left out.
        """
        from apothic._trees import unpack  # brings much  # noqa: PLC0415

        with tempfile.TemporaryFile() as held:
            await self._hold(held, "pack", path)
            return await work(lambda: unpack(Path(local_path), _read(held)))

    @property
    def aio(self) -> SandboxFilesAio:
        """The same methods, to be awaited."""
        return SandboxFilesAio(self)

    # --- calls ------------------------------------------------------------------------------------

    async def _ask(self, what: str, *args: Any) -> Any:
        return await self._link.ask("files", what, *args)

    async def _down(self, what: str, path: str) -> AsyncIterator[bytes]:
        piece, number = await self._ask(what, path)
        yield piece
        while number is not None and (piece := await self._ask("more", number)):
            yield piece

    async def _hold(self, held: BinaryIO, what: str, path: str) -> None:
        async for piece in self._down(what, _path(path)):
            held.write(piece)
        held.seek(0)

    async def _up(self, pieces: Iterator[bytes], what: str, *args: Any) -> None:
        """Send pieces, and then do something with all of them; a single small one goes at once."""
        first, second = await work(lambda: (next(pieces, b""), next(pieces, b"")))
        if not second and what == "write":
            path, *rest = args
            await self._ask("write", path, first, *rest)
            return
        number = await self._ask("put", 0, first)
        try:
            while second:
                await self._ask("put", number, second)
                second = await work(lambda: next(pieces, b""))
        except Exception:
            await self._ask("drop", number)
            raise
        await self._ask("write_upload" if what == "write" else what, number, *args)


class SandboxFilesAio:
    """The methods of the files of a sandbox, to be awaited on asyncio or trio."""

    def __init__(self, files: SandboxFiles) -> None:
        self.read_bytes = files.read_bytes.aio
        self.read_text = files.read_text.aio
        self.stat = files.stat.aio
        self.list = files.list.aio
        self.watch = files.watch.aio
        self.write_bytes = files.write_bytes.aio
        self.write_text = files.write_text.aio
        self.make_directory = files.make_directory.aio
        self.remove = files.remove.aio
        self.rename = files.rename.aio
        self.copy_from_local = files.copy_from_local.aio
        self.copy_to_local = files.copy_to_local.aio
        self.upload_tree = files.upload_tree.aio
        self.download_tree = files.download_tree.aio


class Watching(Iteration[FileChange]):
    """What changes in a sandbox, for `for` and for `async for`, until it is closed."""

    def __init__(self, link: Any, path: str) -> None:
        super().__init__(self._look)
        self._link = link
        self._path = path
        self._number: int | None = None
        self._is_closed = False

    async def _look(self) -> list[FileChange]:
        if self._number is None:
            await self._begin()
        while not self._is_closed:
            found: list[FileChange] = await self._link.ask("files", "changes", self._number, WAIT_S)
            if found:
                return found
        return []

    async def _begin(self) -> None:
        self._number = await self._link.ask("files", "watch", self._path)

    @twin
    async def start(self) -> Watching:
        """Look for the first time now, and not only when the first change is asked for."""
        if self._number is None:
            await self._begin()
        return self

    @twin
    async def close(self) -> None:
        """Look no more. Safe to repeat."""
        self._is_closed = True
        if self._number is not None:
            await self._link.ask("files", "unwatch", self._number)


def _path(path: str) -> str:
    return text("path", path)


def _bytes(data: Any) -> bytes:
    if not isinstance(data, bytes | bytearray):
        refuse("data", data, "bytes; write_text() takes a str")
    return bytes(data)


def _cut(data: bytes) -> Iterator[bytes]:
    """Bytes in pieces; of nothing, none."""
    return (data[at : at + PIECE] for at in range(0, len(data), PIECE))


def _read(file: BinaryIO) -> Iterator[bytes]:
    while piece := file.read(PIECE):
        yield piece
