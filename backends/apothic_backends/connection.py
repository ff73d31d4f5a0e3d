"""The one open backend of this process."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

from apothic_backends.base import Backend
from apothic_backends.registry import open_backend

_lock = threading.Lock()
_open: Backend | None = None
_listener: Callable[[Backend], None] | None = None
_others: dict[tuple[str, str | None], Backend] = {}
"""Control planes that were asked for by address, one connection for each address and key."""


def connect_to(url: str, api_key: str | None = None) -> Backend:
    """The control plane at an address, whatever the backend of this process is.

    Raises:
        UsageError: that is no address, or one to which no key should be sent.
    """
    with _lock:
        backend = _others.get((url, api_key))
        if backend is None:
            from apothic_backends.remote.backend import open_remote  # noqa: PLC0415 - seldom

            backend = _others[url, api_key] = open_remote(url, api_key)
    return backend


def is_open(backend: Backend) -> bool:
    """Whether this process is connected to it."""
    return backend is _open or backend in _others.values()


def connect() -> Backend:
    """The backend of this process, opened at first use; it closes itself at exit.

    Raises:
        NotFound: `APOTHIC_BACKEND` names one that is not installed.
    """
    global _open  # noqa: PLW0603 - one per process is the point
    backend = _open
    if backend is None:
        with _lock:
            backend = _open
            if backend is None:
                backend = open_backend()
                if _listener is not None:
                    _listener(backend)
                _open = backend
    return backend


def connected() -> Backend | None:
    """The backend if there is an open one."""
    return _open


def when_open(listener: Callable[[Backend], None] | None) -> None:
    """Have the backend shown to somebody before anything is asked of it; at once if it is open."""
    global _listener  # noqa: PLW0603 - whoever runs the whole program
    _listener = listener
    backend = _open
    if backend is not None and listener is not None:
        listener(backend)


def use(backend: Backend | None) -> Backend | None:
    """Put a backend in place, and give back the one that was there; None opens anew at next use."""
    global _open
    before, _open = _open, backend
    return before


def _forget() -> None:
    """Start afresh in a forked child: the connection is its parent's."""
    global _lock  # noqa: PLW0603 - the parent may have held it in another thread
    _lock = threading.Lock()
    _others.clear()
    when_open(None)
    use(None)


os.register_at_fork(after_in_child=_forget)
