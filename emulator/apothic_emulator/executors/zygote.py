"""The zygote: a small clean process that forks executors, reaps them, and is their guard.

It is never a fork of the user's program. It is the parent of every executor and the adopter of
what they leave behind, so when an executor ends, whatever else sits under the zygote and is no
executor is a leftover and is killed before the end is reported. It ends with the user's process.

    zygote ─┬─ executor ── what user code starts
            └─ successor: a fork that has imported modules, and is a zygote from then on
"""

from __future__ import annotations

import array
import gc
import os
import select
import signal
import time
from _socket import CMSG_SPACE, SCM_RIGHTS, SOL_SOCKET, socket
from importlib import import_module
from typing import Any, NoReturn

from apothic_emulator.executors import descent, groups, life, limits, linux, orders, preload
from apothic_emulator.executors.limits import Limits
from apothic_emulator.executors.orders import Message
from apothic_emulator.executors.watchdog import NEVER, Watchdog, Watched

_FDS = 9
"""What an executor gets at most: its channels, and the door of its service."""
_CLOSE_S = 2.0
"""What exit handlers get when the user's program ends."""
UNLIMITED = Limits()
_IDLE_MS = 5
"""Without a request for this long after the start, the zygote imports what pickles need."""


class Child:
    """A process that the zygote has forked."""

    __slots__ = ("kill_at", "memory", "number", "pid", "was_killed")

    def __init__(self, number: int, pid: int, allowed: Limits) -> None:
        self.number = number
        """0 for a successor."""
        self.pid = pid
        self.kill_at: float | None = None
        self.was_killed = False
        self.memory = Watched(pid, allowed)


