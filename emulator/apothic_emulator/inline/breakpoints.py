"""`breakpoint()` and post-mortem debugging where calls run in the user's own process."""

from __future__ import annotations

import sys
import threading
from bdb import BdbQuit
from types import FrameType
from typing import TextIO

from apothic_emulator.executors.debugger import Debugger, missed
from apothic_emulator.inline.calls import CURRENT, Call

_turn_lock = threading.Lock()
_ALONE = "there is no terminal to type at"


class OwnTurn:
    """The program's terminal, for one thread at a time."""

    def __init__(self) -> None:
        self._streams = _streams()
        self._is_taken = False

    @property
    def has_line_editing(self) -> bool:
        """Whether Python itself edits what is typed."""
        return self._streams[0] is sys.__stdin__

    def take(self) -> tuple[TextIO, TextIO]:
        """Wait until no other thread talks."""
        if not self._is_taken:
            _turn_lock.acquire()
            self._is_taken = True
        return self._streams

    def give(self) -> None:
        """Let the next thread talk."""
        if self._is_taken:
            self._is_taken = False
            _turn_lock.release()


def _streams() -> tuple[TextIO, TextIO]:
    """Where the person is: at the standard streams, else at the terminal behind them.

    Raises:
        OSError: there is nobody.
    """
    typed, shown = sys.__stdin__, sys.__stdout__
    if typed is not None and shown is not None and typed.isatty() and shown.isatty():
        return typed, shown
    try:
        reader = open("/dev/tty", encoding="utf-8", errors="replace")  # noqa: PTH123, SIM115
        writer = open("/dev/tty", "w", 1, "utf-8", "replace")  # noqa: PTH123, SIM115
    except OSError:
        raise OSError(_ALONE) from None
    return reader, writer


def stop(frame: FrameType, *, header: str | None = None) -> None:
    """Stop at the line with the `breakpoint()`, in the name of the call."""
    call = CURRENT.get()
    title = _title(call) if call is not None else "Pdb"
    try:
        debugger = (call.debugger if call is not None else None) or _debugger(title)
    except OSError as error:
        sys.stderr.write(missed(frame, title, str(error)))
        return
    if call is not None:
        call.debugger = debugger
    debugger.stop_at(frame, header=header)


def look_at(call: Call, error: BaseException) -> None:
    """Prompt where an exception came from; what a call of its own raised has been looked at."""
    if type(error.__cause__).__name__ == "RemoteTraceback" or isinstance(error, BdbQuit):
        return
    try:
        _debugger(_title(call)).look_at(error)
    except OSError as missing:
        told = f"{_title(call)}: {type(error).__qualname__}: {error}"
        sys.stderr.write(f"apothic: {told}; no post-mortem: {missing}\n")


def _debugger(title: str) -> Debugger:
    turn = OwnTurn()
    return Debugger(title, turn, has_line_editing=turn.has_line_editing)


def _title(call: Call) -> str:
    return f"{call.name} {call.job_id}"
