"""The host's end of the zygotes: starting one, asking it to fork, and hearing who has ended.

This is the seam for other places and platforms: a `Launch` is all that differs between a zygote
that is our child, one in a virtual environment, and one in a container.
"""

from __future__ import annotations

import array
import contextlib
import errno
import os
import signal
import socket
import sys
from collections.abc import Callable
from select import EPOLLIN, epoll
from typing import Protocol

from apothic_backends.model.jobs import ErrorInfo
from apothic_emulator.agent import interpreter
from apothic_emulator.executors import orders, preload
from apothic_emulator.executors.orders import Message

CONTROL_FD = 3
_MOST_TOLD = 4096
MARK = "APOTHIC_ZYGOTE"
"""The environment variable by which everything under a zygote can be recognised."""


class Launched(Protocol):
    """A zygote as whoever has launched it sees it."""

    @property
    def pid(self) -> int | None:
        """Its process, if that is one of this machine."""
        ...

    @property
    def error(self) -> ErrorInfo | None:
        """Why it could not be launched after all, once its channel has ended."""
        ...

    def wait(self) -> None:
        """Block until it is gone, with everything below it; it was told to end."""
        ...


Launch = Callable[[socket.socket, str], Launched]
"""Starts a zygote that has the far end of its channel, and whose environment has a mark.

It returns at once: what takes longer is done on a thread. The far end is the launcher's, which
closes it as soon as the zygote has it, or cannot have it.
"""


class Child:
    """A zygote that is our child."""

    error = None

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def wait(self) -> None:
        """Block until it has ended."""
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)


class Forked:
    """A zygote that another one has forked; the pipe ends with it and all that is below it."""

    pid = None

    def __init__(self, life: int) -> None:
        self.error: ErrorInfo | None = None
        self._life = life

    def wait(self) -> None:
        """Block until it has ended."""
        while said := os.read(self._life, _MOST_TOLD):
            why = said.decode(errors="replace")
            self.error = ErrorInfo("setup_failed", f"the environment cannot be used: {why}")
        os.close(self._life)


class _Channel:
    """One zygote's control channel, and the executors that it has forked."""

    def __init__(self) -> None:
        self.socket, self.far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.executors: set[int] = set()
        self.is_watching = False
        """Whether it looks at the memory of its executors."""

    def send(self, message: Message, descriptors: list[int] | None = None) -> None:
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors or []))
        # Blocks only while the zygote is stuck, and then so are we.
        self.socket.sendmsg([orders.pack(message)], [rights] if descriptors else [])

    def hear(self) -> tuple[list[Message], bool]:
        """What it has said since, and whether it is gone."""
        said: list[Message] = []
        try:
            while data := self.socket.recv(orders.MOST, socket.MSG_DONTWAIT):
                said.append(orders.parse(data))
        except BlockingIOError:
            return said, False
        except OSError:
            pass
        return said, True

    def close(self) -> None:
        self.socket.close()
        self.far.close()


