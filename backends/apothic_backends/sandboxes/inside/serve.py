"""The first process of a guest: it starts programs, tells how they end, and kills them."""

from __future__ import annotations

import _socket
import fcntl
import os
import select
import struct
import termios

from apothic_backends.sandboxes.inside import kernel, packets, trees
from apothic_backends.sandboxes.inside.packets import Packet
from apothic_backends.sandboxes.inside.plan import LIMITS, WORKSPACE, Plan

PIPES, MERGED, TERMINAL = 0, 1, 2
"""How a program is connected; with a terminal its rows and columns stand above bit 8."""

MARK = "APOTHIC_EXEC_ID"
"""The variable by which the processes of one program are known."""

_IGNORED = (13, 25)  # SIGPIPE, SIGXFSZ; the module of signals costs milliseconds
"""What Python ignores, and a program should not."""
_ENOENT, _EACCES, _EINPROGRESS = 2, 13, 115


class Links:
    """The sockets over which the owner asks, and is told."""

    def __init__(self, asked: _socket.socket, told: _socket.socket) -> None:
        self.asked = asked
        self.told = told

    def close(self) -> None:
        """Leave them to others."""
        self.asked.close()
        self.told.close()


class Server:
    """Serves the owner until it is gone."""

    def __init__(self, links: Links, plan: Plan, missing: list[str]) -> None:
        self._asked, self._told = links.asked, links.told
        self._plan = plan
        self._missing = missing
        self._room = bytearray(packets.MOST_BYTES)
        self._pids: dict[int, int] = {}
        """The process of each program that runs, by its exec id."""
        self._execs: dict[int, int] = {}
        self._do = {
            packets.START: self._start,
            packets.SIGNAL: self._signal,
            packets.KILL: self._kill,
            packets.CONNECT: self._connect,
        }

    def run(self) -> None:
        """Serve; afterwards nothing of the guest is left."""
        ended = kernel.children_that_end()
        poll = select.poll()
        poll.register(self._asked.fileno(), select.POLLIN)
        poll.register(ended, select.POLLIN)
        packets.send(self._asked, packets.READY, texts=self._missing)
        try:
            while self._serve(poll, ended):
                pass
        finally:
            if self._plan.level == LIMITS:
                trees.kill_all()

    def _serve(self, poll: select.poll, ended: int) -> bool:
        for fd, _events in poll.poll():
            if fd == ended:
                os.read(ended, 4096)
                self._reap()
                continue
            packet = packets.receive(self._asked, self._room)
            if packet is None:
                return False
            try:
                self._do[packet.kind](packet)
            except OSError as error:
                self._refuse(packet, error)
            finally:
                for passed in packet.fds:
                    os.close(passed)
        return True

    def _refuse(self, packet: Packet, error: OSError) -> None:
        if packet.kind in {packets.SIGNAL, packets.KILL}:
            return  # it has ended meanwhile
        texts = [error.strerror or str(error), str(error.filename or "")]
        packets.send(self._asked, packets.REFUSED, packet.number, error.errno or 0, texts)

    def _reap(self) -> None:
        """Tell of programs that have ended; what they left behind becomes our child, and goes."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            number = self._execs.pop(pid, None)
            if number is not None:
                del self._pids[number]
                code = os.waitstatus_to_exitcode(status)
                packets.send(self._told, packets.EXITED, number, code)

    # --- programs -----------------------------------------------------------------------------

    def _start(self, packet: Packet) -> None:
        workdir, count = packet.texts[0], int(packet.texts[1])
        argv, variables = packet.texts[2 : 2 + count], packet.texts[2 + count :]
        env = dict(variable.split("=", 1) for variable in variables)
        env[MARK] = f"{self._plan.token}.{packet.number}"
        os.chdir(self._place(workdir))
        program = _find(argv[0], env.get("PATH", ""))
        outer = inner = -1
        if packet.value & 0xFF == TERMINAL:
            outer, inner, actions = _terminal(packet.value >> 8)
        else:
            actions = [(os.POSIX_SPAWN_DUP2, fd, to) for to, fd in enumerate(packet.fds)]
            if packet.value == MERGED:
                actions.append((os.POSIX_SPAWN_DUP2, 1, 2))
        try:
            pid = os.posix_spawn(
                program,
                argv,
                env,
                file_actions=actions,
                setsid=True,
                setsigmask=(),
                setsigdef=_IGNORED,
            )
            self._pids[packet.number], self._execs[pid] = pid, packet.number
            passed = () if outer < 0 else (outer,)
            packets.send(self._asked, packets.DONE, packet.number, pid, fds=passed)
        finally:
            if outer >= 0:
                os.close(outer)
                os.close(inner)

    def _place(self, workdir: str) -> str:
        """Where a path of the guest is: without a root of its own the workspace is elsewhere."""
        if self._plan.level != LIMITS:
            return os.path.join(WORKSPACE, workdir)
        if workdir == WORKSPACE or workdir.startswith(f"{WORKSPACE}/"):
            return self._plan.workspace + workdir[len(WORKSPACE) :]
        return os.path.join(self._plan.workspace, workdir)

    def _signal(self, packet: Packet) -> None:
        pid = self._pids.get(packet.number)
        if pid is not None:
            try:
                os.killpg(pid, packet.value)
            except ProcessLookupError:
                os.kill(pid, packet.value)  # it has left its group

    def _kill(self, packet: Packet) -> None:
        mark = f"{MARK}={self._plan.token}.{packet.number}"
        trees.kill(self._pids.get(packet.number), mark)

    def _connect(self, packet: Packet) -> None:
        made = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
        try:
            made.setblocking(False)
            number = made.connect_ex(("127.0.0.1", packet.value))
            if number not in {0, _EINPROGRESS}:
                raise OSError(number, os.strerror(number))
            packets.send(self._asked, packets.DONE, packet.number, fds=(made.fileno(),))
        finally:
            made.close()


def _find(name: str, path: str) -> str:
    """The program of that name.

    Raises:
        OSError: there is none, or it may not be started.
    """
    if "/" in name:
        if not os.path.exists(name):
            raise OSError(_ENOENT, os.strerror(_ENOENT), name)
        return name
    for folder in path.split(":"):
        found = f"{folder or '.'}/{name}"
        if os.access(found, os.X_OK) and not os.path.isdir(found):
            return found
    raise OSError(_ENOENT, os.strerror(_ENOENT), name)


def _terminal(size: int) -> tuple[int, int, list[tuple[int, ...] | tuple[int, int, str, int, int]]]:
    """A terminal's outer and inner end, and how a program takes it as its own."""
    outer, inner = os.openpty()
    fcntl.ioctl(outer, termios.TIOCSWINSZ, struct.pack("4H", size >> 16, size & 0xFFFF, 0, 0))
    # The first process of a session takes the terminal that it opens as the one it obeys.
    opened = (os.POSIX_SPAWN_OPEN, 0, os.ttyname(inner), os.O_RDWR, 0)
    copies = [(os.POSIX_SPAWN_DUP2, 0, 1), (os.POSIX_SPAWN_DUP2, 0, 2)]
    return outer, inner, [opened, *copies]
