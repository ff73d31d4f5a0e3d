"""The descriptors between the host and one executor."""

from __future__ import annotations

import mmap
import os
import socket
from contextlib import ExitStack

from apothic_emulator.executors import wire

_BULK_BYTES = 4 << 20
"""What the kernel is asked to hold of a large payload. It gives what its own limit allows (often
208 KiB): each time that it is full, sender and receiver have to wake each other."""


class Channels:
    """Both ends of the three channels and the two log pipes, and the shared file.

    Raises:
        OSError: this process has no descriptors left; none is kept.
    """

    def __init__(self) -> None:
        self._theirs: list[int] = []
        with ExitStack() as undo:
            self.jobs, self.unread = _pair(undo, socket.SOCK_SEQPACKET)
            self.bulk, bulk = _pair(undo, socket.SOCK_STREAM)
            for end in (self.bulk, bulk):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BULK_BYTES)
            self.session, session = _pair(undo, socket.SOCK_STREAM)
            self.out, out = _pipe(undo)
            self.err, err = _pipe(undo)
            self.shared = os.memfd_create("apothic-shared")
            undo.callback(os.close, self.shared)
            os.truncate(self.shared, wire.SHARED_FLAGS)
            self.flags = mmap.mmap(self.shared, wire.SHARED_FLAGS)
            undo.pop_all()
        for mine in (self.jobs, self.bulk, self.session):
            mine.setblocking(False)
        self._theirs = [bulk.detach(), session.detach(), out, err]

    @property
    def to_hand_over(self) -> list[int]:
        """What the executor gets, in the order in which it expects it."""
        return [self.unread.fileno(), *self._theirs, self.shared]

    def handed_over(self) -> None:
        """The executor has its ends: ours must not keep its channels open.

        Its end of `jobs` is kept, because what can still be received there it has not received.
        """
        for fd in self._theirs:
            os.close(fd)
        self._theirs = []

    def close(self) -> None:
        """Let go of all that is left."""
        self.handed_over()
        self.flags.close()
        for mine in (self.jobs, self.unread, self.bulk, self.session):
            mine.close()
        for fd in (self.out, self.err, self.shared):
            os.close(fd)


def _pair(undo: ExitStack, kind: int) -> tuple[socket.socket, socket.socket]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, kind)
    undo.callback(ours.close)
    undo.callback(theirs.close)
    return ours, theirs


def _pipe(undo: ExitStack) -> tuple[int, int]:
    ours, theirs = os.pipe()
    undo.callback(os.close, ours)
    undo.callback(os.close, theirs)
    return ours, theirs
