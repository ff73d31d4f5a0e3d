"""What user code prints: into pipes that the host reads, with marks that say whose it is.

A mark is a token that only this executor and the host know, and a job's number: what follows
belongs to that job, or after number 0 to the job that the executor works on. Python's streams set
a mark where the job changes; what C code or a child process prints goes without. `END` closes the
text of the job that is reported next: the host reads up to there before it believes the report.
"""

from __future__ import annotations

import io
import os
import sys
from mmap import mmap
from select import PIPE_BUF
from typing import TextIO

from apothic_emulator.executors import linux, wire
from apothic_emulator.executors.calls import CURRENT
from apothic_emulator.executors.world import active

_NOBODY = -1
"""In place of the owner of the text before, where that is not known."""


class _Pipe(io.RawIOBase):
    """The raw end of a text stream: writes marks where the job changes."""

    def __init__(self, fd: int, token: bytes) -> None:
        super().__init__()
        self._fd = fd
        self._owner = 0
        self._token = token

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._fd

    def write(self, data: bytes | bytearray | memoryview, /) -> int:  # type: ignore[override]
        """Write all of it; a mark and its text leave in one piece."""
        current = CURRENT.get()
        owner = current[0] if current is not None else 0
        whole = bytes(data)
        if len(active) > 1:
            self._write_among_threads(owner, whole)
            return len(data)
        if owner != self._owner:
            self._owner = owner
            whole = self._mark(owner) + whole
        view = memoryview(whole)
        while view:
            view = view[os.write(self._fd, view) :]
        return len(data)

    def _write_among_threads(self, owner: int, whole: bytes) -> None:
        """Mark every piece, and let none be longer than what a pipe takes without a gap.

        Another thread may write between any two of them. A lock would hold up the others for ever
        if a call is stopped while it has it.
        """
        self._owner = _NOBODY
        mark = self._mark(owner)
        size = PIPE_BUF - len(mark)
        for start in range(0, len(whole), size):
            os.write(self._fd, mark + whole[start : start + size])

    def _mark(self, owner: int) -> bytes:
        return self._token + owner.to_bytes(8, "little")

    def has_text(self) -> bool:
        """Whether the host has something of this to read."""
        try:
            return linux.has_unread(self._fd)
        except OSError:
            return False  # user code closed the pipe: there is nothing to wait for

    def end_job(self) -> None:
        """Set the mark behind a job's text."""
        self._owner = 0
        try:
            os.write(self._fd, self._mark(wire.END))
        except OSError:
            return


class Output:
    """Standard output and error of this process, captured."""

    def __init__(self, out_fd: int, err_fd: int, token: bytes, shared: int) -> None:
        self.flags = mmap(shared, wire.SHARED_FLAGS)
        """What the host can see of this process at any time, see `wire.SHARED_FLAGS`."""
        self._fds, self._token = (out_fd, err_fd), token
        self._install()
        self.restore()

    def _install(self) -> None:
        self._out, self._err = (_Pipe(fd, self._token) for fd in self._fds)
        self._ours = _text(self._out), _text(self._err)
        sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__ = self._ours

    def flush(self) -> None:
        """Push out what is held back: nothing by our streams, but by C's and by user code's own."""
        if sys.stdout is not self._ours[0] or sys.stderr is not self._ours[1]:
            for stream in (sys.stdout, sys.stderr):
                try:
                    stream.flush()
                except Exception:  # noqa: BLE001, S112 - closed, None, or anything else
                    continue
        linux.flush_c_streams(None)

    def restore(self) -> None:
        """Make printing work again if a call has closed something."""
        for number, fd in enumerate(self._fds, 1):
            os.dup2(fd, number)
        if self._ours[0].closed or self._ours[1].closed:
            self._install()

    def end_job(self) -> bool:
        """Close the text of a job; whether the host has to read before it hears of the end.

        The flags are looked at last: the host sets one before it reads, so text that lies in its
        pipe no more has left it set. Only the host takes them back, once it knows of all it read.
        """
        is_there = self._out.has_text() or self._err.has_text()
        if not (is_there or self.flags[0] or self.flags[1]):
            return False
        self._out.end_job()
        self._err.end_job()
        return True


def _text(pipe: _Pipe) -> TextIO:
    """A text stream that keeps nothing to itself, as its process may die at any moment."""
    return io.TextIOWrapper(
        pipe,  # type: ignore[arg-type]  # raw: a buffer of its own would hide whose text it is
        encoding="utf-8",
        errors="backslashreplace",
        write_through=True,
    )
