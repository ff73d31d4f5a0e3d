"""An executor's log pipe from the reading end: bytes into text, each piece with its owner."""

from __future__ import annotations

import codecs
import os
from mmap import mmap

from apothic_emulator.executors.wire import END

_CHUNK = 64 * 1024
_MOST_READS = 1 + (1 << 20) // _CHUNK
"""Empties the largest pipe; after that many, somebody writes faster than we read."""
_MOST_AHEAD = 1 << 20
"""Text beyond the end of a job waits for the job's report, but not more than this."""

Read = tuple[str, list[tuple[int, str]]]
"""What was in a stream: its name, and pieces of text with the jobs that they are of."""


class LogPipe:
    """Reads one stream of one executor, and tells whose text it is by the marks in it.

    What follows the end of a job stays here until that job's report has been taken, so that text
    of the next one is not believed to be the first one's.
    """

    def __init__(self, fd: int, stream: str, token: bytes, flags: mmap) -> None:
        os.set_blocking(fd, False)
        self._flags = flags
        self._flag = 0 if stream == "stdout" else 1
        self.fd = fd
        self.stream = stream
        self.is_open = True
        self._owner = 0
        self._token = token
        self._rest = b""
        self._is_at_end = False
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def read(self) -> list[tuple[int, str]]:
        """What lies in the pipe now, at most one chunk: (job number or 0, text) in order.

        The flag is set first, so that the executor never takes an empty pipe for one into which
        nothing was printed.
        """
        self._flags[self._flag] = 1
        try:
            data = os.read(self.fd, _CHUNK)
        except BlockingIOError:
            return []
        if not data:
            self.is_open = False
        return self.split(data)

    def read_to_end(self) -> list[tuple[int, str]]:
        """The rest of the text of a job that has ended."""
        found = self.split(b"")
        for _ in range(_MOST_READS):
            if self._is_at_end or not self.is_open:
                break
            before = len(self._rest)
            pieces = self.read()
            if not pieces and len(self._rest) == before and not self._is_at_end:
                break
            found += pieces
        if self._is_at_end and not self._rest:
            self._flags[self._flag] = 0  # of what comes next, nothing has been read
        self._is_at_end = False
        return found

    def read_all(self) -> list[tuple[int, str]]:
        """Whatever is left of an executor that is gone."""
        found: list[tuple[int, str]] = []
        for _ in range(_MOST_READS):
            found += self.read_to_end()
            if not self.is_open:
                break
        return found

    def split(self, data: bytes) -> list[tuple[int, str]]:
        """Cut bytes at the marks; an unfinished mark at the end waits for its rest."""
        pieces: list[tuple[int, str]] = []
        rest = self._rest + data if self._rest else data
        size = len(self._token) + 8
        at = rest.find(self._token)
        while at >= 0 and len(rest) >= at + size and not self._is_at_end:
            self._add(pieces, rest[:at])
            owner = int.from_bytes(rest[at + size - 8 : at + size], "little")
            self._is_at_end = owner == END
            self._owner = 0 if owner == END else owner
            rest = rest[at + size :]
            at = rest.find(self._token)
        if self._is_at_end and len(rest) <= _MOST_AHEAD:
            self._rest = rest
            return pieces
        self._is_at_end = False
        keep = len(rest) - at if at >= 0 else _overlap(rest, self._token)
        self._rest = rest[len(rest) - keep :]
        self._add(pieces, rest[: len(rest) - keep])
        return pieces

    def _add(self, pieces: list[tuple[int, str]], data: bytes) -> None:
        text = self._decoder.decode(data)
        if text:
            pieces.append((self._owner, text))


def _overlap(data: bytes, token: bytes) -> int:
    """How many bytes at the end of `data` could be the beginning of a token."""
    for size in range(min(len(token) - 1, len(data)), 0, -1):
        if data.endswith(token[:size]):
            return size
    return 0
