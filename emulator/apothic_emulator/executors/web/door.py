"""The door of a service, as one of its processes has it.

Connections come through it from a socket that the control plane listens on, or by which an agent
hands in what it has dialled; and from processes before this one, which hand on those that are
between two requests.
"""

from __future__ import annotations

import array
import asyncio
import errno
import socket
from collections.abc import Callable, Iterator
from typing import Any

from apothic_emulator.executors.web.callers import MOST, NOTHING

MOST_AT_ONCE = 64
"""How many connections are taken before others have their turn."""

FULL_S = 1.0
"""How long none is taken by a process that cannot have more of them."""

_FULL = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}

_RIGHTS = socket.CMSG_SPACE(array.array("i").itemsize)


Taken = tuple[socket.socket, bytes]
"""A connection, and what was said along with it of its client (`callers.py`)."""


def taken_over(handed: socket.socket) -> Iterator[Taken]:
    """The connections that wait to be taken, as far as they are here."""
    while True:
        try:
            yield from _received(handed)
        except OSError:
            return


def _received(handed: socket.socket) -> list[Taken]:
    """What one message brings, which is one connection unless it was lost on the way.

    Raises:
        OSError: there is no message.
    """
    said, ancillary, _, _ = handed.recvmsg(MOST, _RIGHTS)
    if not said:
        raise ConnectionAbortedError("nobody hands on here any more")
    taken: list[socket.socket] = []
    for _, _, data in ancillary:
        found = array.array("i")
        found.frombytes(data[: len(data) - len(data) % found.itemsize])
        taken += [socket.socket(fileno=fd) for fd in found]
    for each in taken:
        each.setblocking(False)
    return [(each, said) for each in taken]


def _accepted(listener: socket.socket) -> list[Taken]:
    """The next connection to a listener, or, where an agent dials them, that it has handed in.

    Raises:
        OSError: there is none.
    """
    if listener.family == socket.AF_UNIX:
        return _received(listener)
    return [(listener.accept()[0], NOTHING)]


def hand_on(handing: socket.socket, fd: int, said: bytes = NOTHING) -> bool:
    """Hand a connection to whoever takes it over, and say something along with it."""
    rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))
    try:
        handing.sendmsg([said], [rights])
    except OSError:
        return False
    return True


def waiting(listener: socket.socket) -> Iterator[Taken]:
    """The connections that nobody has taken, as far as they are here."""
    while True:
        try:
            yield from _accepted(listener)
        except OSError:
            return


class Listening:
    """A socket of which connections are taken, some at a time."""

    def __init__(
        self,
        listener: socket.socket,
        take: Callable[[socket.socket, bytes], object],
        has_room: Callable[[], bool] | None = None,
    ) -> None:
        """It is closed at first; `take` gets each connection, as long as it `has_room`."""
        self.is_closed = False
        self._listener, self._take, self._has_room = listener, take, has_room
        self._loop = asyncio.get_running_loop()
        listener.setblocking(False)

    def open(self) -> None:
        """Take connections."""
        if not self.is_closed:
            self._loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        for _ in range(MOST_AT_ONCE):
            if self._has_room is not None and not self._has_room():
                self._loop.remove_reader(self._listener)
                return
            try:
                found = _accepted(self._listener)
            except OSError as error:
                if error.errno in _FULL:
                    self._loop.remove_reader(self._listener)
                    self._loop.call_later(FULL_S, self.open)
                return  # or another process has taken it
            for taken, said in found:
                self._take(taken, said)

    def close(self) -> None:
        """Take no more."""
        if not self.is_closed:
            self.is_closed = True
            self._loop.remove_reader(self._listener)


class Door:
    """Where connections come from: where it listens, what is handed on, and where to hand."""

    def __init__(
        self,
        fds: list[int],
        make: Callable[[bytes], asyncio.Protocol],
        has_room: Callable[[], bool] | None = None,
        count: Callable[[int], object] = int,
    ) -> None:
        """Make it; it is closed at first.

        Args:
            fds: Its sockets.
            make: Gives the protocol of a connection, of which that was said.
            has_room: Whether another connection may be taken; `open` again once that is so.
            count: Called with 1 for each that is taken, with -1 for each that came to nothing.
        """
        self.coming = 0
        """Connections that are taken, and whose protocols do not know of it yet."""
        self._make, self._count = make, count
        self._listener, self._handed, self._handing = (socket.socket(fileno=fd) for fd in fds)
        self._loop = asyncio.get_running_loop()
        for each in (self._handed, self._handing):
            each.setblocking(False)
        self._listening = Listening(self._listener, self._take, has_room)
        self.open()
        self._loop.add_reader(self._handed, self._take_over)

    def open(self) -> None:
        """Take connections."""
        self._listening.open()

    def _take_over(self) -> None:
        for taken, said in taken_over(self._handed):
            self._take(taken, said)

    def _take(self, taken: socket.socket, said: bytes) -> None:
        self.coming += 1
        self._count(1)
        self._loop.create_task(self._connect(taken, said))

    async def meet(self, taken: socket.socket, said: bytes) -> None:
        """Make a connection of a socket that was taken, of which that was said.

        Raises:
            OSError: whoever was there has gone.
        """
        await self._loop.connect_accepted_socket(lambda: self._make(said), taken)

    async def _connect(self, taken: socket.socket, said: bytes) -> None:
        try:
            if not self._listening.is_closed or not self.pass_on(taken, said):
                await self.meet(taken, said)
        except OSError:
            taken.close()  # whoever was there has gone
            self._count(-1)
        finally:
            self.coming -= 1

    def hand_on(self, transport: Any, said: bytes) -> bool:
        """Hand a connection to the process that comes after this one, as it is; it is gone here."""
        its = transport.get_extra_info("socket")
        fd = None if its is None else its.fileno()
        if fd is None or fd < 0:
            return False
        transport.pause_reading()
        if not hand_on(self._handing, fd, said):
            transport.resume_reading()
            return False
        transport.abort()
        return True

    def pass_on(self, taken: socket.socket, said: bytes) -> bool:
        """Hand on a connection of which nothing was read; it is gone here."""
        if not hand_on(self._handing, taken.fileno(), said):
            return False
        taken.close()
        return True

    def close(self) -> None:
        """Take no more."""
        if not self._listening.is_closed:
            self._listening.close()
            self._loop.remove_reader(self._handed)

    def leave(self) -> None:
        """Have nothing to do with it any more."""
        self.close()
        for each in (self._listener, self._handed, self._handing):
            each.close()