class Zygote:
    """The loop: requests from the host, ends of executors, the end of the user's process."""

    def __init__(self, control: socket, user_fd: int, idle_s: float = NEVER) -> None:
        """Says so when it has had no children for `idle_s`."""
        self.control = control
        self.user_fd = user_fd
        self.idle_s = idle_s
        self.children: dict[int, Child] = {}
        """By pidfd."""
        self.by_number: dict[int, Child] = {}
        """Executors only."""
        self.watchdog = Watchdog(time.monotonic)
        self.life: list[int] = []
        """What nobody else may have open, so that its end is seen."""
        self.folders: list[str] = []
        """Where the host has control groups; they are removed after its death."""
        self.poll = select.poll()
        self.poll.register(control, select.POLLIN)
        self.poll.register(user_fd, select.POLLIN)

    def run(self, *, by_value: bool = False) -> None:
        """Serve until the user's process or its end of the channel is gone.

        With `by_value` a quiet moment at the start is used for what such functions need.
        """
        ready = self.poll.poll(_IDLE_MS) if by_value else []
        if by_value and not ready:
            _import_pickles()
        while True:
            ready = ready or self.poll.poll(self._patience_ms())
            for fd, _ in ready:
                if fd in self.children:
                    self._reap(fd)
                elif fd == self.user_fd or not self._take_order():
                    return
            if not ready and not self.children:
                self._say(Message(orders.IDLE))
            ready = []
            self._kill_hung_up()
            if self.watchdog.due <= time.monotonic():
                self._look()

    def _patience_ms(self) -> float | None:
        """How long to wait for news, None for ever."""
        due = [c.kill_at for c in self.by_number.values() if c.kill_at is not None]
        due.append(self.watchdog.due)
        if not self.children:
            due.append(time.monotonic() + self.idle_s)
        soonest = min(due)
        return None if soonest == NEVER else max(0.0, soonest - time.monotonic()) * 1000 + 1

    def _take_order(self) -> bool:
        """Do what the host asks; whether to go on."""
        data, descriptors = self._receive()
        if not data:
            return False
        order = orders.parse(data)
        match order.kind:
            case orders.FORK:
                self._fork(order, descriptors)
            case orders.PRELOAD | orders.GUEST:
                self._fork_zygote(order, descriptors)
            case orders.SIGNAL | orders.HUNG_UP | orders.LIMIT:
                self._tell(order)
            case orders.FOLDERS:
                self.folders = order.rest.decode().split("\0")
            case orders.WATCH:
                self.watchdog.watch()
            case orders.CLOSE:
                self.folders.clear()  # the host lives, and may still read in them
                self._close()
                return False
            case _:
                pass
        return True

    def _receive(self) -> tuple[bytes, list[int]]:
        room = CMSG_SPACE(_FDS * array.array("i").itemsize)
        try:
            data, ancillary, _, _ = self.control.recvmsg(orders.MOST, room)
        except ConnectionResetError:
            return b"", []  # the host was killed, and had not heard all that was said
        return data, _descriptors(ancillary)

    def _tell(self, order: Message) -> None:
        executor = self.by_number.get(order.number)
        if executor is None:
            return  # it has ended meanwhile
        if order.kind == orders.SIGNAL:
            os.kill(executor.pid, order.value)  # not reaped, so the id is nobody else's
        elif order.kind == orders.LIMIT:
            executor.memory.limit = order.value << 20
        else:
            executor.kill_at = time.monotonic() + order.value / 1000

    def _kill_hung_up(self) -> None:
        """An executor whose channel has ended, and which does not follow, is of no more use."""
        now = time.monotonic()
        for executor in self.by_number.values():
            if executor.kill_at is not None and executor.kill_at <= now:
                executor.kill_at = None
                executor.was_killed = True
                os.kill(executor.pid, signal.SIGKILL)

    def _look(self) -> None:
        """See who uses more memory than it may; that is told first, and then it is killed."""
        executors = {executor.memory: executor for executor in self.by_number.values()}
        for memory in self.watchdog.look([*executors]):
            executor = executors[memory]
            self._say(Message(orders.OVER, executor.number, memory.peak >> 20))
            if memory.is_enforced:
                os.kill(executor.pid, signal.SIGKILL)
        if self.watchdog.due == NEVER:
            self._say(Message(orders.WATCHED))

    def _close(self) -> None:
        """Stop calls, and give executors a moment for exit handlers; `end` kills the others."""
        for executor in self.by_number.values():
            os.kill(executor.pid, signal.SIGTERM)
        deadline = time.monotonic() + _CLOSE_S
        while self.children and (left_s := deadline - time.monotonic()) > 0:
            for fd, _ in self.poll.poll(left_s * 1000):
                if fd == self.user_fd:
                    return
                if fd in self.children:
                    self._reap(fd)
                else:
                    return  # the host is in a hurry

    # --- forks ----------------------------------------------------------------------------------

    def _fork(self, order: Message, channels: list[int]) -> None:
        if order.flags & orders.BY_VALUE:
            _import_pickles()
        allowed = limits.parse(order.rest)
        try:
            pid = _fork()
        except OSError as error:
            self._say(Message(orders.FAILED, order.number, error.errno or 0))
        else:
            if not pid:
                self._become_executor(channels, order, allowed)
            self.by_number[order.number] = self._watch(order.number, pid, allowed)
            if order.flags & orders.TELL_PID:
                self._say(Message(orders.STARTED, order.number, pid))
        _close_all(channels)

    def _watch(self, number: int, pid: int, allowed: Limits = UNLIMITED) -> Child:
        pidfd = os.pidfd_open(pid)
        self.children[pidfd] = forked = Child(number, pid, allowed)
        self.poll.register(pidfd, select.POLLIN)
        return forked

    def _let_go(self) -> None:
        """In the child: close what is the zygote's, and be nobody's zygote."""
        linux.die_with_parent(signal.SIGKILL)
        linux.adopt_orphans()
        self.control.close()
        _close_all([*self.children, *self.life])
        self.children.clear()
        self.by_number.clear()

    def _become_executor(self, channels: list[int], order: Message, allowed: Limits) -> NoReturn:
        try:
            self._let_go()
            if allowed.cores:
                linux.bind(allowed.cores)  # before libraries count their threads
            if allowed.file_bytes:
                linux.keep_files_below(allowed.file_bytes)
            os.close(self.user_fd)
            linux.set_name(f"apothic-{order.number}")
            os.setpgid(0, 0)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            preload.reseed()
            if order.flags & orders.BUILD:
                import_module("apothic_emulator.executors.builder").main(channels)
            life.main(channels)
        finally:
            os._exit(70)

    def _fork_zygote(self, order: Message, channels: list[int]) -> None:
        wanted = preload.wanted(order.rest) if order.kind == orders.PRELOAD else None
        if wanted is None or wanted.modules:
            try:
                pid = _fork()
            except OSError:
                pid = -1  # then this one serves on, and the channel of a guest ends
            if not pid:
                self._become_zygote(channels, order, wanted)
            if pid > 0:
                self._watch(0, pid)
        _close_all(channels)

    def _become_zygote(
        self, channels: list[int], order: Message, wanted: preload.Wanted | None
    ) -> NoReturn:
        try:
            self._let_go()
            if wanted is None:
                self._become_guest(channels, order)
            else:
                self._become_successor(channels, wanted)
        finally:
            os._exit(0)

    def _become_successor(self, channels: list[int], wanted: preload.Wanted) -> None:
        successor = Zygote(socket(fileno=channels[0]), self.user_fd)
        if preload.is_safe_after(wanted, {channels[0]}):
            gc.freeze()
            successor._say(Message(orders.READY))
            run(successor)

    def _become_guest(self, channels: list[int], order: Message) -> None:
        guests = import_module("apothic_emulator.executors.guests")
        told = guests.parse(order.rest)
        os.setsid()
        try:
            guests.enter(told)
        except Exception as error:  # noqa: BLE001 - whatever it is, who waits for it is told
            os.write(channels[1], repr(error).encode())
            return
        guest = Zygote(socket(fileno=channels[0]), self.user_fd, told.idle_s)
        guest.life = channels[1:]
        run(guest, by_value=told.by_value)

    # --- ends -----------------------------------------------------------------------------------

    def _reap(self, pidfd: int) -> None:
        ended = self.children.pop(pidfd)
        self.poll.unregister(pidfd)
        os.close(pidfd)
        _, status = os.waitpid(ended.pid, 0)
        self.kill_leftovers()
        if self.by_number.pop(ended.number, None) is not None:
            flags = orders.WAS_KILLED if ended.was_killed else 0
            self._say(Message(orders.ENDED, ended.number, status, flags))

    def kill_leftovers(self) -> None:
        """Kill every child that is not ours, and theirs as they come up, until none is left.

        What runs as another user (`sudo`) cannot be killed, and is no reason to give up the others.
        """
        spared = {forked.pid for forked in self.children.values()}
        while left := [pid for pid in descent.children() if pid not in spared]:
            for pid in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)
                except (ProcessLookupError, ChildProcessError):
                    continue
                except PermissionError:
                    spared.add(pid)

    def _say(self, message: Message) -> None:
        try:
            self.control.send(orders.pack(message))
        except OSError:
            return  # the host is gone; the loop ends with its pidfd

    def end(self) -> None:
        """Kill everything."""
        self.children.clear()
        self.kill_leftovers()
        for folder in self.folders:
            groups.remove(folder)


