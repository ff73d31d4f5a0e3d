"""A guest: a place on this machine where other people's programs run, kept apart from the rest."""

from __future__ import annotations

import errno
import itertools
import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any

from apothic_backends.model.errors import ApothicError
from apothic_backends.model.sandboxes import (
    GuestGone,
    Isolation,
    IsolationMissing,
    ProgramNotFound,
)
from apothic_backends.sandboxes import isolation
from apothic_backends.sandboxes.inside import packets, plan, serve
from apothic_backends.sandboxes.inside.packets import Packet
from apothic_backends.sandboxes.isolation import GuestSpec
from apothic_backends.sandboxes.launch import launch_here
from apothic_backends.sandboxes.process import Process

_PATIENCE_S = 10.0
"""How long the first process may take to be there, or to end."""

_NO_PROGRAM = {errno.ENOENT, errno.EACCES, errno.ENOEXEC, errno.ENOTDIR}


def open_guest(spec: GuestSpec) -> Guest:
    """Start a guest, kept apart as far as this machine can; `Guest.isolation` says how far.

    Its workspace is given to the user that it is, if this process is root's (`Guest.owner`).

    Raises:
        IsolationMissing: it is untrusted, and something is missing.
        InvalidOption: the spec cannot be meant.
        GuestGone: it ended before it could start anything.
    """
    isolation.check(spec)
    python = isolation.interpreter(sys.executable, (sys.prefix, sys.base_prefix))
    uid = -1
    if os.geteuid() == 0:
        uid = isolation.choose_uid(spec.workspace)
        isolation.give(spec.workspace, uid)
    guest = Guest(spec, python, isolation.plan_of(spec, plan.NAMESPACES, python, uid))
    if guest.refused is None:
        if not spec.untrusted or not guest.isolation.missing:
            return guest
        guest.close()
        raise too_little(guest.isolation.missing)
    guest.close()
    missing = isolation.beyond_limits(guest.refused, spec)
    if spec.untrusted:
        raise too_little(missing)
    guest = Guest(spec, python, isolation.plan_of(spec, plan.LIMITS, python, -1), missing)
    if guest.refused is not None:
        guest.close()
        raise GuestGone(f"the sandbox could not start: {guest.refused}")
    return guest


def too_little(missing: tuple[str, ...]) -> IsolationMissing:
    """What to raise where untrusted programs cannot be kept apart."""
    return IsolationMissing(
        f"untrusted=True, but this machine cannot keep programs apart ({missing[0]}); use "
        "isolation='docker', another machine, or trust them",
        missing=list(missing),
    )


Launch = Callable[[socket.socket, socket.socket], Any]
"""Starts what becomes its first process, as something like a `Popen`, and closes the sockets."""


def trouble_of(connection: socket.socket) -> int:
    """What has become of a connection that is being made, as an error's number; 0 if it stands."""
    connected = select.poll()
    connected.register(connection, select.POLLOUT)
    if not connected.poll(_PATIENCE_S * 1000):
        return errno.ETIMEDOUT
    number = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    try:
        is_own = not number and connection.getsockname() == connection.getpeername()
    except OSError as gone:  # it was there for a moment
        return gone.errno or errno.ENOTCONN
    return errno.ECONNREFUSED if is_own else number  # a port that was drawn may connect to itself


