"""What goes over the sockets between a guest's first process and the one outside that owns it.

One is for questions, each of which has its answer before the next is asked; over the other the
inside tells what has happened. So whoever asks waits for the answer itself, and no thread has to
hand it on.

    kind, number, value: 1 + 8 + 8 bytes; texts, each behind a NUL; descriptors beside it

The sockets keep packets apart. Nothing that a guest's program writes comes here.
"""

from __future__ import annotations

import _socket
import os
import struct

BEGIN = 0
"""To the inside: the plan."""
START = 1
"""Start a program: exec id, how it is connected, the texts of `Order`; its ends of pipes."""
SIGNAL = 2
"""Send a signal to a program and its process group: exec id, signal. Nobody answers."""
KILL = 3
"""Kill a program with all that it started: exec id. Nobody answers."""
CONNECT = 4
"""Connect to a port of the guest: nothing, port."""

READY = 10
"""From the inside: programs can be started; the texts say what is missing."""
REFUSED = 11
"""It cannot be done: errno as value, and texts: why, and with what."""
DONE = 12
"""It was done: for a program its process id, and the outer end of its terminal; a connection."""
EXITED = 13
"""To whoever listens: a program has ended: exec id, its exit code, or a signal below zero."""

MOST_BYTES = 160 * 1024
"""What a question may have; all that the inside says is short."""
MOST_BYTES_TOLD = 4096
_MOST_FDS = 4
_HEAD = struct.Struct("!Bqq")
_FD = struct.Struct("i")
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
    passed = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, struct.pack(f"{len(fds)}i", *fds))
    link.sendmsg([b"".join(parts)], [passed])


def receive(link: _socket.socket, room: bytearray) -> Packet | None:
    """The next one, None at the end; `room` is used for it, and may be used again."""
    size, ancillary, _flags, _address = link.recvmsg_into(
        [room], _ANCILLARY, _socket.MSG_CMSG_CLOEXEC
    )
    if not size:
        return None
    data = bytes(memoryview(room)[:size])
    fds = [fd for _level, _type, passed in ancillary for (fd,) in _FD.iter_unpack(passed)]
    texts = data[_HEAD.size + 1 :].split(b"\0") if len(data) > _HEAD.size else []
    kind, number, value = _HEAD.unpack_from(data)
    return Packet(kind, number, value, [os.fsdecode(text) for text in texts], fds)
