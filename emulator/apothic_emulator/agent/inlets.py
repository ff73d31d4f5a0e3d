"""Where the services of an agent get their connections: streams to the control plane, as they are.

    stream ──► [ coming ] ──┬──► a process of the service
               [ handed ] ──┘ ◄── one that ends hands on what is between two requests
                   └────────► back to the control plane, by a stream of its own, if none is left

Nobody listens here, so nobody else on this machine gets in.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from select import EPOLLIN, epoll
from typing import Any

from apothic_emulator.executors.web.door import hand_on, taken_over


class Inlet:
    """Where the processes of one service get theirs."""

    def __init__(self, service: str) -> None:
        self.service = service
        self.current: set[int] = set()
        """The processes that take connections, or will, by their numbers."""
        self.left: set[int] = set()
        """Those that end."""
        self.coming, self.putting = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.handed, self.handing = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._all = (self.coming, self.putting, self.handed, self.handing)
        for each in self._all:
            each.setblocking(False)

    @property
    def to_hand_over(self) -> list[int]:
        """What a process of the service gets."""
        return [self.coming.fileno(), self.handed.fileno(), self.handing.fileno()]

    @property
    def ends(self) -> tuple[socket.socket, socket.socket]:
        """Where connections lie that nobody has taken."""
        return self.coming, self.handed

    def close(self) -> None:
        """It is needed no more."""
        for each in self._all:
            each.close()


class Inlets:
    """All of them. `streams` is made for the first connection; what it dials, it gives to `put`."""

    def __init__(self, errands: epoll, make_streams: Callable[[Inlets], Any]) -> None:
        self._errands = errands
        self._make_streams = make_streams
        self._streams: Any = None
        self._inlets: dict[str, Inlet] = {}
        self._by_fd: dict[int, Inlet] = {}
        self._of: dict[int, Inlet] = {}
        """By the numbers of processes."""

    def to_hand_over(self, service: str) -> list[int]:
        """The descriptors for a process of a service."""
        return self._inlets[service].to_hand_over

    def started(self, number: int, service: str) -> None:
        """A process of a service is about to start."""
        inlet = self._inlets.get(service)
        if inlet is None:
            inlet = self._inlets[service] = Inlet(service)
        elif not inlet.current:
            self._look_away(inlet)
        inlet.current.add(number)
        self._of[number] = inlet

    def ends(self, number: int) -> None:
        """A process takes no more connections; if it was the last, they go back."""
        inlet = self._of.get(number)
        if inlet is not None and number in inlet.current:
            inlet.current.discard(number)
            inlet.left.add(number)
            if not inlet.current:
                for each in inlet.ends:
                    self._by_fd[each.fileno()] = inlet
                    self._errands.register(each, EPOLLIN)

    def ended(self, number: int) -> None:
        """A process is gone, and with the last all that it shared."""
        self.ends(number)
        inlet = self._of.pop(number, None)
        if inlet is None:
            return
        inlet.left.discard(number)
        if not inlet.current and not inlet.left:
            self._send_back(inlet)
            self._look_away(inlet)
            del self._inlets[inlet.service]
            inlet.close()

    def dial(self, service: str, stream: str) -> None:
        """Open a stream for a connection."""
        self.streams.open(service, stream)

    @property
    def streams(self) -> Any:
        """What dials."""
        if self._streams is None:
            self._streams = self._make_streams(self)
        return self._streams

    def put(self, service: str, stream: socket.socket, said: bytes) -> None:
        """A stream is there: it is for a process, if there is one."""
        inlet = self._inlets.get(service)
        with stream:
            if inlet is None or not hand_on(inlet.putting, stream.fileno(), said):
                self.streams.send_back(service, stream.dup(), said)

    def knocked(self, fd: int) -> None:
        """There is a connection where no process is left to take it, if that is one."""
        inlet = self._by_fd.get(fd)
        if inlet is not None:
            self._send_back(inlet)

    def _send_back(self, inlet: Inlet) -> None:
        for each in inlet.ends:
            for taken, said in taken_over(each):
                self.streams.send_back(inlet.service, taken, said)

    def _look_away(self, inlet: Inlet) -> None:
        for each in inlet.ends:
            if self._by_fd.pop(each.fileno(), None) is not None:
                self._errands.unregister(each)

    def close(self) -> None:
        """Dial no more."""
        if self._streams is not None:
            self._streams.close()
