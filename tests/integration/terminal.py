"""A program at a real pseudo-terminal, and a person who answers its prompts."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

PATIENCE_S = 20.0

TAKE_TERMINAL = """
import os, sys
os.close(os.open(os.ttyname(0), os.O_RDWR))
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""
"""The first terminal that the leader of a session opens is the session's own."""

Exchange = tuple[str, str]
"""What to wait for, and what to type then."""


class Talk(NamedTuple):
    """What was seen on the terminal, on stdout where that is no terminal, and the exit code."""

    shown: str
    stdout: str
    code: int


def talk(
    arguments: list[str],
    exchanges: Iterable[Exchange],
    folder: Path,
    *,
    stdout: int | None = None,
    **environment: str,
) -> Talk:
    """Run Python with these arguments at a terminal of its own until it ends."""
    ours, theirs = os.openpty()
    program = subprocess.Popen(
        [sys.executable, "-c", TAKE_TERMINAL, *arguments],
        stdin=theirs,
        stdout=theirs if stdout is None else stdout,
        stderr=theirs,
        cwd=folder,
        env={**os.environ, **environment},
        start_new_session=True,
    )
    os.close(theirs)
    try:
        shown = _converse(ours, list(exchanges))
        printed = program.stdout.read().decode() if program.stdout else ""
        return Talk(shown, printed, program.wait(PATIENCE_S))
    finally:
        program.kill()
        program.wait()
        if program.stdout:
            program.stdout.close()
        os.close(ours)


def _converse(terminal: int, exchanges: list[Exchange]) -> str:
    """Answer each prompt in turn; all that was shown until the program closed the terminal."""
    shown, heard, deadline = "", 0, time.monotonic() + PATIENCE_S
    while select.select([terminal], [], [], max(0.0, deadline - time.monotonic()))[0]:
        piece = b""
        with suppress(OSError):  # how Linux says that nobody has it open any more
            piece = os.read(terminal, 4096)
        if not piece:
            assert not exchanges, f"never asked {exchanges[0]}:\n{shown}"
            return shown
        shown += piece.decode(errors="replace").replace("\r\n", "\n")
        if exchanges and (at := shown.find(exchanges[0][0], heard)) >= 0:
            heard = at + len(exchanges[0][0])
            os.write(terminal, exchanges.pop(0)[1].encode())
    raise AssertionError(f"waited {PATIENCE_S} s in vain for {exchanges[:1]}:\n{shown}")
