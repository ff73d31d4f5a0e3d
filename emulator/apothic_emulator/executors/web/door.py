"""What processes of a service hand to each other: connections that are between two requests."""

from __future__ import annotations

import array
import socket
from collections.abc import Iterator

_RIGHTS = socket.CMSG_SPACE(array.array("i").itemsize)


def taken_over(handed: socket.socket) -> Iterator[socket.socket]:
    """The connections that wait to be taken, as far as they are here."""
    while True:
        try:
            _, ancillary, _, _ = handed.recvmsg(1, _RIGHTS)
        except OSError:
            return
        for _, _, data in ancillary:
            found = array.array("i")
            found.frombytes(data[: len(data) - len(data) % found.itemsize])
            for fd in found:
                taken = socket.socket(fileno=fd)
                taken.setblocking(False)
                yield taken


def hand_on(handing: socket.socket, fd: int) -> bool:
    """Hand a connection to whoever takes it over."""
    rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))
    try:
        handing.sendmsg([b"\0"], [rights])
    except OSError:
        return False
    return True