class Zygote:
    """A child process that forks executors for us, and its forks with more modules in them.

    The newest of them that is ready gets the next executor; the others keep those they have.
    """

    def __init__(self, launch: Launch | None = None, mark: str = "") -> None:
        """Without a `launch` it is one for this interpreter, and is replaced when it has ended."""
        self.control = epoll()
        """Readable when one of them has said something."""
        self.mark = mark or os.urandom(8).hex()
        self.is_gone = False
        """Whether it has ended, and was not replaced."""
        self._launch = launch
        self._launched: Launched | None = None
        self._error: ErrorInfo | None = None
        self._asked_for: set[str] = set()
        self._chain: list[_Channel] = []
        """Zygotes by age, the ready ones first."""
        self._ready = 1
        self._add(_Channel())

    def _add(self, channel: _Channel) -> None:
        self._chain.append(channel)
        self.control.register(channel.socket, EPOLLIN)

    @property
    def pid(self) -> int | None:
        """The process of the first of them."""
        return None if self._launched is None else self._launched.pid

    @property
    def error(self) -> ErrorInfo | None:
        """Why it could not be launched."""
        return self._error if self._launched is None else self._launched.error

    @property
    def is_idle(self) -> bool:
        """Whether it has no executor."""
        return not any(channel.executors for channel in self._chain)

    def start(self) -> None:
        """Start the process."""
        launch = self._launch or _spawn_own
        self._launched = launch(self._chain[0].far, self.mark)

    def fork(
        self, number: int, descriptors: list[int], allowed: bytes = b"", flags: int = 0
    ) -> None:
        """Ask for an executor that gets these descriptors, and may use so much.

        If the zygote has just gone, the executor has ended with it: `hear` will tell.

        Raises:
            OSError: a descriptor cannot be passed.
        """
        channel = self._chain[self._ready - 1]
        channel.executors.add(number)  # first, so that it ends with the zygote if that ends now
        try:
            channel.send(Message(orders.FORK, number, flags=flags, rest=allowed), descriptors)
        except (BrokenPipeError, ConnectionResetError):
            pass
        except OSError:
            channel.executors.discard(number)
            raise

    def preload(self, modules: tuple[str, ...]) -> None:
        """Have modules imported for executors to come, unless that has been asked for before."""
        new = [name for name in modules if name not in self._asked_for]
        if not new or len(self._chain) > self._ready:
            return  # one at a time; the function's next executor asks again
        self._asked_for.update(new)
        try:
            channel = _Channel()
        except OSError:
            return  # no descriptors left: then without
        order = preload.pack(new, interpreter.path(), dict(os.environ))
        try:
            self._chain[-1].send(Message(orders.PRELOAD, rest=order), [channel.far.fileno()])
        except OSError:
            channel.close()  # too much to say, or the zygote is gone: then without
            return
        channel.far.close()
        self._add(channel)

    def fork_guest(self, far: socket.socket, order: bytes) -> Launched:
        """Have a zygote of an environment, forked off the bare one.

        Raises:
            OSError: the zygote is gone.
        """
        life, theirs = os.pipe()
        try:
            self._chain[0].send(Message(orders.GUEST, rest=order), [far.fileno(), theirs])
        except OSError:
            os.close(life)
            raise
        finally:
            os.close(theirs)
            far.close()
        return Forked(life)

    def signal(self, number: int, signum: int) -> None:
        """Send an executor a signal, if it has not ended."""
        self._tell(number, Message(orders.SIGNAL, number, int(signum)))

    def watch(self, number: int) -> None:
        """See to it that an executor's memory is looked at for a while."""
        for channel in self._chain:
            if number in channel.executors and not channel.is_watching:
                channel.is_watching = True
                with contextlib.suppress(OSError):
                    channel.send(Message(orders.WATCH))

    def relax(self, number: int, limit_mb: int) -> None:
        """Watch an executor under another limit."""
        self._tell(number, Message(orders.LIMIT, number, limit_mb))

    def clean_up(self, folders: tuple[str, ...]) -> None:
        """Have control groups removed if this process dies."""
        if folders:
            with contextlib.suppress(OSError):
                self._chain[0].send(Message(orders.FOLDERS, rest="\0".join(folders).encode()))

    def hung_up(self, number: int, patience_ms: int) -> None:
        """Its channel has ended: it is killed unless it ends by itself within the time."""
        self._tell(number, Message(orders.HUNG_UP, number, patience_ms))

    def _tell(self, number: int, message: Message) -> None:
        for channel in self._chain:
            if number in channel.executors:
                with contextlib.suppress(OSError):
                    channel.send(message)

    def end(self) -> None:
        """Have everything end: executors get a moment for their exit handlers."""
        for channel in self._chain:
            with contextlib.suppress(OSError):
                channel.send(Message(orders.CLOSE))

    def hear(self) -> list[Message]:
        """What they have said since; an executor whose zygote is gone has ended with it."""
        news: list[Message] = []
        for fd, _ in self.control.poll(0):
            for channel in self._chain:
                if channel.socket.fileno() == fd:
                    news += self._hear(channel)
                    break
        return news

    def _hear(self, channel: _Channel) -> list[Message]:
        said, is_gone = channel.hear()
        for message in said:
            if message.kind == orders.READY:
                self._ready = len(self._chain)
            elif message.kind == orders.WATCHED:
                channel.is_watching = False
            elif message.kind in (orders.ENDED, orders.FAILED):
                channel.executors.discard(message.number)
        if is_gone:
            said += self._lose(channel)
        return [message for message in said if message.kind != orders.READY]

    def _lose(self, channel: _Channel) -> list[Message]:
        """A zygote has ended, and its executors and successors with it."""
        at = self._chain.index(channel)
        lost, left = self._chain[at:], self._chain[:at]
        if not left:
            left = [_Channel()]  # what is asked meanwhile lies in there until the next one starts
            self.control.register(left[0].socket, EPOLLIN)
        self._ready = min(self._ready, len(left))
        self._chain = left
        ended: list[Message] = []
        for gone in lost:
            self.control.unregister(gone.socket)
            gone.close()
            ended += [Message(orders.ENDED, n, int(signal.SIGKILL)) for n in sorted(gone.executors)]
        if not at:
            self.wait()
            kill_marked(self.mark)
            self._asked_for.clear()
            self.is_gone = self._launch is not None
            if not self.is_gone:
                self.start()
        return ended

    def wait(self) -> None:
        """Block until the process has ended; Ctrl-C makes it hurry."""
        while self._launched is not None:
            try:
                self._launched.wait()
            except KeyboardInterrupt:
                self.end()
                continue
            self._error = self._launched.error
            self._launched = None

    def close(self) -> None:
        """Let go of the channels."""
        for channel in self._chain:
            channel.close()
        self.control.close()


