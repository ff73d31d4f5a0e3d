"""The files of a sandbox, from outside of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

from apothic._twins import stream, twin, work
from apothic._values import flag, text
from apothic.iterations import Iteration
from apothic.processes import bytes_of
from apothic_backends.model.sandboxes import FileChange, FileInfo

PIECE = 4 << 20
"""Bytes that go with one call."""

WATCH_S = 10.0
"""How long one call waits for changes; then the next one does."""

Path = str | os.PathLike[str]


class SandboxFiles:
    """The files of a sandbox. Paths are absolute and beneath "/workspace", or relative to it.

    What leads out of the workspace is refused: `PathRefused`. The other errors are `FileMissing`,
    `FileExists`, `IsADirectory`, `NotADirectory`, `DirectoryNotEmpty`, `FileTooLarge`,
    `FileRefused` and `FileFailed`, each with the `path`; most are those of the standard library,
    too, so that `except FileNotFoundError` does what it says.
    """

    def __init__(self, link: Any) -> None:
        self._link = link

    async def _do(self, name: str, *args: Any, **how: Any) -> Any:
        return await self._link.ask("files", name, args, how)

    # --- reading ----------------------------------------------------------------------------------

    @twin
    async def read_bytes(self, path: str) -> bytes:
        """The content of a file."""
        return await self._read(path)

    @twin
    async def read_text(self, path: str, encoding: str = "utf-8") -> str:
        """The content of a file, as text."""
        return (await self._read(path)).decode(encoding)

    async def _read(self, path: str) -> bytes:
        found = bytearray()
        await self._down("read_all", path, found.extend)
        return bytes(found)

    async def _down(self, name: str, path: str, take: Callable[[bytes], object]) -> None:
        """Have all the pieces that something gives taken, one after the other."""
        piece, number = await self._do(name, path)
        try:
            while piece:
                await work(_taking(take, piece))
                piece = await self._do("take", number) if number else b""
        finally:
            if number and piece:
                await self._do("drop", number)

    @twin
    async def list(self, path: str = "/workspace") -> list[FileInfo]:
        """What is in a directory, sorted by name."""
        found: list[FileInfo] = await self._do("list", path)
        return found

    @twin
    async def stat(self, path: str) -> FileInfo:
        """What is at a path; of a symlink the link itself."""
        found: FileInfo = await self._do("stat", path)
        return found

    # --- changing ---------------------------------------------------------------------------------

    @twin
    async def write_bytes(
        self, path: str, data: bytes, *, append: bool = False, mode: int | None = None
    ) -> None:
        """Put a file in place in one step, or append to it; directories above are made.

        A new one has the permissions `mode`, 0o644 unless given.
        """
        await self._write(path, bytes_of(data), mode, append=flag("append", append))

    @twin
    async def write_text(
        self,
        path: str,
        data: str,
        *,
        append: bool = False,
        mode: int | None = None,
        encoding: str = "utf-8",
    ) -> None:
        """The same with text."""
        await self._write(path, data.encode(encoding), mode, append=flag("append", append))

    async def _write(self, path: str, data: bytes, mode: int | None, *, append: bool) -> None:
        if len(data) <= PIECE:
            await self._do("write", path, data, mode=mode, append=append)
        elif append:
            for start in range(0, len(data), PIECE):
                piece = data[start : start + PIECE]
                await self._do("write", path, piece, mode=mode, append=True)
        else:
            pieces = (data[start : start + PIECE] for start in range(0, len(data), PIECE))
            await self._stage(pieces, "write_staged", path, mode)

    async def _stage(self, pieces: Iterator[bytes], name: str, *args: Any) -> None:
        """Send pieces, and then have done with them whatever has that name."""
        number = await self._do("stage", 0, b"")
        try:
            while piece := await work(lambda: next(pieces, b"")):
                await self._do("stage", number, piece)
            await self._do(name, number, *args)
        except BaseException:
            await self._do("drop", number)
            raise

    @twin
    async def make_directory(self, path: str, *, parents: bool = True) -> None:
        """Make a directory, with `parents` those above, too; then it may be there already."""
        await self._do("make_directory", path, parents=flag("parents", parents))

    @twin
    async def remove(self, path: str, *, recursive: bool = False) -> None:
        """Remove a file, or an empty directory; with `recursive` all that is in it, too."""
        await self._do("remove", path, recursive=flag("recursive", recursive))

    @twin
    async def rename(self, old: str, new: str) -> None:
        """Give a file or a directory another path; a file or an empty directory is replaced."""
        await self._do("rename", old, new)

    # --- from here and to here --------------------------------------------------------------------

    @twin
    async def copy_from_local(self, local: Path, path: str) -> None:
        """Put a file of this machine at a path, with its permissions."""
        file = await work(lambda: open(local, "rb"))  # noqa: SIM115, PTH123 - closed below
        try:
            mode = os.fstat(file.fileno()).st_mode & 0o777
            await self._stage(iter(lambda: file.read(PIECE), b""), "write_staged", path, mode)
        finally:
            file.close()

    @twin
    async def copy_to_local(self, path: str, local: Path) -> None:
        """Put the file at a path into a file of this machine, in one step once all of it is here.

        One that is replaced keeps its permissions.
        """
        from apothic._trees import write_file  # brings much  # noqa: PLC0415

        with await self._held("read_all", path) as file:
            await work(lambda: write_file(local, _pieces(file)))

    async def _held(self, name: str, path: str) -> Any:
        """A file without a name that holds what something gives."""
        from tempfile import TemporaryFile  # with a copy  # noqa: PLC0415

        file = TemporaryFile()  # noqa: SIM115 - closed by the caller, or here
        try:
            await self._down(name, path, file.write)
        except BaseException:
            file.close()
            raise
        file.seek(0)
        return file

    @twin
    async def upload_tree(self, local: Path, path: str = "/workspace") -> None:
        """Put what is below a directory of this machine below a path, as a project is shipped.

        That is what git tracks or does not ignore, and never `.env`, `.git`, `.ssh` and the like.
        In place of symlinks goes what they lead to. What is there stays, but for files of the same
        names.

        Raises:
            PackageRefused: symlinks lead to what is not shipped, or it is too much.
        """
        from apothic._trees import packed  # brings much  # noqa: PLC0415

        await self._stage(_joined(packed(local)), "unpack", path)

    @twin
    async def download_tree(self, path: str, local: Path) -> list[str]:
        """Put all that is below a path below a directory of this machine, which is made.

        What is here stays, but for files of the same names. Symlinks are left out, as they may
        lead anywhere here: their paths are what it gives. So are pipes, devices and sockets.
        """
        from apothic._trees import unpack  # brings much  # noqa: PLC0415

        with await self._held("pack", path) as file:
            return await work(lambda: unpack(local, _pieces(file)))

    @stream
    def watch(self, path: str = "/workspace") -> FileWatch:
        """Follow what changes in a directory and below, or of a file; it never ends by itself.

        It begins with the first that is asked for, or with its `begin()`.
        """
        return FileWatch(self._do, text("path", path))

    @property
    def aio(self) -> FilesAio:
        """The same methods, to be awaited."""
        return FilesAio(self)


class FilesAio:
    """The methods of the files of a sandbox, to be awaited on asyncio or trio."""

    def __init__(self, files: SandboxFiles) -> None:
        self.read_bytes = files.read_bytes.aio
        self.read_text = files.read_text.aio
        self.list = files.list.aio
        self.stat = files.stat.aio
        self.write_bytes = files.write_bytes.aio
        self.write_text = files.write_text.aio
        self.make_directory = files.make_directory.aio
        self.remove = files.remove.aio
        self.rename = files.rename.aio
        self.copy_from_local = files.copy_from_local.aio
        self.copy_to_local = files.copy_to_local.aio
        self.upload_tree = files.upload_tree.aio
        self.download_tree = files.download_tree.aio
        self.watch = files.watch.aio


class FileWatch(Iteration[FileChange]):
    """What changes, for `for` and for `async for`."""

    def __init__(self, do: Callable[..., Any], path: str) -> None:
        super().__init__(self._next)
        self._do = do
        self._path = path
        self._number = 0

    @twin
    async def begin(self) -> None:
        """Watch from now on, and not only from the first change that is asked for."""
        if not self._number:
            self._number = await self._do("watch", self._path)

    @twin
    async def close(self) -> None:
        """Watch no more."""
        if self._number:
            await self._do("drop", self._number)

    async def _next(self) -> list[FileChange]:
        if not self._number:
            self._number = await self._do("watch", self._path)
        found: list[FileChange] = []
        while not found:
            found = await self._do("changes", self._number, WATCH_S)
        return found


def _taking(take: Callable[[bytes], object], piece: bytes) -> Callable[[], object]:
    return lambda: take(piece)


def _pieces(file: Any) -> Iterator[bytes]:
    return iter(lambda: file.read(PIECE), b"")


def _joined(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces that are worth a call."""
    held = bytearray()
    for piece in pieces:
        held += piece
        if len(held) >= PIECE:
            yield bytes(held)
            held.clear()
    if held:
        yield bytes(held)
