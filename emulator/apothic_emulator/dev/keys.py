"""Keys that are pressed at the terminal, one by one, while nobody else talks there."""

from __future__ import annotations

import fcntl
import os
import termios
from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager
from typing import Any

import anyio

STDIN = 0
_BUSY_S = 0.2
"""How often it is looked whether a debugger has ended, which has the terminal meanwhile."""


async def keys() -> AsyncGenerator[str]:
    """Each key that is pressed; none where stdin is no terminal."""
    if not os.isatty(STDIN):
        return
    with _single_keys():
        while True:
            await anyio.wait_readable(STDIN)
            if not _is_ours():
                await anyio.sleep(_BUSY_S)
                continue
            try:
                pressed = os.read(STDIN, 1)
            except OSError:
                return
            finally:
                fcntl.flock(STDIN, fcntl.LOCK_UN)
            if not pressed:
                return
            yield pressed.decode("latin-1")


def _is_ours() -> bool:
    """Whether no debugger of a worker talks at the terminal: it would hold the lock on it."""
    try:
        fcntl.flock(STDIN, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


@contextmanager
def _single_keys() -> Generator[None]:
    """Have keys come as they are pressed; Ctrl-C is a signal as ever."""
    before: list[Any] = termios.tcgetattr(STDIN)
    wanted = [*before]
    wanted[3] &= ~(termios.ICANON | termios.ECHO)
    termios.tcsetattr(STDIN, termios.TCSANOW, wanted)
    try:
        yield
    finally:
        termios.tcsetattr(STDIN, termios.TCSANOW, before)
