"""The files of a sandbox for those who are elsewhere: in calls that end soon, and small pieces.

What is larger than a piece comes in a stream: `more` gives the next piece of one that was begun.
What goes the other way is put aside first, and used when all of it is there; so a file is replaced
as a whole, and a tree that is cut off on its way changes nothing.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any, BinaryIO

from apothic_backends.model.errors import InvalidOption, NotFound, OverLimit
from apothic_backends.model.sandboxes import FileChange, FileTooLarge
from apothic_backends.sandboxes.changes import Watch
from apothic_backends.sandboxes.files import Files
from apothic_backends.sandboxes.trees import CHUNK, DEFAULT_LIMITS, Links, Unpacked

PIECE = CHUNK
"""The most bytes of a call."""
MOST_OPEN = 64
"""The most streams, uploads and watches at once, each; then the oldest stream or upload ends."""
MOST_BYTES = DEFAULT_LIMITS.size_bytes + (1 << 30)
"""The largest upload: a tree with its headers."""
MOST_WAIT_S = 20.0
"""How long a call waits at most."""

Began = tuple[bytes, int | None]
"""The first piece of a stream, and its number if there is more."""


class ServedFiles:
    """What is asked of the files of a sandbox."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._numbers = itertools.count(1)
        self._streams: dict[int, Iterator[bytes]] = {}
        self._uploads: dict[int, BinaryIO] = {}
        self._watches: dict[int, Watch] = {}
        self._does: dict[str, Callable[..., Any]] = {
            "stat": files.stat,
            "list": files.list,
            "make_directory": self._make_directory,
            "remove": self._remove,
            "rename": files.rename,
            "read": self._read,
            "read_part": files.read_bytes,
            "pack": self._pack,
            "more": self._more,
            "write": self._write,
            "put": self._put,
            "drop": self._drop,
            "write_upload": self._write_upload,
            "unpack": self._unpack,
            "watch": self._watch,
            "changes": self._changes,
            "unwatch": self._unwatch,
        }

    def do(self, what: str, *args: Any) -> Any:
        """Do one thing, by its name."""
        do = self._does.get(what)
        if do is None:
            raise InvalidOption(f"nothing is called {what!r:.80} here", option="what")
        return do(*args)

    def close(self) -> None:
        """Let go of everything. Safe to repeat."""
        for watch in [*self._watches.values()]:
            watch.close()
        for upload in [*self._uploads.values()]:
            upload.close()
        self._watches.clear()
        self._uploads.clear()
        self._streams.clear()
        self._files.close()

    def _make_directory(self, path: str, parents: bool) -> None:  # noqa: FBT001 - from afar
        self._files.make_directory(path, parents=parents)

    def _remove(self, path: str, recursive: bool) -> None:  # noqa: FBT001 - from afar
        self._files.remove(path, recursive=recursive)

    # --- down -------------------------------------------------------------------------------------

    def _read(self, path: str) -> Began:
        return self._began(self._files.read(path))

    def _pack(self, path: str) -> Began:
        return self._began(_gathered(self._files.pack(path)))

    def _began(self, stream: Iterator[bytes]) -> Began:
        first, second = next(stream, b""), next(stream, b"")
        if not second:
            return first, None
        if len(self._streams) >= MOST_OPEN:
            self._streams.pop(min(self._streams))  # nobody has asked for long: it was given up
        number = next(self._numbers)
        self._streams[number] = itertools.chain([second], stream)
        return first, number

    def _more(self, number: int) -> bytes:
        """The next piece of a stream; none at its end."""
        stream = self._streams.pop(number, None)
        if stream is None:
            raise NotFound(f"there is no stream {number} here (any more); begin again")
        piece = next(stream, b"")
        if piece:
            self._streams[number] = stream
        return piece

    # --- up ---------------------------------------------------------------------------------------

    def _write(self, path: str, data: bytes, append: bool, mode: int | None) -> None:  # noqa: FBT001 - from afar
        self._files.write_bytes(path, data, append=append, mode=mode)

    def _put(self, number: int, data: bytes) -> int:
        """Put a piece aside, behind those of the same upload; 0 begins one. Its number."""
        if not number:
            if len(self._uploads) >= MOST_OPEN:
                self._drop(min(self._uploads))  # as above
            number = next(self._numbers)
            self._uploads[number] = tempfile.TemporaryFile()  # noqa: SIM115 - until all is there
        upload = self._upload(number)
        if upload.tell() + len(data) > MOST_BYTES:
            self._drop(number)
            raise FileTooLarge(f"an upload has at most {MOST_BYTES} bytes", limit_bytes=MOST_BYTES)
        upload.write(data)
        return number

    def _upload(self, number: int) -> BinaryIO:
        upload = self._uploads.get(number)
        if upload is None:
            raise NotFound(f"there is no upload {number} here (any more); begin again")
        return upload

    def _drop(self, number: int) -> None:
        """Forget an upload, if it is there."""
        upload = self._uploads.pop(number, None)
        if upload is not None:
            upload.close()

    def _taken(self, number: int) -> BinaryIO:
        upload = self._upload(number)
        del self._uploads[number]
        upload.seek(0)
        return upload

    def _write_upload(self, number: int, path: str, append: bool, mode: int | None) -> None:  # noqa: FBT001 - from afar
        with closing(self._taken(number)) as upload:
            self._files.write_bytes(path, _pieces(upload), append=append, mode=mode)

    def _unpack(self, number: int, path: str, links: Links) -> Unpacked:
        with closing(self._taken(number)) as upload:
            return self._files.unpack(path, _pieces(upload), links=links)

    # --- watching ---------------------------------------------------------------------------------

    def _watch(self, path: str) -> int:
        if len(self._watches) >= MOST_OPEN:
            raise OverLimit(f"{MOST_OPEN} paths are watched already; close one of the watches")
        number = next(self._numbers)
        self._watches[number] = self._files.watch(path)
        return number

    def _changes(self, number: int, wait_s: float) -> list[FileChange]:
        """What has changed, as soon as something has; nothing after that time."""
        watch = self._watches.get(number)
        if watch is None:
            raise NotFound(f"there is no watch {number} here (any more); begin again")
        return watch.wait(min(wait_s, MOST_WAIT_S))

    def _unwatch(self, number: int) -> None:
        watch = self._watches.pop(number, None)
        if watch is not None:
            watch.close()


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    while piece := file.read(PIECE):
        yield piece


def _gathered(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces that are worth a call each."""
    held: list[bytes] = []
    size = 0
    for piece in pieces:
        if size + len(piece) > PIECE and held:
            yield b"".join(held)
            held, size = [], 0
        held.append(piece)
        size += len(piece)
    if size:
        yield b"".join(held)
