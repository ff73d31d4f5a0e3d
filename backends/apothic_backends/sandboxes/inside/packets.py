"""What goes over the socket between a guest's first process and the one outside that owns it.

    kind, number, value: 1 + 8 + 8 bytes; texts, each behind a NUL; descriptors beside it

The socket keeps packets apart. Nothing that a guest's program writes comes here.
"""

from __future__ import annotations

import _socket
import array
import os
import struct

BEGIN = 0
"""To the inside: the plan."""
START = 1
"""Start a program: exec id, how it is connected, the texts of `Order`; its ends of pipes."""
SIGNAL = 2
"""Send a signal to a program and its process group: exec id, signal."""
KILL = 3
"""Kill a program with all that it started: exec id."""
CONNECT = 4
"""Connect to a port of the guest: number of the request, port."""

READY = 10
"""From the inside: programs can be started; the texts say what is missing."""
REFUSED = 11
"""It cannot be done: the number of what was asked, errno, and a text."""
STARTED = 12
"""A program runs: exec id, process id; the outer end of its terminal."""
EXITED = 13
"""A program has ended: exec id, its exit code, or a signal below zero."""
CONNECTED = 14
"""The connection: the number of the request; its socket."""

MOST_BYTES = 160 * 1024
_MOST_FDS = 4
_HEAD = struct.Struct("!Bqq")
_ANCILLARY = _socket.CMSG_SPACE(_MOST_FDS * 4)


class Packet:
    """One of them, as it came."""

    __slots__ = ("fds", "kind", "number", "texts", "value")

    def __init__(
        self, kind: int, number: int, value: int, texts: list[str], fds: list[int]
    ) -> None:
        self.kind = kind
        self.number = number
        self.value = value
        self.texts = texts
        self.fds = fds


def send(  # noqa: PLR0917 - in the order in which they travel
    link: _socket.socket,
    kind: int,
    number: int = 0,
    value: int = 0,
    texts: list[str] | tuple[str, ...] = (),
    fds: tuple[int, ...] = (),
) -> None:
    """Send one; raises OSError if nobody is at the other end."""
    parts = [_HEAD.pack(kind, number, value), *[b"\0" + os.fsencode(text) for text in texts]]
    if not fds:
        link.send(b"".join(parts))
        return
    passed = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, array.array("i", fds))
    link.sendmsg([b"".join(parts)], [passed])


def receive(link: _socket.socket) -> Packet | None:
    """The next one; None at the end."""
    data, ancillary, _flags, _address = link.recvmsg(
        MOST_BYTES, _ANCILLARY, _socket.MSG_CMSG_CLOEXEC
    )
    if not data:
        return None
    fds = array.array("i")
    for _level, _type, passed in ancillary:
        fds.frombytes(passed[: len(passed) // 4 * 4])
    texts = data[_HEAD.size + 1 :].split(b"\0") if len(data) > _HEAD.size else []
    kind, number, value = _HEAD.unpack_from(data)
    return Packet(kind, number, value, [os.fsdecode(text) for text in texts], list(fds))
