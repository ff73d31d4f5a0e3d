"""Where talk goes: stderr, with rows at the bottom that change where it is a terminal.

    a line of a job            lines scroll by, as anything that is printed
    a line of another job
    infer  ====----  3/10      rows: erased before anything else is printed, drawn again below it

The cursor stays where it is and stays visible, so that nothing has to be restored, however the
program ends. Lines are written to the descriptor itself: a thread that is held up there by a
reader who reads nothing holds no lock that the interpreter wants at its end.
"""

from __future__ import annotations

import os
import select
import sys
import threading
from collections.abc import Iterable, Sequence
from typing import Any, Self, TextIO

_HURRY_S = 1.0
"""How long a reader may hold up the end of the program."""


class Screen:
    """Writes lines, and rows below them; what cannot be written is dropped."""

    def __init__(self, stream: TextIO) -> None:
        self.is_open = True
        self._stream = stream
        self._lock = threading.RLock()
        self._rows: Sequence[str] = ()
        self._is_mid_line = False
        """Whether others have written something that has no newline yet."""
        self._restored: list[tuple[str, Any]] = []

    def __enter__(self) -> Self:
        """Give way to whatever else this process prints on a terminal."""
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if stream is not None and stream.isatty():
                self._restored.append((name, stream))
                setattr(sys, name, Beside(stream, self))
        return self

    def __exit__(self, *_: object) -> None:
        """Erase the rows, unless nobody reads them, and leave."""
        if self._lock.acquire(timeout=_HURRY_S):
            self.show([])
            self._lock.release()
        for name, stream in self._restored:
            setattr(sys, name, stream)
        self._restored.clear()

    @property
    def width(self) -> int:
        """Columns of the terminal."""
        try:
            return os.get_terminal_size(self._stream.fileno()).columns or 80
        except (OSError, ValueError):
            return 80

    def show(self, lines: Sequence[str], rows: Sequence[str] = ()) -> None:
        """Print lines, and have these rows below them."""
        with self._lock:
            if self._is_mid_line:
                rows = ()
            if not lines and list(rows) == list(self._rows):
                return
            start = self._erasure()
            if lines and self._is_mid_line:
                start = "\n"
                self._is_mid_line = False
            text = "".join(f"{line}\n" for line in lines)
            self._rows = rows
            self._write(start + text + "\n".join(rows))

    def beside(self, stream: TextIO, text: str) -> int:
        """Have something else printed on the same terminal."""
        with self._lock:
            erasure = self._erasure()
            if erasure:
                self._rows = ()
                self._write(erasure)
            written = stream.write(text)
            stream.flush()
            if text:
                self._is_mid_line = not text.endswith("\n")
            return written

    def _erasure(self) -> str:
        """What puts the cursor to where the rows begin, and clears from there."""
        up = len(self._rows) - 1
        return "" if up < 0 else f"\r\x1b[{up}A\x1b[J" if up else "\r\x1b[J"

    def _write(self, text: str) -> None:
        if not self.is_open or not text:
            return
        try:
            self._write_all(text)
        except (OSError, ValueError):  # its reader has gone
            self.is_open = False

    def _write_all(self, text: str) -> None:
        try:
            fd = self._stream.fileno()
        except (OSError, ValueError, AttributeError):
            self._stream.write(text)
            self._stream.flush()
            return
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        left = memoryview(text.encode(encoding, "backslashreplace"))
        while left:
            try:
                left = left[os.write(fd, left) :]
            except BlockingIOError:  # somebody has made the terminal non-blocking
                select.select([], [fd], [])


class Beside:
    """A stream of this process that leads to the same terminal as the rows."""

    def __init__(self, stream: TextIO, screen: Screen) -> None:
        self._stream = stream
        self._screen = screen

    def write(self, text: str) -> int:
        """Print where the rows were; they are drawn again below it."""
        return self._screen.beside(self._stream, text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Print all of them."""
        self.write("".join(lines))

    def __getattr__(self, name: str) -> Any:
        """Whatever else the stream can do."""
        return getattr(self._stream, name)
