"""Ctrl-C, held back while shared state changes and let through while a thread only waits.

Python runs a signal's handler between any two bytecodes of the main thread. A KeyboardInterrupt
raised halfway through a step would tear the control plane, so the main thread puts a handler of
ours in front for the length of a blocking call, and gives the old one back afterwards:

    with DEFERRED:                  # Ctrl-C is remembered
        ticket = backend.start(command)
        with WINDOW:                # Ctrl-C goes to the handler that was there before
            poll()

Nothing is installed between calls, so `asyncio.run` and trio find the handler that they expect.
On other threads, where no handler ever runs, both blocks do nothing.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

_signal: Any = __import__("_signal")  # `signal` itself wraps these in enums, at 3 us a call
_get_handler: Callable[[int], Any] = _signal.getsignal
_set_handler: Callable[[int, Any], Any] = _signal.signal
_get_ident = threading.get_ident
SIGINT = 2

_Handler = Callable[[int, FrameType | None], Any]


class _Deferred:
    """Holds Ctrl-C back until the outermost block ends."""

    def __init__(self) -> None:
        self.main = threading.main_thread().ident
        self.depth = 0
        self.is_open = False
        self.is_pending = False
        self.previous: _Handler | None = None
        self.shut: list[int] = []
        self.held = self.hold
        """Bound once, for it is put in place with every blocking call."""

    def hold(self, signum: int, frame: FrameType | None) -> None:
        """Stand in for the user's handler: remember, or pass on where it does no harm."""
        if self.is_open and self.previous is not None:
            self.previous(signum, frame)
        else:
            self.is_pending = True

    def deliver(self) -> None:
        """Hand over an interrupt that was held back."""
        if self.is_pending and self.previous is not None:
            self.is_pending = False
            self.previous(SIGINT, None)

    def __enter__(self) -> None:
        if _get_ident() != self.main:
            return
        if self.depth == 0:
            previous = _get_handler(SIGINT)
            if callable(previous):
                self.previous = previous
                _set_handler(SIGINT, self.held)
        elif self.is_open:  # user code in a window makes a blocking call of its own
            self.is_open = False
            self.shut.append(self.depth)
        self.depth += 1

    def __exit__(self, *exc: object) -> None:
        if _get_ident() != self.main:
            return
        self.depth -= 1
        if self.depth == 0 and self.previous is not None:
            previous = self.previous
            _set_handler(SIGINT, previous)
            self.previous = None
            if self.is_pending:
                self.is_pending = False
                previous(SIGINT, None)
        elif self.shut and self.shut[-1] == self.depth:
            self.shut.pop()
            self.is_open = True
            self.deliver()


class _Window:
    """Lets Ctrl-C through inside a deferred block, for a wait that holds nothing."""

    def __enter__(self) -> None:
        if threading.get_ident() != DEFERRED.main or DEFERRED.depth == 0:
            return
        DEFERRED.is_open = True
        if DEFERRED.is_pending:
            DEFERRED.is_open = False
            DEFERRED.deliver()
            DEFERRED.is_open = True

    def __exit__(self, *exc: object) -> None:
        if threading.get_ident() == DEFERRED.main:
            DEFERRED.is_open = False


DEFERRED = _Deferred()
WINDOW = _Window()
os.register_at_fork(after_in_child=DEFERRED.__init__)