def spawn(program: list[str], far: socket.socket, env: dict[str, str]) -> int:
    """Start a program of zygotes with its channel as descriptor 3; its process id."""
    pid = os.posix_spawn(
        program[0],
        program,
        env,
        file_actions=[
            (os.POSIX_SPAWN_DUP2, far.fileno(), CONTROL_FD),
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
        ],
        setsid=True,
    )
    far.close()
    return pid


def _spawn_own(far: socket.socket, mark: str) -> Launched:
    """Start one like this interpreter."""
    program = interpreter.command(
        "from apothic_emulator.executors.zygote import main; "
        f"main({CONTROL_FD}, {os.getpid()}, by_value={_has_functions_by_value()})"
    )
    return Child(spawn(program, far, {**os.environ, MARK: mark}))


def _has_functions_by_value() -> bool:
    """Whether the user's script itself declares functions: those travel as pickles.

    Only a guess that saves time: the zygote then imports beforehand what it needs in any case.
    """
    script = vars(sys.modules.get("__main__", os))
    return any(
        type(value).__module__.partition(".")[0] == "apothic"
        and getattr(value, "__module__", None) == "__main__"
        for value in list(script.values())
    )


def failure(message: Message) -> str:
    """What a FAILED message says."""
    return f"{errno.errorcode.get(message.value, 'error')}: {os.strerror(message.value)}"


def kill_marked(mark: str) -> None:
    """Kill what a zygote that was killed could not: processes that left their executor's session.

    They are known by an environment variable, so those that have removed it live on.
    """
    wanted = f"{MARK}={mark}".encode()
    from pathlib import Path  # noqa: PLC0415 - costs 5 ms at the start of every program

    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and wanted in (entry / "environ").read_bytes():
                os.kill(int(entry.name), signal.SIGKILL)
        except OSError:
            continue  # it has ended, or is somebody else's
