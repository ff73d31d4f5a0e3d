"""Networks of machines that are not there: network namespaces, each with a way to few addresses.

      in the namespace                                    outside
    127.0.0.1:4711 ◄── a program dials          who is meant, at 127.0.0.1:4711
          │                                                  ▲
          └── a socket that this process has made there ─────┘ bytes are passed on

There is nothing else that a program in there reaches, and nobody reaches it. It takes a kernel and
rights for that: root's, as a rule.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from typing import TypeVar

T = TypeVar("T")
Address = tuple[str, int]

_libc = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000
_SIOCSIFFLAGS, _SIOCSIFADDR = 0x8914, 0x8916
_UP, _NO_ADDRESS, _HERE = 1, "0.0.0.0", "127.0.0.1"
_CHUNK = 64 * 1024
_NAMED = re.compile(r"\b(?:http|ws)s?://(127(?:\.\d+){3}):(\d+)")


def named(env: Mapping[str, str]) -> set[Address]:
    """The addresses of this computer that these variables name."""
    found = (_NAMED.finditer(value) for value in env.values())
    return {(it[1], int(it[2])) for those in found for it in those}


class Network:
    """One that is cut off from all but some addresses of this computer."""

    def __init__(self, addresses: Iterable[Address]) -> None:
        """Raises OSError where that is not allowed."""
        self._lock, self._is_closed = threading.Lock(), False
        with ExitStack() as undo:
            self._undo = undo
            self._on_thread(self._make)
            for address in addresses:
                listening = self.run(lambda to=address: socket.create_server(to))
                undo.callback(_Relay(listening, address).close)
            self._undo = undo.pop_all()

    def _make(self) -> None:
        """What a thread of its own does, which is the only one to be there."""
        _check(_libc.unshare(_CLONE_NEWNET))
        self._namespace = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self._undo.callback(os.close, self._namespace)
        self._control = self._undo.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        fcntl.ioctl(self._control, _SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", _UP))

    def run(self, do: Callable[[], T]) -> T:
        """What that gives, done in there: sockets and programs that it makes stay there."""

        def enter() -> T:
            _check(_libc.setns(self._namespace, _CLONE_NEWNET))
            return do()

        return self._on_thread(enter)

    def _on_thread(self, do: Callable[[], T]) -> T:
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(do).result()

    def cut(self) -> None:
        """Nothing passes any more, not even word of that. One that is closed stays so."""
        self._be_at(_NO_ADDRESS)

    def mend(self) -> None:
        """All is as before."""
        self._be_at(_HERE)

    def _be_at(self, address: str) -> None:
        told = struct.pack("16sHH4s16x", b"lo", socket.AF_INET, 0, socket.inet_aton(address))
        with self._lock:
            if not self._is_closed:
                fcntl.ioctl(self._control, _SIOCSIFADDR, told)

    def close(self) -> None:
        """There is no way out any more, and the network goes with the last program in it."""
        with self._lock:
            self._is_closed = True
            self._undo.close()


def _check(failed: int) -> None:
    if failed:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


class _Relay:
    """Passes on what comes to a socket to an address that is the same, but elsewhere."""

    def __init__(self, listening: socket.socket, to: Address) -> None:
        self._listening, self._to = listening, to
        self._open: set[socket.socket] = set()
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        with near, suppress(OSError), socket.create_connection(self._to) as far:
            both = {near, far}
            self._open |= both
            back = threading.Thread(target=_pass, args=(far, near), daemon=True)
            back.start()
            _pass(near, far)
            back.join()
            self._open -= both

    def close(self) -> None:
        _hang_up(self._listening)
        self._thread.join()
        self._listening.close()
        for sock in [*self._open]:
            _hang_up(sock)


def _pass(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(_CHUNK):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
        return
    _hang_up(source)
    _hang_up(sink)


def _hang_up(sock: socket.socket) -> None:
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
