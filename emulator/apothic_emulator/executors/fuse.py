"""A bucket by FUSE: a process of ours that serves it, and its mount at a path of this process.

Needs a mount namespace of its own, `/dev/fuse`, libfuse 3 and mfusepy; where one of them is
missing, a directory that mirrors the bucket is there instead. The keys go to the server over a
socket, and never onto its command line or into its environment; nor does the environment of the
function, in which other secrets may be.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import sys
from collections.abc import Sequence
from socket import socketpair
from threading import Lock
from typing import Any

from apothic_backends.model.errors import BucketFailed
from apothic_emulator.executors import mounts

SWITCH = "APOTHIC_BUCKETS"
"""A variable: `copy` for the directory that mirrors a bucket, in any case."""
_DEVICE = "/dev/fuse"
_PROGRAM = """
import json, sys
told = json.loads(open(3, 'rb', buffering=0, closefd=False).readline())
sys.path[:] = told['path']
from apothic_backends.buckets.serving import main
main(told['worker'], 3)
"""
_TO_START = ("LD_LIBRARY_PATH", "PYTHONHOME")
_TO_REACH = (
    *("ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"),
    *("SSL_CERT_DIR", "SSL_CERT_FILE"),
)
"""What obstore looks at, in capital or small letters."""


class Lacking(Exception):
    """This process cannot have it; the message says what there is not."""


class Server:
    """The process that serves one bucket."""

    def __init__(self, place: dict[str, Any], keys: Sequence[str | None], staging: str) -> None:
        if os.environ.get(SWITCH) == "copy":
            raise Lacking(f"{SWITCH}=copy")
        try:
            self.device = os.open(_DEVICE, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise Lacking(f"{_DEVICE}: {error.strerror}") from error
        self._lock = Lock()
        self._asked = 0
        ours, theirs = socketpair()
        with ours, theirs:
            self._lines = ours.makefile("rw", encoding="utf-8", newline="\n")
            self._pid = _start(theirs.fileno(), self.device)
        self._process = os.pidfd_open(self._pid)
        try:
            self._begin({"place": place, "keys": keys, "staging": staging})
        except BaseException:
            self.close()
            raise

    def _begin(self, what: dict[str, Any]) -> None:
        path = [entry for entry in sys.path if isinstance(entry, str)]  # type: ignore[redundant-expr]
        env = {name: value for name, value in os.environ.items() if name.upper() in _TO_REACH}
        answer: dict[str, Any] = {}
        try:
            self._say(json.dumps({"path": path, "worker": os.getpid()}))
            self._say(json.dumps({**what, "env": env, "device": 4}))
            answer = json.loads(self._lines.readline() or "{}")
        except OSError:
            pass  # it has ended
        if "failed" in answer:
            raise BucketFailed(answer["failed"], **answer["data"])
        if "ready" not in answer:
            raise Lacking(answer.get("lacking", "its process has ended"))

    def mount(self, path: str, name: str, *, read_only: bool) -> None:
        """Have it at a path.

        Raises:
            OSError: the kernel does not allow that.
        """
        mounts.attach(mounts.Fuse(path, f"apothic:{name}", self.device, read_only))
        os.close(self.device)  # once the server ends, nobody answers, and nobody waits
        self.device = -1
        self._say("mounted")

    def sync(self) -> None:
        """Have everything in the bucket that was written.

        Raises:
            BucketFailed: it does not take something; or nobody serves it any more.
        """
        lost = self._ask("sync").get("lost")
        if lost is None:
            raise BucketFailed("the process that serves the bucket has ended", errno=5)
        if lost:
            name, why = next(iter(lost.items()))
            more = f" (and {len(lost) - 1} more)" if len(lost) > 1 else ""
            raise BucketFailed(f"{name!r}{more} is not in the bucket: {why}", errno=5)

    def why(self) -> list[str]:
        """What went wrong, in words, since this was last asked."""
        return self._ask("why").get("why", [])

    def _say(self, text: str) -> None:
        self._lines.write(text + "\n")
        self._lines.flush()

    def _ask(self, text: str) -> dict[str, Any]:
        """What the server says to something; nothing if it has ended."""
        with self._lock:
            self._asked += 1
            try:
                self._say(f"{self._asked} {text}")
                for line in self._lines:
                    answer = json.loads(line)
                    if answer["to"] == self._asked:  # and not to what a call that was stopped asked
                        return answer
            except OSError:
                pass
        return {}

    def close(self) -> None:
        """Have it ended."""
        if self.device >= 0:
            os.close(self.device)
        try:
            self._lines.close()
        except OSError:
            pass  # it has ended, and there was something to say
        try:
            signal.pidfd_send_signal(self._process, signal.SIGKILL)
            os.waitpid(self._pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass  # the user's code has waited for all there was
        finally:
            os.close(self._process)


def _start(control: int, device: int) -> int:
    """Start the server, with these two as its descriptors 3 and 4, and no other; its process id."""
    nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    # Copies with numbers above those that they are to have, which nobody loses thereby.
    copies = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 5) for fd in (nothing, control, device)]
    try:
        order = (*copies[:1] * 3, *copies[1:])
        actions = [(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in enumerate(order)]
        env = {name: os.environ[name] for name in _TO_START if name in os.environ}
        command = [sys.executable, "-S", "-P", "-c", _PROGRAM]
        return os.posix_spawn(sys.executable, command, env, file_actions=actions)
    finally:
        for fd in (nothing, *copies):
            os.close(fd)