class Guest:
    """A guest that runs; made by `open_guest`. Any thread may call what is public."""

    def __init__(
        self,
        spec: GuestSpec,
        python: isolation.Interpreter,
        wanted: plan.Plan,
        missing: tuple[str, ...] = (),
        launch: Launch | None = None,
    ) -> None:
        self.isolation = Isolation(wanted.level, missing)
        self.owner = (wanted.uid, wanted.uid) if wanted.uid >= 0 else None
        """User and group of this machine that it is, if that is not who this process is."""
        self.refused: str | None = None
        """What kept it from starting."""
        self.error: ApothicError | None = None
        """What to raise for that, if it is known."""
        self._spec = spec
        self._environment = isolation.environment(spec, python, wanted.level)
        self._plan = wanted
        self._launch = launch or launch_here
        self._numbers = itertools.count(1)
        self._processes: dict[int, Process] = {}
        self._watched: dict[int, Process] = {}
        self._asking = threading.Lock()
        self._watching = threading.Lock()
        self._room_for_answers = bytearray(packets.MOST_BYTES_TOLD)
        self._room_for_news = bytearray(packets.MOST_BYTES_TOLD)
        self._is_gone = False
        self._epoll = select.epoll()
        self._woken = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._epoll.register(self._woken, select.EPOLLIN)
        self._asks, asked = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._hears, told = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._epoll.register(self._hears, select.EPOLLIN)
        started: SimpleQueue[None] = SimpleQueue()
        self._thread = threading.Thread(
            target=self._run, args=(asked, told, started), name="apothic-guest", daemon=True
        )
        self._thread.start()
        started.get()

    # --- for its users --------------------------------------------------------------------------

    def start(
        self,
        argv: Sequence[str],
        *,
        workdir: str | None = None,
        env: dict[str, str] | None = None,
        pty: tuple[int, int] | None = None,
        merge_stderr: bool = False,
    ) -> Process:
        """Start a program; no shell comes between, so every text arrives as it is.

        `workdir` is where it starts (None: the guest's own), `env` what it has in its environment
        beside that of the guest. With `pty`, rows and columns, it has a terminal, and all that it
        writes is its "stdout"; so it is with `merge_stderr`.

        Raises:
            InvalidOption: the arguments are no texts, have a NUL, or more than 65,536 bytes, or
                the environment does.
            ProgramNotFound: there is no such program or `workdir`, or it may not be started.
            GuestGone: the guest has ended, or has as many processes as it may.
        """
        variables = self._environment | (env or {})
        if pty is not None:
            variables.setdefault("TERM", "xterm-256color")
        folder = workdir or self._spec.workdir
        isolation.check_words(argv, variables, folder)
        texts = [
            folder,
            str(len(argv)),
            *argv,
            *[f"{name}={value}" for name, value in variables.items()],
        ]
        number = next(self._numbers)
        process = self._processes[number] = Process(self, number)
        try:
            if pty is not None:
                size = pty[0] << 16 | pty[1]
                packet = self._ask(packets.START, number, size << 8 | serve.TERMINAL, texts)
                (outer,) = packet.fds
                os.set_blocking(outer, False)
                process.connect(os.dup(outer), {"stdout": outer}, is_terminal=True)
            else:
                packet = self._start_with_pipes(process, texts, merged=merge_stderr)
        except BaseException:
            self._processes.pop(number, None)
            process.drop()
            raise
        process.pid = packet.value
        return process

    def connect(self, port: int) -> socket.socket:
        """A connection to a port that a program of the guest listens on.

        Raises:
            ConnectionRefusedError: nobody listens there.
            GuestGone: the guest has ended.
        """
        packet = self._ask(packets.CONNECT, next(self._numbers), port, [])
        connection = socket.socket(fileno=packet.fds[0])
        number = trouble_of(connection)
        if number:
            connection.close()
            raise OSError(number, f"{os.strerror(number)}: nobody answers at port {port}")
        connection.setblocking(True)
        return connection

    def close(self) -> None:
        """Kill all that runs in it; may be called again."""
        try:
            self._hears.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it is gone
        if threading.current_thread() is not self._thread:
            self._thread.join()

    # --- for its processes ------------------------------------------------------------------------

    def tell(self, kind: int, number: int, value: int = 0) -> None:
        """Send a packet inside, if anybody is there."""
        try:
            packets.send(self._asks, kind, number, value)
        except OSError:
            pass  # all has ended, and they will be told

    def watch(self, fd: int, process: Process, *, is_written: bool) -> None:
        """Call `process.ready` when something can be read, or written."""
        with self._watching:
            if fd not in self._watched and not self._is_gone:
                self._watched[fd] = process
                self._epoll.register(fd, select.EPOLLOUT if is_written else select.EPOLLIN)

    def forget(self, fd: int) -> None:
        """Do not call it for that any more."""
        with self._watching:
            if self._watched.pop(fd, None) is not None and not self._is_gone:
                self._epoll.unregister(fd)

    def wake(self) -> None:
        """Look at the deadlines again."""
        with self._watching:
            if not self._is_gone:
                os.eventfd_write(self._woken, 1)

    # --- asking -----------------------------------------------------------------------------------

    def _start_with_pipes(self, process: Process, texts: list[str], *, merged: bool) -> Packet:
        names = ("stdout",) if merged else ("stdout", "stderr")
        inner_in, outer_in = os.pipe2(os.O_CLOEXEC)
        pairs = [os.pipe2(os.O_CLOEXEC) for _ in names]
        inner = (inner_in, *[writes for _reads, writes in pairs])
        outer = {name: reads for name, (reads, _writes) in zip(names, pairs, strict=True)}
        for fd in (outer_in, *outer.values()):
            os.set_blocking(fd, False)
        if self.owner is not None:
            for fd in inner:
                os.fchown(fd, *self.owner)  # or it could not open its own /dev/stdout
        process.connect(outer_in, outer)
        kind = serve.MERGED if merged else serve.PIPES
        return self._ask(packets.START, process.exec_id, kind, texts, inner)

    def _ask(
        self, kind: int, number: int, value: int, texts: list[str], fds: tuple[int, ...] = ()
    ) -> Packet:
        """Ask, and wait for the answer; the descriptors are given away."""
        with self._asking:
            try:
                try:
                    packets.send(self._asks, kind, number, value, texts, fds)
                finally:
                    for fd in fds:
                        os.close(fd)
                packet = packets.receive(self._asks, self._room_for_answers)
            except OSError:
                packet = None
        if packet is None:
            raise GuestGone("the sandbox has ended: nothing runs in it any more")
        if packet.kind == packets.REFUSED:
            raise _error_of(packet, kind)
        return packet

    # --- the thread -------------------------------------------------------------------------------

    def _run(self, asked: socket.socket, told: socket.socket, started: SimpleQueue[None]) -> None:
        """Start the first process of the guest, which dies with this thread, and serve it."""
        try:
            launched = self._launch(asked, told)
        except (ApothicError, OSError) as error:
            self.error = error if isinstance(error, ApothicError) else None
            self.refused = f"no process can be started: {error}"
            self._end()
            started.put(None)
            return
        with launched as launcher:
            try:
                self._begin()
                started.put(None)
                while self.refused is None and self._step():
                    pass
            finally:
                self._end()
                started.put(None)
                try:
                    launcher.wait(_PATIENCE_S)
                except subprocess.TimeoutExpired:
                    launcher.kill()

    def _begin(self) -> None:
        packet: Packet | None = None
        try:
            packets.send(self._asks, packets.BEGIN, texts=self._plan.texts())
            self._asks.settimeout(_PATIENCE_S)
            packet = packets.receive(self._asks, self._room_for_answers)
            self._asks.settimeout(None)
        except OSError:
            pass
        if packet is None:
            self.refused = "its first process ended at once"
        elif packet.kind == packets.READY:
            missing = (*self.isolation.missing, *packet.texts)
            self.isolation = Isolation(self._plan.level, missing)
        else:
            self.refused = packet.texts[0]

    def _step(self) -> bool:
        """Wait for something, and see to it; False when the guest is gone."""
        for fd, _events in self._epoll.poll(self._patience()):
            if fd == self._woken:
                os.eventfd_read(fd)
            elif fd == self._hears.fileno():
                if not self._hear():
                    return False
            else:
                process = self._watched.get(fd)
                if process is not None:
                    process.ready(fd, time.monotonic())
        self._tick(time.monotonic())
        return True

    def _tick(self, now: float) -> None:
        for process in list(self._processes.values()):
            deadline = process.deadline()
            if deadline is not None and deadline <= now:
                process.tick(now)
            if process.is_over():
                self._processes.pop(process.exec_id, None)

    def _patience(self) -> float:
        deadlines = [p.deadline() for p in list(self._processes.values())]
        first = min((at for at in deadlines if at is not None), default=None)
        return -1.0 if first is None else max(0.0, first - time.monotonic())

    def _hear(self) -> bool:
        try:
            packet = packets.receive(self._hears, self._room_for_news)
        except OSError:
            packet = None
        if packet is None:
            return False
        process = self._processes.get(packet.number)
        if process is not None:
            process.exited(packet.value, time.monotonic())
        return True

    def _end(self) -> None:
        """Nothing is asked or heard any more; what waits for an answer hears that."""
        self._hears.close()
        self._asks.shutdown(socket.SHUT_RDWR)
        with self._asking:
            self._asks.close()
        with self._watching:
            self._is_gone = True
            self._epoll.close()
            os.close(self._woken)
        for process in list(self._processes.values()):
            process.drop()


def _error_of(packet: Packet, kind: int) -> Exception:
    why, name = packet.texts
    if kind == packets.CONNECT:
        return OSError(packet.value, f"{why}: nothing can be reached at that port")
    if packet.value in _NO_PROGRAM:
        return ProgramNotFound(f"{name or 'the program'} cannot be started: {why}", program=name)
    return GuestGone(f"no program can be started now: {why}")
