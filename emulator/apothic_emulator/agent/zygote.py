"""The host's end of the zygotes: starting one, asking it to fork, and hearing who has ended.

This is the seam for other platforms: what `start` does on Linux with a zygote, a warm stand-by
interpreter would do elsewhere.
"""

from __future__ import annotations

import array
import contextlib
import errno
import os
import signal
import socket
import sys
from select import EPOLLIN, epoll

from apothic_emulator.agent import interpreter
from apothic_emulator.executors import orders, preload
from apothic_emulator.executors.orders import Message

_CONTROL_FD = 3
MARK = "APOTHIC_ZYGOTE"
"""The environment variable by which everything under a zygote can be recognised."""


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

    def __init__(self) -> None:
        self.control = epoll()
        """Readable when one of them has said something."""
        self.pid: int | None = None
        self.mark = os.urandom(8).hex()
        self._asked_for: set[str] = set()
        self._chain: list[_Channel] = []
        """Zygotes by age, the ready ones first."""
        self._ready = 1
        self._add(_Channel())

    def _add(self, channel: _Channel) -> None:
        self._chain.append(channel)
        self.control.register(channel.socket, EPOLLIN)

    def start(self) -> None:
        """Start the process."""
        first = self._chain[0]
        program = interpreter.command(
            "from apothic_emulator.executors.zygote import main; "
            f"main({_CONTROL_FD}, {os.getpid()}, by_value={_has_functions_by_value()})"
        )
        self.pid = os.posix_spawn(
            program[0],
            program,
            {**os.environ, MARK: self.mark},
            file_actions=[
                (os.POSIX_SPAWN_DUP2, first.far.fileno(), _CONTROL_FD),
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
            ],
            setsid=True,
        )
        first.far.close()

    def fork(
        self, number: int, descriptors: list[int], allowed: bytes = b"", flags: int = 0
    ) -> None:
        """Ask for an executor that gets these descriptors, and may use so much.

        Raises:
            OSError: the zygote is gone, or a descriptor cannot be passed.
        """
        channel = self._chain[self._ready - 1]
        channel.executors.add(number)  # first, so that it ends with the zygote if that ends now
        try:
            channel.send(Message(orders.FORK, number, flags=flags, rest=allowed), descriptors)
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
            self.start()
        return ended

    def wait(self) -> None:
        """Block until the process has ended; Ctrl-C makes it hurry."""
        while self.pid is not None:
            try:
                os.waitpid(self.pid, 0)
            except ChildProcessError:
                pass
            except KeyboardInterrupt:
                self.end()
                continue
            self.pid = None

    def close(self) -> None:
        """Let go of the channels."""
        for channel in self._chain:
            channel.close()
        self.control.close()


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
