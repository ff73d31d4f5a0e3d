"""Trials: each example of a generated function is called in a locked sandbox of this machine.

    examples --> a guest: namespaces, or a container --> a process for each --> trial_run --> report

The sandbox is the boundary, whatever the code is: it has no network, no secret, no variable of this
process, and sees the programs of this machine and this Python's packages, but no other file. Code
that means to can report that it has passed, and nothing else.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from apothic.generation.examples import Example
from apothic_backends.model.errors import InvalidOption
from apothic_backends.model.sandboxes import IMAGE, GuestGone, IsolationMissing, StdinClosed
from apothic_backends.sandboxes.guest import Guest, open_guest
from apothic_backends.sandboxes.homes import new_home, remove
from apothic_backends.sandboxes.isolation import GuestSpec
from apothic_backends.sandboxes.process import EXPIRED, Process

MEMORY_MB = 512
"""For each of its processes."""

PIDS = 32
"""Processes and threads at once; each may take as much memory."""

_MOST_REPORTED = 64 * 1024
_MOST_ERROR = 3_000
_MOST_PRINTED = 1_024
_MOST_CALL = 500
_PROGRAM = Path(__file__).with_name("trial_run.py")


class Failure(NamedTuple):
    """An example that did not pass."""

    example: str
    """The call, as text: "normalize(' READY ')"; without examples, what imports it."""
    error: str
    """What went wrong, for people and for the model: 4 KiB at most."""


class _Went(NamedTuple):
    error: str | None
    goes_on: bool = True
    """Whether the next example may tell something else."""


def tried(
    code: str, name: str, examples: Sequence[Example], *, timeout_s: float
) -> tuple[Failure, ...]:
    """Call the function with each example, in a sandbox of their own; those that failed.

    An example passes where the function returns what its annotation says, and what is expected, if
    that is told; of a generator the first 1,000 items count. Each may take `timeout_s` with the
    start of its process, 512 MB and 32 processes. After one that took too long, or where the code
    cannot be loaded, the others are left out. Without examples it is loaded, and not called. This
    blocks.

    Raises:
        IsolationMissing: this machine has no place to lock it in.
    """
    failures: list[Failure] = []
    with _guest() as guest:
        for number, example in enumerate(examples or [None]):
            try:
                went = _try(guest, code, name, example, timeout_s)
            except GuestGone as gone:
                if number == 0:
                    raise
                went = _Went(f"it cannot be started after those before: {gone}", goes_on=False)
            if went.error is not None:
                call = f"import {name}" if example is None else example.call(name)
                failures.append(Failure(call[:_MOST_CALL], went.error))
            if not went.goes_on:
                break
    return tuple(failures)


@contextmanager
def _guest() -> Generator[Guest]:
    """A place for untrusted programs, of which nothing is left at the end."""
    home, lock = new_home()
    try:
        guest = _opened(home / "workspace")
        try:
            yield guest
        finally:
            guest.close()
    finally:
        remove(home)
        os.close(lock)


def _opened(workspace: Path) -> Guest:
    """This machine's own isolation, else a container; never less."""
    spec = GuestSpec(workspace, memory_mb=MEMORY_MB, pids=PIDS, cpu=1, untrusted=True)
    try:
        return open_guest(spec)
    except IsolationMissing as error:
        missing: list[str] = error.data["missing"]
    from apothic_backends.sandboxes.container import open_container  # an extra  # noqa: PLC0415

    try:
        return open_container(spec, IMAGE)
    except (IsolationMissing, InvalidOption) as error:
        missing = [*missing, *error.data.get("missing", [error.message])]
    raise IsolationMissing(
        "generated code is tried only where it is locked in, and this machine cannot do that "
        f"({'; '.join(missing)}); let users have namespaces, start Docker, or leave the trials out "
        "with sandbox=False",
        missing=missing,
    )


def _try(guest: Guest, code: str, name: str, example: Example | None, timeout_s: float) -> _Went:
    """Call it once."""
    told = None if example is None else tuple(example)
    wanted = {"code": code, "name": name, "example": repr(told)}
    program = _PROGRAM.read_text("utf-8")
    process = guest.start(["python3", "-I", "-B", "-c", program])
    process.expire(timeout_s)
    with suppress(StdinClosed):  # it has ended already: how is told below
        process.write(json.dumps(wanted).encode())
        process.close_stdin()
    status = process.wait()
    if status == EXPIRED:
        went = _Went(f"it had not ended after {timeout_s:g} s", goes_on=False)
    else:
        report = _report(process) if status == 0 else None
        went = report or _Went(f"it ended {_ended(status)} before it returned")
    return went if went.error is None else went._replace(error=_said(went.error, process))


def _report(process: Process) -> _Went | None:
    """What it reports, if that can be read: it may be anything."""
    chunk = process.read("stderr", 0, 0)
    if chunk.lost_bytes or not chunk.is_end or len(chunk.data) > _MOST_REPORTED:
        return None
    try:
        told: Any = json.loads(chunk.data)
        error, is_loaded = told["error"], told["is_loaded"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return _Went(None if error is None else str(error), goes_on=bool(is_loaded))


def _ended(status: int | None) -> str:
    if status is not None and status < 0:
        with suppress(ValueError):
            return f"by {signal.Signals(-status).name}"
    return f"with status {status}"


def _said(error: str, process: Process) -> str:
    """An error, with the end of what was printed."""
    end = process.read("stdout", 1 << 62, 0).position
    printed = process.read("stdout", max(0, end - _MOST_PRINTED), 0).data.decode("utf-8", "replace")
    text = error[:_MOST_ERROR] + (f"\nIt printed:\n{printed}" if printed else "")
    return "".join(it if it.isprintable() or it in "\n\t" else ascii(it)[1:-1] for it in text)
