"""What user code prints: into pipes that the host reads, with marks that say whose it is.

A mark is a token that only this executor and the host know, and a job's number: what follows
belongs to that job, or after number 0 to the job that the executor works on. Python's streams set
a mark before a job's first text; what C code or a child process prints goes without.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from typing import TextIO

from apothic_emulator.executors import linux
from apothic_emulator.executors.calls import CURRENT


class _Pipe(io.RawIOBase):
    """The raw end of a text stream: writes marks where the job changes."""

    def __init__(self, fd: int, token: bytes) -> None:
        super().__init__()
        self.fd = fd
        self.owner = 0
        self.token = token

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self.fd

    def write(self, data: bytes | bytearray | memoryview, /) -> int:  # type: ignore[override]
        """Write all of it; a mark and its text leave in one piece."""
        current = CURRENT.get()
        owner = current[0] if current is not None else 0
        whole = bytes(data)
        if owner != self.owner:
            self.owner = owner
            whole = self.mark(owner) + whole
        view = memoryview(whole)
        while view:
            view = view[os.write(self.fd, view) :]
        return len(data)

    def mark(self, owner: int) -> bytes:
        return self.token + owner.to_bytes(8, "little")

    def close_job(self) -> bool:
        """At the end of a job: whether the host has text to read before it hears of the end."""
        try:
            if not linux.unread(self.fd):
                return False
            self.owner = 0
            os.write(self.fd, self.mark(0))
        except OSError:
            return False  # user code closed the pipe: there is nothing to wait for
        return True


class Output:
    """Standard output and error of this process, captured."""

    def __init__(self, out_fd: int, err_fd: int, token: bytes) -> None:
        for number, fd in ((1, out_fd), (2, err_fd)):
            os.dup2(fd, number)
        self._pipes = (_Pipe(out_fd, token), _Pipe(err_fd, token))
        self._flushes: list[Callable[[], None]] = []
        sys.stdout = self._text(self._pipes[0], line_buffering=False)
        sys.stderr = self._text(self._pipes[1], line_buffering=True)
        sys.__stdout__, sys.__stderr__ = sys.stdout, sys.stderr  # type: ignore[misc]

    def _text(self, pipe: _Pipe, *, line_buffering: bool) -> TextIO:
        stream = io.TextIOWrapper(
            pipe,  # type: ignore[arg-type]  # raw: a buffer of its own would hide whose text it is
            encoding="utf-8",
            errors="backslashreplace",
            line_buffering=line_buffering,
            write_through=not line_buffering,
        )
        return stream

    def end_job(self) -> bool:
        """Push everything out; whether the host has to read before it hears of the end."""
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError, AttributeError):
                continue  # replaced or closed by user code
        linux.flush_c_streams(None)
        first = self._pipes[0].close_job()
        return self._pipes[1].close_job() or first