def _fork() -> int:
    """Fork; the child has a heap that no collection will copy page by page."""
    gc.freeze()
    return os.fork()


def _close_all(descriptors: Any) -> None:
    for fd in descriptors:
        os.close(fd)


def _descriptors(ancillary: list[tuple[int, int, bytes]]) -> list[int]:
    received = array.array("i")
    for level, kind, data in ancillary:
        if level == SOL_SOCKET and kind == SCM_RIGHTS:
            received.frombytes(data[: len(data) - len(data) % received.itemsize])
    return list(received)


def _import_pickles() -> None:
    """What a function by value needs, shared by all executors that are forked later."""
    try:
        import_module("cloudpickle")
    except ImportError:
        return  # executors without it can still run functions of modules


def run(zygote: Zygote, *, by_value: bool = False) -> None:
    """Serve, and leave nothing behind."""
    try:
        zygote.run(by_value=by_value)
    finally:
        zygote.end()
        zygote.control.close()


def main(control_fd: int, user_pid: int, *, by_value: bool = False, idle_s: float = NEVER) -> None:
    """Run a zygote in this process until its user's process ends."""
    os.chdir("/")  # the caller's directory may be deleted or unmounted
    linux.set_name("apothic-zygote")
    linux.adopt_orphans()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    preload.complete_interpreter()
    try:
        user_fd = os.pidfd_open(user_pid)
    except ProcessLookupError:
        return  # the user's process is gone already
    run(Zygote(socket(fileno=control_fd), user_fd, idle_s), by_value=by_value)
