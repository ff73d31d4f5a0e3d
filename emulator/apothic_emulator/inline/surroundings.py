"""What calls find around them in the user's own process, and what they leave as it was.

Text that a call prints goes into its log as always, and at once to stderr too, so that nothing
waits unseen and stdout stays the program's. Text that is written below Python is not seen here.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from io import TextIOBase
from typing import Any, TextIO

from apothic_emulator.core.facts import Input, Printed
from apothic_emulator.executors.breakpoints import wants_pdb
from apothic_emulator.executors.world import World
from apothic_emulator.inline.calls import CURRENT, Call

Post = Callable[[Input], None]


class Echo(TextIOBase):
    """Stands in for a standard stream: what a call prints is kept, and shown on stderr."""

    def __init__(self, name: str, original: TextIO, shown_on: TextIO, post: Post) -> None:
        self._name = name
        self._original = original
        self._shown_on = shown_on
        self._post = post

    def write(self, text: str, /) -> int:
        """Write for the call that this thread or task works on; else as if we were not there."""
        call = CURRENT.get()
        if call is None:
            return self._original.write(text)
        if call.purse is None:
            self._tell(call, self._name, text)
        else:
            self._tell_hidden(call, text)
        return len(text)

    def _tell(self, call: Call, stream: str, text: str) -> None:
        self._post(Printed(call.executor, call.job, stream, text))
        self._shown_on.write(text)
        self._shown_on.flush()

    def _tell_hidden(self, call: Call, text: str) -> None:
        if call.texts is None:
            call.texts = call.purse.texts()
            call.tell = self._tell
        for stream, shown in call.texts.feed(self._name, text):
            self._tell(call, stream, shown)

    def flush(self) -> None:
        """Flush what is behind it."""
        self._original.flush()

    def close(self) -> None:
        """Stay open: it is not the call's to close."""

    def writable(self) -> bool:
        """It is."""
        return True

    def isatty(self) -> bool:
        """Whether a person reads along."""
        return self._original.isatty()

    def fileno(self) -> int:
        """That of the stream behind it."""
        return self._original.fileno()

    def __getattr__(self, name: str) -> Any:
        """Everything else is that of the stream behind it."""
        return getattr(self._original, name)


class Surroundings:
    """In place while calls run, in however many threads, and nested as deep as they may."""

    def __init__(self, post: Post) -> None:
        self._post = post
        self._lock = threading.Lock()
        self._depth = 0
        self._before: tuple[TextIO, TextIO] = sys.stdout, sys.stderr
        self._ours: tuple[Any, Any] = self._before
        self._world: World | None = None

    def __enter__(self) -> None:
        """A call begins."""
        with self._lock:
            self._depth += 1
            if self._depth == 1:
                self._world = World()
                self._before = out, err = sys.stdout, sys.stderr
                self._ours = (
                    Echo("stdout", out, err, self._post),
                    Echo("stderr", err, err, self._post),
                )
                sys.stdout, sys.stderr = self._ours
                if _is_pythons_own():
                    sys.breakpointhook = _stop_here

    def __exit__(self, *exc: object) -> None:
        """A call has ended; with the last, everything is as it was before the first."""
        with self._lock:
            self._depth -= 1
            if self._depth == 0:
                if sys.stdout is self._ours[0]:
                    sys.stdout = self._before[0]
                if sys.stderr is self._ours[1]:
                    sys.stderr = self._before[1]
                if sys.breakpointhook is _stop_here:
                    sys.breakpointhook = sys.__breakpointhook__
                if self._world is not None:
                    self._world.restore()


def _is_pythons_own() -> bool:
    """Whether nobody else (the environment, a test runner) has a say in `breakpoint()`."""
    pdb: Any = sys.modules.get("pdb")
    is_patched = pdb is not None and pdb.set_trace.__module__ != "pdb"
    is_pythons = sys.breakpointhook is sys.__breakpointhook__
    return wants_pdb() and not is_patched and is_pythons


def _stop_here(*, header: str | None = None) -> None:
    """What `breakpoint()` does in a call."""
    from apothic_emulator.inline.breakpoints import stop  # brings pdb  # noqa: PLC0415

    stop(sys._getframe(1), header=header)  # noqa: SLF001 - the line with the breakpoint
