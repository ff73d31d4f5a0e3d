"""The zygote: a small clean process that forks executors, reaps them, and is their guard.

It is never a fork of the user's program. It is the parent of every executor and the adopter of
what they leave behind, so when an executor ends, whatever else sits under the zygote and is no
executor is a leftover and is killed before the end is reported. It ends with the user's process.

    down   {"do": "fork", "number": n} with six descriptors, "signal", "kill", "retire"
    up     {"ended": n, "status": wait status}, {"forked": n, "pid": pid}
"""

from __future__ import annotations

import array
import gc
import json
import os
import select
import signal
import sys
import time
from socket import CMSG_SPACE, SCM_RIGHTS, SOL_SOCKET, socket
from typing import Any

from apothic_emulator.executors import linux

_MOST = 64 * 1024
_FDS = 6
_HANG_UP_S = 0.2
"""Between the end of an executor's channel and its own, if it is only exiting."""
_CLOSE_S = 2.0
"""What exit handlers get when the user's program ends."""
_IDLE_MS = 5
"""Without a request for this long after the start, the zygote imports what pickles need."""


class Zygote:
    """The loop: requests from the host, ends of executors, the end of the user's process."""

    def __init__(self, control: socket, user_pid: int) -> None:
        self.control = control
        self.poll = select.poll()
        self.poll.register(control, select.POLLIN)
        self.user_fd = _pidfd(user_pid)
        self.poll.register(self.user_fd, select.POLLIN)
        self.executors: dict[int, int] = {}
        """Executor number by pidfd."""
        self.pids: dict[int, int] = {}
        """Process id by executor number."""
        self.hung_up: dict[int, float] = {}
        """When to kill executors that have closed their channel and yet live."""
        self.killed: set[int] = set()
        """Those of them that had to be."""

    def run(self) -> None:
        """Serve until the user's process or its end of the channel is gone."""
        ready = self.poll.poll(_IDLE_MS)
        if not ready:
            _import_pickles()
        while True:
            for fd, _ in ready or self.poll.poll(self._patience_ms()):
                if fd == self.user_fd:
                    return
                if fd == self.control.fileno():
                    if not self._request():
                        return
                else:
                    self._reap(fd)
            ready = []
            if self.hung_up:
                self._kill_hung_up()

    def _patience_ms(self) -> float | None:
        """How long to wait for news, None for ever."""
        due = [moment for number, moment in self.hung_up.items() if number not in self.killed]
        return max(0.0, min(due) - time.monotonic()) * 1000 if due else None

    def _request(self) -> bool:
        room = CMSG_SPACE(_FDS * array.array("i").itemsize)
        data, ancillary, _, _ = self.control.recvmsg(_MOST, room)
        if not data:
            return False
        asked: dict[str, Any] = json.loads(data)
        number = asked["number"]
        match asked["do"]:
            case "fork":
                self._fork(number, _descriptors(ancillary), by_value=asked["by_value"])
            case "signal":
                self._signal(number, asked["signal"])
            case "kill":
                self._signal(number, signal.SIGKILL)
            case "hung_up":
                self._hung_up(number, 0.0 if asked["now"] else _HANG_UP_S)
            case _:
                self._close()
                return False
        return True

    def _hung_up(self, number: int, wait_s: float) -> None:
        """An executor's channel has ended: if it does not end within the time, it is killed."""
        if number in self.pids:
            self.hung_up[number] = time.monotonic() + wait_s

    def _kill_hung_up(self) -> None:
        now = time.monotonic()
        for number, moment in self.hung_up.items():
            if moment <= now and number not in self.killed:
                self.killed.add(number)
                self._signal(number, signal.SIGKILL)

    def _close(self) -> None:
        """Give executors a moment to end by themselves; `end` kills the others."""
        deadline = time.monotonic() + _CLOSE_S
        while self.executors and (left_s := deadline - time.monotonic()) > 0:
            for fd, _ in self.poll.poll(left_s * 1000):
                if fd == self.user_fd:
                    return
                if fd in self.executors:
                    self._reap(fd)

    def _signal(self, number: int, signum: int) -> None:
        """Not reaped yet, so the process id cannot have become somebody else's."""
        pid = self.pids.get(number)
        if pid is not None:
            os.kill(pid, signum)

    def _fork(self, number: int, channels: list[int], *, by_value: bool) -> None:
        if by_value:
            _import_pickles()
        gc.disable()  # a collection in the child would copy every page that it visits
        try:
            pid = os.fork()
        except OSError as error:
            self._say({"ended": number, "status": None, "detail": str(error)})
            return
        finally:
            gc.enable()
        if not pid:
            self._become_executor(channels, number)
        for fd in channels:
            os.close(fd)
        pidfd = _pidfd(pid)
        self.executors[pidfd] = number
        self.pids[number] = pid
        self.poll.register(pidfd, select.POLLIN)
        self._say({"forked": number, "pid": pid})

    def _become_executor(self, channels: list[int], number: int) -> None:
        """In the child: let go of everything that is the zygote's, and never come back."""
        try:
            linux.die_with_parent(signal.SIGKILL)
            linux.adopt_orphans()
            linux.set_name(f"apothic-{number}")
            os.setpgid(0, 0)
            self.control.close()
            for fd in (self.user_fd, *self.executors):
                os.close(fd)
            for signum in (signal.SIGINT, signal.SIGTERM):
                signal.signal(signum, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            _reseed()
            from apothic_emulator.executors import child  # noqa: PLC0415

            child.main(channels, number)
        finally:
            os._exit(70)

    def _reap(self, pidfd: int) -> None:
        number = self.executors.pop(pidfd)
        self.poll.unregister(pidfd)
        os.close(pidfd)
        pid = self.pids.pop(number)
        _, status = os.waitpid(pid, 0)
        self.kill_leftovers()
        self.hung_up.pop(number, None)
        hung_up = number in self.killed
        self.killed.discard(number)
        self._say({"ended": number, "status": status, "hung_up": hung_up})

    def kill_leftovers(self) -> None:
        """Kill every child that is no executor, and theirs as they come up, until none is left."""
        executors = set(self.pids.values())
        while left := [pid for pid in linux.children() if pid not in executors]:
            for pid in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)
                except (ProcessLookupError, ChildProcessError):
                    continue

    def _say(self, what: dict[str, Any]) -> None:
        try:
            self.control.send(json.dumps(what).encode())
        except OSError:
            return  # the host is gone; the loop ends with its pidfd

    def end(self) -> None:
        """Kill everything."""
        for pid in self.pids.values():
            os.kill(pid, signal.SIGKILL)
        self.pids.clear()
        self.kill_leftovers()


def _descriptors(ancillary: list[tuple[int, int, bytes]]) -> list[int]:
    received = array.array("i")
    for level, kind, data in ancillary:
        if level == SOL_SOCKET and kind == SCM_RIGHTS:
            received.frombytes(data[: len(data) - len(data) % received.itemsize])
    return list(received)


def _pidfd(pid: int) -> int:
    return os.pidfd_open(pid)


def _import_pickles() -> None:
    """What a function by value needs, shared by all executors that are forked later."""
    try:
        import cloudpickle  # noqa: F401, PLC0415
    except ImportError:
        return  # executors without it can still run functions of modules


def _reseed() -> None:
    """Forks of one process would all draw the same numbers."""
    for name in ("random", "numpy.random"):
        module: Any = sys.modules.get(name)
        if module is not None:
            module.seed()


def main(control_fd: int, user_pid: int) -> None:
    """Run a zygote in this process until its user's process ends."""
    linux.set_name("apothic-zygote")
    linux.adopt_orphans()
    linux.die_with_parent(signal.SIGTERM)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    control = socket(fileno=control_fd)
    try:
        zygote = Zygote(control, user_pid)
    except ProcessLookupError:
        return  # the user's process is gone already
    try:
        zygote.run()
    finally:
        zygote.end()
