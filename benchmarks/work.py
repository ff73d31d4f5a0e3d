"""The functions that every subject runs, so that all of them do the same work."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def noop(item: object = None) -> None:
    """Do nothing: what is measured is the way there and back."""


def count(most: int) -> Iterator[int]:
    """Yield small numbers, as fast as they are taken."""
    for number in range(most):  # noqa: UP028 - Ray's streaming generators cannot drive `yield from`
        yield number


def send(array: Any) -> float:
    """Receive an array: read all of it and write to it."""
    return read_and_write(array)


_kept: dict[int, Any] = {}


def fetch(nbytes: int, value: float) -> Any:
    """Return an array of that size, each time with other contents.

    The producer keeps its array, so that what is measured is the way back and not page faults here.
    """
    import numpy as np  # here, so that the other rows do not pay for it  # noqa: PLC0415

    array = _kept.setdefault(nbytes, np.empty(nbytes // 8))
    array.fill(value)
    return array


def read_and_write(array: Any) -> float:
    """Sum an array, then write to every page of it; one that is read-only has to be copied."""
    total = float(array.sum())
    if not array.flags.writeable:
        array = array.copy()
    array[::512] = total
    return total


def hang_once(pid_file: str) -> int:
    """Tell the first attempt's process id and hang; the second attempt answers at once."""
    path = Path(pid_file)
    if not path.exists():
        fresh = path.with_suffix(".new")
        fresh.write_text(str(os.getpid()))
        fresh.rename(path)
        time.sleep(60)
    return os.getpid()


def nap_or_die(item: int, *, die: bool) -> int:
    """Work for 50 ms; or take the whole process along, as a crash in native code does."""
    if die:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.05)
    return item


def hold(payload: bytes) -> int:
    """Keep the worker busy for as long as the row takes, so that everything else stays queued."""
    if not payload:
        time.sleep(600)
    return len(payload)


RECORD = b'{"kind":"job","to":"someone@example.org","n":%017d,"pad":"' + b"x" * 80 + b'"}'
"""About 150 bytes, to be kept."""
