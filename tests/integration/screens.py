"""A terminal for programs to run in, and what a person would see on it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
from pathlib import Path

from tests.integration.support import PATIENCE_S, wait_until

COMMAND = [sys.executable, "-m", "apothic.cli"]
_CONTROLLED = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # so that Ctrl-C comes as a signal
os.execv(sys.argv[1], sys.argv[1:])
"""
_COLUMNS = 100
_TOKEN = re.compile(r"\x1b\[([0-?]*)[ -/]*([@-~])|(\r|\n|[^\r\n\x1b]+)")


class Page:
    """The lines that a terminal shows, for as many escape sequences as we use."""

    def __init__(self) -> None:
        self.lines = [""]
        self.row = self.column = 0

    def feed(self, text: str) -> None:
        for match in _TOKEN.finditer(text):
            number, letter, plain = match.groups()
            if letter == "A":
                self.row = max(0, self.row - int(number or 1))
            elif letter == "J":
                self.lines[self.row] = self.lines[self.row][: self.column]
                del self.lines[self.row + 1 :]
            elif plain == "\r":
                self.column = 0
            elif plain == "\n":
                self.row += 1
                self.lines += [""] * (self.row + 1 - len(self.lines))
            elif plain:
                line = self.lines[self.row].ljust(self.column)
                end = self.column + len(plain)
                assert end < _COLUMNS, f"{plain!r} is too long for the terminal"
                self.lines[self.row] = line[: self.column] + plain + line[end:]
                self.column = end


class Terminal:
    """A program whose standard streams are a terminal; `stdout` may be a pipe instead."""

    def __init__(
        self,
        *arguments: str,
        folder: Path,
        stdout: int | None = None,
        env: dict[str, str] | None = None,
    ) -> None:
        self._main, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 30, _COLUMNS, 0, 0))
        unset = {"CI", "NO_COLOR", "APOTHIC_OUTPUT"}
        base = {name: value for name, value in os.environ.items() if name not in unset}
        self.process = subprocess.Popen(
            [sys.executable, "-c", _CONTROLLED, *COMMAND, *arguments],
            stdin=terminal,
            stdout=terminal if stdout is None else stdout,
            stderr=terminal,
            cwd=folder,
            env={**base, "TERM": "xterm", **(env or {})},
            start_new_session=True,
        )
        os.close(terminal)
        self.raw = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        data = b""
        while True:
            try:
                piece = os.read(self._main, 65536)
            except OSError:  # the last who had it open has gone
                return
            data += piece
            self.raw = data.decode(errors="ignore")

    def wait_for(self, text: str) -> None:
        """Wait until it has been shown."""
        wait_until(lambda: text in self.raw, f"for {text!r}; there is {self.raw!r}")

    def press(self, keys: bytes) -> None:
        """Type."""
        os.write(self._main, keys)

    def end(self) -> int:
        """Wait for the end of the program; its exit code."""
        try:
            code = self.process.wait(PATIENCE_S * 2)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            raise
        self._reader.join(PATIENCE_S)
        os.close(self._main)
        return code

    def page(self) -> list[str]:
        """What stands on the terminal, colours aside."""
        page = Page()
        page.feed(self.raw)
        return [line.rstrip() for line in page.lines]
