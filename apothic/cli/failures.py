"""What went wrong, for people, and as an exit code, for scripts."""

from __future__ import annotations

import os
import sys
from enum import IntEnum
from functools import cache
from traceback import StackSummary, TracebackException, format_exception
from typing import Any

from click import ClickException

from apothic._serialize import RemoteTraceback
from apothic_backends.model.errors import (
    ApothicError,
    BackendError,
    EmulatorDead,
    Fenced,
    IdempotencyConflict,
    InternalError,
    JobError,
    JobTimeout,
    MemoryLimitExceeded,
    NoMachine,
    NotFound,
    StoreLocked,
    UsageError,
    WaitTimeout,
)
from apothic_backends.remote.errors import Busy, KeyRefused, NotAllowed


class ExitCode(IntEnum):
    """How a command ended."""

    DONE = 0
    RAISED = 1
    USAGE = 2
    KEY = 3
    NOT_FOUND = 4
    CONFLICT = 5
    CAPACITY = 6
    TIMEOUT = 7
    BUSY = 8
    LIMIT = 9
    BUG = 70
    INTERRUPTED = 130


CODES: tuple[tuple[type[BaseException], ExitCode], ...] = (
    (KeyboardInterrupt, ExitCode.INTERRUPTED),
    (JobTimeout, ExitCode.TIMEOUT),
    (MemoryLimitExceeded, ExitCode.LIMIT),
    (WaitTimeout, ExitCode.TIMEOUT),
    (EmulatorDead, ExitCode.BUG),
    (InternalError, ExitCode.BUG),
    (NoMachine, ExitCode.CAPACITY),
    (Busy, ExitCode.BUSY),
    (StoreLocked, ExitCode.BUSY),
    (BackendError, ExitCode.CAPACITY),
    (KeyRefused, ExitCode.KEY),
    (NotAllowed, ExitCode.KEY),
    (IdempotencyConflict, ExitCode.CONFLICT),
    (Fenced, ExitCode.CONFLICT),
    (NotFound, ExitCode.NOT_FOUND),
    (UsageError, ExitCode.USAGE),
)
"""The first class that an error is of says how the command ends; other errors are the code's."""

_BUG = "this is a bug in apothic; please report it with the above"

OURS = ("apothic", "apothic_backends", "apothic_emulator", "click", "asyncio")


def code_of(error: BaseException) -> int:
    """The exit code that tells of an error; one that a worker's code raised is its own doing."""
    if isinstance(error.__cause__, RemoteTraceback) and not isinstance(error, JobError):
        return ExitCode.RAISED
    return next((code for kind, code in CODES if isinstance(error, kind)), ExitCode.RAISED)


def describe(error: BaseException) -> dict[str, Any]:
    """An error for programs; `traceback` is that of the user's code."""
    if isinstance(error, KeyboardInterrupt):
        return {"code": "interrupted", "message": explain(error), "hint": None}
    is_ours = isinstance(error, ApothicError)
    told: dict[str, Any] = {
        "code": error.code if is_ours else "user_error",
        "message": error.message if is_ours else str(error),
        "hint": getattr(error, "hint", None),
        "type": type(error).__qualname__,
    }
    if not isinstance(error, UsageError | BackendError):
        told["traceback"] = explain(error)
    return {**error.data, **told} if is_ours else told


def describe_usage(error: ClickException) -> dict[str, Any]:
    """A command line that cannot be meant, for programs."""
    context = getattr(error, "ctx", None)
    hint = f"{context.command_path} --help" if context is not None else "apothic --help"
    return {"code": "usage", "message": error.format_message(), "hint": hint}


def describe_bug(error: BaseException) -> dict[str, Any]:
    """A bug of ours, for programs."""
    told = "".join(format_exception(error)).rstrip()
    return {"code": "bug", "message": _BUG, "hint": None, "traceback": told}


def bug_text(error: BaseException) -> str:
    """A bug of ours, for people."""
    return "".join(format_exception(error)) + f"error: {_BUG}"


def explain(error: BaseException) -> str:
    """The traceback of the user's code, wherever it ran, without ours around it."""
    if isinstance(error, KeyboardInterrupt):
        return str(error) or "interrupted"
    remote = error.__cause__.text.rstrip() if isinstance(error.__cause__, RemoteTraceback) else ""
    here = TracebackException.from_exception(error)
    _keep_theirs(here)
    if isinstance(error, ApothicError):
        told = [remote] if remote else []
        return "\n".join([*told, *_calls(here), f"error: {error.message}"])
    if remote:
        return "\n".join([remote, *_calls(here)])
    return "".join(here.format()).rstrip()


def _calls(here: TracebackException) -> list[str]:
    """The user's own frames that led to the call."""
    return ["called from:", "".join(here.stack.format()).rstrip()] if here.stack else []


def _keep_theirs(told: TracebackException | None) -> None:
    """Drop the frames of ours, and of what loads and starts the user's code."""
    if told is not None:
        told.stack = StackSummary.from_list([f for f in told.stack if not _is_ours(f.filename)])
        _keep_theirs(told.__cause__)
        _keep_theirs(told.__context__)


def _is_ours(filename: str) -> bool:
    return filename.startswith(("<frozen importlib", *_roots()))


@cache
def _roots() -> tuple[str, ...]:
    """The directories of the packages whose frames tell a user nothing."""
    packages = [getattr(sys.modules.get(name), "__path__", None) for name in OURS]
    return tuple(f"{path[0]}{os.sep}" for path in packages if path)
