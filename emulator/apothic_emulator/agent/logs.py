"""An executor's log pipe from the reading end: bytes into text, each piece with its owner."""

from __future__ import annotations

import codecs
import os

_CHUNK = 64 * 1024


class LogPipe:
    """Reads one stream of one executor, and tells whose text it is by the marks in it."""

    def __init__(self, fd: int, stream: str, token: bytes) -> None:
        os.set_blocking(fd, False)
        self.fd = fd
        self.stream = stream
        self.owner = 0
        self.is_open = True
        self._token = token
        self._rest = b""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def read(self) -> list[tuple[int, str]]:
        """What lies in the pipe now, at most one chunk: (job number or 0, text) in order."""
        try:
            data = os.read(self.fd, _CHUNK)
        except BlockingIOError:
            return []
        if not data:
            self.is_open = False
        return self.split(data)

    def drain(self) -> list[tuple[int, str]]:
        """Everything that lies in the pipe now."""
        found: list[tuple[int, str]] = []
        while self.is_open and (pieces := self.read()):
            found += pieces
        return found

    def split(self, data: bytes) -> list[tuple[int, str]]:
        """Cut bytes at the marks; an unfinished mark at the end waits for its rest."""
        data = self._rest + data
        pieces: list[tuple[int, str]] = []
        size = len(self._token) + 8
        while (at := data.find(self._token)) >= 0 and len(data) >= at + size:
            self._add(pieces, data[:at])
            self.owner = int.from_bytes(data[at + len(self._token) : at + size], "little")
            data = data[at + size :]
        keep = len(data) - at if at >= 0 else _overlap(data, self._token)
        self._rest = data[len(data) - keep :]
        self._add(pieces, data[: len(data) - keep])
        return pieces

    def _add(self, pieces: list[tuple[int, str]], data: bytes) -> None:
        text = self._decoder.decode(data)
        if text:
            pieces.append((self.owner, text))


def _overlap(data: bytes, token: bytes) -> int:
    """How many bytes at the end of `data` could be the beginning of a token."""
    for size in range(min(len(token) - 1, len(data)), 0, -1):
        if data.endswith(token[:size]):
            return size
    return 0
