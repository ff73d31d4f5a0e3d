"""The process that serves a bucket to the kernel, for one worker, with which it dies.

    told ──► looks at the bucket ──► "ready" ──► the worker mounts ──► "mounted" ──► serves
                   └── "failed", "lacking" ──► ends

A line each way, over a socket. Afterwards the worker may ask, with a number that comes back with
the answer, for "sync": everything in the bucket that was written, and what could not be; and for
"why": what went wrong, in words.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import time
from importlib import import_module
from pathlib import Path
from socket import socket
from threading import Thread
from typing import IO, Any, NoReturn

from apothic_backends.buckets.bucket import Bucket, Place
from apothic_backends.buckets.served import Served
from apothic_backends.buckets.tree import KEPT_S, Tree
from apothic_backends.model.errors import BucketFailed

_LIBRARIES = ("libfuse3.so.3", "libfuse3.so.4")
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE = 1, 4
_FLAGS, _PENDING = 6, 28
"""Fields of /proc/PID/stat (proc(5)), counted from the one behind the name."""
_EXITING = 0x4
"""PF_EXITING of the kernel, in the flags."""
_KILLED = 1 << (signal.SIGKILL - 1)
_GLANCE_S = 0.5


def main(worker: int, control: int) -> None:
    """Serve until the worker ends."""
    _settle(worker)
    lines = socket(fileno=control).makefile("rw", encoding="utf-8", newline="\n")
    told = json.loads(lines.readline())
    os.environ.update(told["env"])
    try:
        fuse = _library()
        bucket = Bucket(Place(**told["place"]), *told["keys"])
        bucket.has_below("")
    except (ImportError, OSError) as error:
        _say(lines, {"lacking": str(error)})
        return
    except BucketFailed as error:
        _say(lines, {"failed": error.message, "data": error.data})
        return
    tree = Tree(bucket, time.monotonic)
    served = Served(bucket, tree, Path(told["staging"]), lambda: _end_with(worker))
    _say(lines, {"ready": True})
    if lines.readline().strip() == "mounted":
        Thread(target=_watch, args=(worker,), daemon=True).start()
        Thread(target=_answer, args=(lines, served), daemon=True).start()
        _serve(fuse, served, told["device"])


# --- ends -----------------------------------------------------------------------------------------


def _settle(worker: int) -> None:
    """Die with the worker, and have the keys, which come next, in no core dump or debugger."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    if os.getppid() != worker:
        os._exit(0)
    os.setsid()  # Ctrl-C is the worker's


def _watch(worker: int) -> NoReturn:
    """End with a worker that cannot die: it waits in the kernel for what we have no answer to."""
    while True:
        _end_with(worker)
        time.sleep(_GLANCE_S)


def _end_with(worker: int) -> None:
    """End here if the worker was killed: what the kernel closes for it may be half of a file."""
    try:
        fields = Path(f"/proc/{worker}/stat").read_text("utf-8").rpartition(")")[2].split()
    except OSError:
        os._exit(0)
    if int(fields[_FLAGS]) & _EXITING or int(fields[_PENDING]) & _KILLED:
        os._exit(0)


# --- FUSE -----------------------------------------------------------------------------------------


def _library() -> Any:
    """Mfusepy over libfuse 3, found without starting a compiler to look for it.

    Raises:
        ImportError: there is no mfusepy.
        OSError: there is no libfuse 3.
    """
    for name in _LIBRARIES:
        try:
            ctypes.CDLL(name)
        except OSError:
            continue
        os.environ["FUSE_LIBRARY_PATH"] = name
        return import_module("mfusepy")
    raise OSError(f"none of {', '.join(_LIBRARIES)} is there")


def _serve(fuse: Any, served: Served, device: int) -> None:
    class Fuse(fuse.FUSE):
        """With the flags of a rename, which the library leaves out."""

        def rename_fuse_3(self, old: bytes, new: bytes, flags: int) -> int:
            served.rename(os.fsdecode(old), os.fsdecode(new), flags)
            return 0

    Fuse(
        served,
        f"/dev/fd/{device}",
        foreground=True,
        hard_remove=True,
        attr_timeout=KEPT_S,
        entry_timeout=KEPT_S,
    )


# --- what the worker asks -------------------------------------------------------------------------


def _answer(lines: IO[str], served: Served) -> NoReturn:
    for line in lines:
        number, asked = line.split()
        answer: dict[str, Any] = {"to": int(number)}
        if asked == "sync":
            served.flush_all()
            answer["lost"], served.lost = served.lost, {}
            served.failures = {}
        else:
            answer["why"], served.failures = [*served.failures], {}
        _say(lines, answer)
    os._exit(0)  # the worker is gone


def _say(lines: IO[str], words: dict[str, Any]) -> None:
    lines.write(json.dumps(words) + "\n")
    lines.flush()
