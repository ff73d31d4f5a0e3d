"""Pdb for code that runs for a job: at a terminal of its own, and only in the user's code."""

from __future__ import annotations

import os
import pdb
import sys
from bdb import BdbQuit
from dis import opname
from types import FrameType, TracebackType
from typing import Any, Protocol, TextIO

_OURS = ("apothic", "apothic_backends", "apothic_emulator", "asyncio")
"""Packages of which a person who debugs wants to see nothing."""

_SKIPPED = (*_OURS, *(f"{name}.*" for name in _OURS), "selectors", "namedtuple_*")
_SUSPENDS = 0x20 | 0x80 | 0x200
"""Flags of code whose frame may return and go on later: generators and coroutines."""

_LIBRARY = os.path.dirname(os.__file__)  # noqa: PTH120 - compared as text
_INSTALLED = ("site-packages", "dist-packages")


class Turn(Protocol):
    """The right to talk to the person at the terminal."""

    def take(self) -> tuple[TextIO, TextIO]:
        """Wait for it, unless it is taken already; gives what to read from and to write to."""
        ...

    def give(self) -> None:
        """Let the next one have it, if it is taken."""
        ...


class Quit(BdbQuit):
    """A person has ended the call; nobody wants to see it tried again. Travels as `BdbQuit`."""

    __apothic_final__ = True

    def __reduce__(self) -> tuple[Any, ...]:
        return (BdbQuit, self.args)


Quit.__module__, Quit.__name__, Quit.__qualname__ = "bdb", "BdbQuit", "BdbQuit"


class Debugger(pdb.Pdb):
    """A Pdb that takes its turn when it prompts, and gives it back when the code goes on."""

    def __init__(self, title: str, turn: Turn, *, has_line_editing: bool = False) -> None:
        reader, writer = turn.take()
        super().__init__(stdin=reader, stdout=writer, skip=_SKIPPED, nosigint=True)
        self.prompt = f"({title}) "
        if has_line_editing:
            self.use_rawinput = True
        self._title = title
        self._turn = turn
        self._goes_on = False
        self._is_tracing = False
        self._unwinding: FrameType | None = None
        self._before: Any = None
        """What traced this thread before, such as a measure of coverage."""

    # --- turns ----------------------------------------------------------------------------------

    def set_trace(self, *args: Any, **kwargs: Any) -> None:
        """Stop at the next line of a frame."""
        if not self._is_tracing:
            self._is_tracing = True
            self._before = sys.gettrace()
        super().set_trace(*args, **kwargs)

    def stop_at(self, frame: FrameType, *, header: str | None = None) -> None:
        """What `breakpoint()` asks for, with the arguments of `pdb.set_trace`."""
        if header is not None:
            self._turn.take()
            self.message(header)
        self.set_trace(frame)

    def interaction(self, *args: Any, **kwargs: Any) -> None:
        """Prompt until the code is to go on."""
        self._turn.take()
        self._goes_on = False
        try:
            super().interaction(*args, **kwargs)
        finally:
            if self._goes_on:
                self._turn.give()

    def set_continue(self) -> None:
        """Go on to the next breakpoint, if there is one."""
        self._goes_on = True
        super().set_continue()

    def set_quit(self) -> None:
        """End what is debugged."""
        self._goes_on = True
        super().set_quit()

    def trace_dispatch(self, frame: FrameType, event: str, arg: Any) -> Any:
        """Stop where there is a reason to; `quit` ends the call with an error that says so."""
        try:
            return super().trace_dispatch(frame, event, arg)
        except BdbQuit:
            raise Quit(f"the debugger was told to quit in {self._title}") from None

    def dispatch_exception(self, frame: FrameType, arg: Any) -> Any:
        """An exception passes; if the frame goes on it was caught."""
        self._unwinding = frame
        return super().dispatch_exception(frame, arg)

    def dispatch_line(self, frame: FrameType) -> Any:
        """A line begins."""
        self._unwinding = None
        return super().dispatch_line(frame)

    def dispatch_return(self, frame: FrameType, arg: Any) -> Any:
        """A frame returns; behind the call's own there is nothing to step through."""
        done = super().dispatch_return(frame, arg)
        if _is_the_calls_own(frame) and self._is_over(frame):
            self.set_continue()
            self._turn.give()
        return done

    def _is_over(self, frame: FrameType) -> bool:
        if not frame.f_code.co_flags & _SUSPENDS or self._unwinding is frame:
            return True
        return opname[frame.f_code.co_code[frame.f_lasti]].startswith("RETURN")

    def leave(self) -> None:
        """The call has ended: trace nothing more."""
        sys.settrace(self._before)
        frame: FrameType | None = sys._getframe()  # noqa: SLF001 - there is no other way to it
        while frame is not None:
            if getattr(frame.f_trace, "__self__", None) is self:
                frame.f_trace = None
            frame = frame.f_back
        self._turn.give()

    # --- after an exception ---------------------------------------------------------------------

    def look_at(self, error: BaseException) -> None:
        """Prompt in the frame of the user's code that an exception came from."""
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None and _is_ours(trace.tb_frame):
            trace = trace.tb_next
        self.message(f"{self._title}: {type(error).__qualname__}: {error}")
        self.message("(post-mortem; q goes on)")
        self.reset()
        self.interaction(None, trace)
        self._turn.give()

    def get_stack(
        self, f: FrameType | None, t: TracebackType | None
    ) -> tuple[list[tuple[FrameType, int]], int]:
        """The stack without our frames, and where to begin: in the user's own code."""
        whole, index = super().get_stack(f, t)
        stack = [entry for i, entry in enumerate(whole) if i == index or not _is_ours(entry[0])]
        index = stack.index(whole[index])
        if t is not None:
            own = [i for i, (frame, _) in enumerate(stack) if _is_users(frame)]
            index = own[-1] if own else index
        return stack, index


def _package(frame: FrameType | None) -> str:
    return "" if frame is None else str(frame.f_globals.get("__name__")).partition(".")[0]


def _is_ours(frame: FrameType) -> bool:
    """Whether a frame is ours, or the little program that a worker began with."""
    return _package(frame) in _OURS or frame.f_code.co_filename == "<string>"


def _is_the_calls_own(frame: FrameType) -> bool:
    """Whether it is the frame of the function that is called, the outermost of the user's."""
    return not _is_ours(frame) and _package(frame.f_back) == "apothic_emulator"


def _is_users(frame: FrameType) -> bool:
    file = frame.f_code.co_filename
    is_installed = file.startswith((_LIBRARY, "<frozen")) or any(p in file for p in _INSTALLED)
    return not is_installed and not _is_ours(frame)


def missed(where: FrameType, title: str, why: str) -> str:
    """The line that tells of a breakpoint at which nobody could stop."""
    place = f"{where.f_code.co_filename}:{where.f_lineno}"
    return f"apothic: breakpoint() at {place} in {title} was passed: {why}\n"
