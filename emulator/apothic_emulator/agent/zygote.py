"""The host's end of the zygote: starting it, asking it to fork, and hearing who has ended.

This is the seam for other platforms: what `start` does on Linux with a zygote, a warm stand-by
interpreter would do elsewhere.
"""

from __future__ import annotations

import array
import contextlib
import json
import os
import socket
import sys
from typing import Any

from apothic_backends.model.errors import NotBuiltYet

_MAIN = "import sys; sys.path[:] = sys.argv[3].split({sep!r}); {enter}"
_ENTER = "from apothic_emulator.executors.zygote import main; main(int(sys.argv[1]), int(sys.argv[2]))"
_CONTROL_FD = 3


class Zygote:
    """A child process that forks executors for us."""

    def __init__(self) -> None:
        if not sys.platform.startswith("linux"):
            raise NotBuiltYet(
                f"process executors are built for Linux so far, and this is {sys.platform}; "
                "call the function in place with fn.local(...)"
            )
        self.control, self._far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.control.setblocking(False)
        self.pid: int | None = None

    def start(self) -> None:
        """Start the process. Call from a thread that lives as long as it should."""
        code = _MAIN.format(sep=os.pathsep, enter=_ENTER)
        path = os.pathsep.join(entry for entry in sys.path if entry)
        arguments = [str(_CONTROL_FD), str(os.getpid()), path]
        self.pid = os.posix_spawn(
            sys.executable,
            [sys.executable, *_interpreter_flags(), "-S", "-c", code, *arguments],
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, self._far.fileno(), _CONTROL_FD),
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
            ],
            setsid=True,
        )
        self._far.close()

    def fork(self, number: int, descriptors: list[int], *, by_value: bool) -> None:
        """Ask for an executor that gets these descriptors."""
        data = json.dumps({"do": "fork", "number": number, "by_value": by_value}).encode()
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))
        self.control.setblocking(True)  # full only if the zygote is stuck, and then so are we
        try:
            self.control.sendmsg([data], [rights])
        finally:
            self.control.setblocking(False)

    def ask(self, what: str, number: int, **more: Any) -> None:
        """Ask for a signal or the like; an executor that has ended is past it."""
        with contextlib.suppress(OSError):
            self.control.send(json.dumps({"do": what, "number": number, **more}).encode())

    def hear(self) -> list[dict[str, Any]] | None:
        """What it has said since; None when it is gone."""
        said: list[dict[str, Any]] = []
        try:
            while data := self.control.recv(4096):
                said.append(json.loads(data))
        except BlockingIOError:
            return said
        except OSError:
            return None
        return said or None

    def wait(self) -> None:
        """Block until the process has ended."""
        if self.pid is not None:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self.pid, 0)

    def close(self) -> None:
        """Let go of the channel."""
        self.control.close()
        self._far.close()


def _interpreter_flags() -> list[str]:
    """The options of this interpreter that change how Python code behaves."""
    flags = [f"-W{option}" for option in sys.warnoptions]
    flags += [f"-X{name}" if on is True else f"-X{name}={on}" for name, on in sys._xoptions.items()]
    return flags + ["-O"] * sys.flags.optimize + ["-B"] * sys.flags.dont_write_bytecode
