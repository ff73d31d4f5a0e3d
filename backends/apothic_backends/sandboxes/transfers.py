"""What is asked of the files of a sandbox from afar, a piece at a time where there is much of it.

What is to become a file or a tree is staged piece by piece beside the workspace, and put in place
at the end, in one step. What is read that way, or watched, stays open until it is dropped; of those
that nobody drops the oldest make room.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from apothic_backends.model.errors import NotFound, UsageError
from apothic_backends.model.sandboxes import FileChange, FileTooLarge
from apothic_backends.sandboxes.files import Files

MOST_OPEN = 64
MOST_STAGED = 16 << 30
"""Bytes of one transfer."""
PIECE = 4 << 20
"""Bytes of a file or a tree that are sent at once, at least where there are more."""

Began = tuple[bytes, int]
"""The first piece, and the number by which to take the others; 0 if that was all."""


class Transfers:
    """The files of a sandbox; `home` is a folder beside the workspace."""

    def __init__(self, files: Files, home: Path) -> None:
        self._files = files
        self._home = home
        self._numbers = itertools.count(1)
        self._open: dict[int, Any] = {}
        self._lock = threading.Lock()
        self.operations: dict[str, Callable[..., Any]] = {
            "stat": files.stat,
            "list": files.list,
            "read": files.read_bytes,
            "read_all": self.read_all,
            "write": files.write_bytes,
            "make_directory": files.make_directory,
            "remove": files.remove,
            "rename": files.rename,
            "stage": self.stage,
            "write_staged": self.write_staged,
            "unpack": self.unpack,
            "pack": self.pack,
            "take": self.take,
            "watch": self.watch,
            "changes": self.changes,
            "drop": self.drop,
        }

    def close(self) -> None:
        """Drop all that is open."""
        for number in [*self._open]:
            self.drop(number)

    def drop(self, number: int) -> None:
        """Let go of something that was opened; it may be gone already."""
        with self._lock:
            found = self._open.pop(number, None)
        if found is not None and not isinstance(found, Generator):
            found.close()  # what gives pieces may be about to give one, and closes by itself

    # --- in ---------------------------------------------------------------------------------------

    def stage(self, number: int, data: bytes) -> int:
        """Keep a piece behind those before; 0 begins another transfer. Its number."""
        if not number:
            number = self._add(TemporaryFile(dir=self._home))  # noqa: SIM115 - kept open
        file = self._found(number)
        file.write(data)
        if file.tell() > MOST_STAGED:
            self.drop(number)
            raise FileTooLarge(
                f"a transfer has more than {MOST_STAGED} bytes; send less at once",
                limit_bytes=MOST_STAGED,
            )
        return number

    def write_staged(self, number: int, path: str, mode: int | None) -> None:
        """Put what was staged in place as a file."""
        self._files.write_bytes(path, self._staged(number), mode=mode)
        self.drop(number)

    def unpack(self, number: int, path: str) -> None:
        """Make the tree that was staged below a directory; links are kept as they are."""
        self._files.unpack(path, self._staged(number), links="keep")
        self.drop(number)

    def _staged(self, number: int) -> Iterator[bytes]:
        file = self._found(number)
        file.seek(0)
        return iter(lambda: file.read(1 << 20), b"")

    # --- out --------------------------------------------------------------------------------------

    def read_all(self, path: str) -> Began:
        """Begin to read a file, which stays this one meanwhile."""
        return self._begun(self._files.read(path))

    def pack(self, path: str) -> Began:
        """Begin to read a tree."""
        return self._begun(self._files.pack(path))

    def _begun(self, pieces: Iterator[bytes]) -> Began:
        first = _joined(pieces)
        return first, self._add(pieces) if len(first) >= PIECE else 0

    def take(self, number: int) -> bytes:
        """The next piece; nothing at the end, with which it is dropped."""
        taken = _joined(self._found(number))
        if not taken:
            self.drop(number)
        return taken

    def watch(self, path: str) -> int:
        """Watch a path from now on."""
        return self._add(self._files.watch(path))

    def changes(self, number: int, wait_s: float) -> list[FileChange]:
        """What has changed since it was asked last; waits for that."""
        found: list[FileChange] = self._found(number).wait(wait_s)
        return found

    def _add(self, thing: Any) -> int:
        with self._lock:
            number = next(self._numbers)
            self._open[number] = thing
            oldest = next(iter(self._open)) if len(self._open) > MOST_OPEN else 0
        self.drop(oldest)
        return number

    def _found(self, number: int) -> Any:
        found = self._open.get(number)
        if found is None:
            raise NotFound(f"transfer {number} is not open (any more); begin it again")
        return found

    def do(self, name: str, args: tuple[Any, ...], how: dict[str, Any]) -> Any:
        """Carry out an operation.

        Raises:
            UsageError: there is none of that name.
        """
        operation = self.operations.get(name)
        if operation is None:
            raise UsageError(f"{name!r} is nothing that the files of a sandbox can do")
        return operation(*args, **how)


def _joined(pieces: Iterator[bytes]) -> bytes:
    """Pieces that are worth a call together."""
    taken = bytearray()
    for piece in pieces:
        taken += piece
        if len(taken) >= PIECE:
            break
    return bytes(taken)
