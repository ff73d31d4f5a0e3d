"""`breakpoint()` in a worker: a Pdb at the terminal of the user's program.

The host says which terminal that is. A worker is in a session of its own, so it opens the terminal
without becoming its owner: Ctrl-C there still goes to the user's program, which cancels its jobs.
One worker at a time talks: a lock on the terminal itself says whose turn it is, and the system
drops it with its process. Meanwhile the clock of the job stands still.
"""

from __future__ import annotations

import fcntl
import os
import sys
from importlib import import_module
from types import FrameType
from typing import Any, Protocol, TextIO

from apothic_emulator.executors import calls


class Debugging(Protocol):
    """A debugger, as far as an executor needs to know it."""

    def stop_at(self, frame: FrameType, *, header: str | None = None) -> None:
        """Stop at the next line."""
        ...

    def leave(self) -> None:
        """The call has ended."""
        ...


class Breakpoints:
    """What `breakpoint()` does in this executor."""

    def __init__(self, name: str, terminal: str) -> None:
        self._name = name
        self._terminal = terminal
        self.at_work: dict[int, Debugging] = {}
        """The debuggers of calls that have come to a breakpoint."""

    def install(self) -> None:
        """Stand in for Python's own hook."""
        sys.breakpointhook = self.hook

    def hook(self, *args: Any, **kwargs: Any) -> Any:
        """Stop here, unless `PYTHONBREAKPOINT` says otherwise."""
        if not wants_pdb():
            return sys.__breakpointhook__(*args, **kwargs)  # noqa: T100 - Python's own
        debugger: Any = import_module("apothic_emulator.executors.debugger")  # 40 ms
        frame: FrameType = sys._getframe(1)  # noqa: SLF001 - the line with the breakpoint
        current = calls.CURRENT.get()
        job = current[0] if current is not None else 0
        title = f"{self._name} jobs:{job}" if job else f"{self._name}, while it is loaded,"
        found = self.at_work.get(job)
        if found is None:
            try:
                turn = self._turn(job)
                found = self.at_work[job] = debugger.Debugger(title, turn)
            except OSError as error:
                sys.stderr.write(debugger.missed(frame, title, str(error)))
                return None
        found.stop_at(frame, **kwargs)
        return None

    def _turn(self, job: int) -> TerminalTurn:
        if not job:
            raise OSError("nobody can stop in an import; `apothic run --inline` can")
        if not self._terminal:
            raise OSError("there is no terminal; debug with `apothic run --inline` at one")
        return TerminalTurn(self._terminal, job)

    def leave(self, job: int) -> None:
        """A call has ended."""
        found = self.at_work.pop(job, None)
        if found is not None:
            found.leave()


class TerminalTurn:
    """The lock on the terminal, and the clock of the job, which stands still with it."""

    def __init__(self, path: str, job: int) -> None:
        fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        self._job = job
        self._reader = open(fd, encoding="utf-8", errors="replace")  # noqa: PTH123, SIM115
        self._writer = open(os.dup(fd), "w", 1, "utf-8", "replace")  # noqa: PTH123, SIM115
        self._is_taken = False

    def take(self) -> tuple[TextIO, TextIO]:
        """Stop the clock, and wait until no other worker talks."""
        if not self._is_taken:
            self._is_taken = True
            _hold(self._job, held=True)
            fcntl.flock(self._reader, fcntl.LOCK_EX)
        return self._reader, self._writer

    def give(self) -> None:
        """Let the next one talk; the clock goes on."""
        if self._is_taken:
            self._is_taken = False
            fcntl.flock(self._reader, fcntl.LOCK_UN)
            _hold(self._job, held=False)


def wants_pdb() -> bool:
    """Whether `breakpoint()` means Pdb here, as far as the environment says."""
    return os.environ.get("PYTHONBREAKPOINT", "") in ("", "pdb.set_trace")


def _hold(job: int, *, held: bool) -> None:
    """Tell the control plane; one that does not answer keeps nobody from debugging."""
    try:
        session: Any = import_module("apothic_emulator.executors.session")
        session.hold(job, held=held)
    except Exception:  # noqa: BLE001, S110 - the deadline holds then, and no more is lost
        pass
