"""The one open backend of this process."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

from apothic_backends.base import Backend
from apothic_backends.registry import open_backend

_lock = threading.Lock()
_open: Backend | None = None
_name: str | None = None
"""By which name that was opened, if the environment did not say."""
_listener: Callable[[Backend], None] | None = None
_others: dict[tuple[str, str | None], Backend] = {}
"""Control planes that were asked for by address, one connection for each address and key."""


def connect_to(url: str, api_key: str | None = None) -> Backend:
    """The control plane at an address, or the chosen one, whatever the backend of this process is.

    Raises:
        UsageError: that is no address, or one to which no key should be sent.
    """
    opened = _open
    if opened is not None and (url, api_key) == (_name, None):
        return opened
    with _lock:
        backend = _others.get((url, api_key))
        if backend is None:
            from apothic_backends.remote.backend import (  # noqa: PLC0415 - seldom
                open_chosen,
                open_remote,
            )

            is_chosen = url == "remote"
            backend = open_chosen() if is_chosen else open_remote(url, api_key)
            _others[url, api_key] = backend
    return backend


def is_open(backend: Backend) -> bool:
    """Whether this process is connected to it."""
    return backend is _open or backend in _others.values()


def connect(name: str | None = None) -> Backend:
    """The backend of this process, opened at first use; it closes itself at exit.

    It is the one of that name, else that of the environment.

    Raises:
        NotFound: no installed package offers it.
    """
    global _open, _name
    backend = _open
    if backend is None:
        with _lock:
            backend = _open
            if backend is None:
                backend = open_backend(name)
                if _listener is not None:
                    _listener(backend)
                _open, _name = backend, name
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
    global _open, _name
    before, _open, _name = _open, backend, None
    return before


def _forget() -> None:
    """Start afresh in a forked child: the connection is its parent's."""
    global _lock  # noqa: PLW0603 - the parent may have held it in another thread
    _lock = threading.Lock()
    _others.clear()
    when_open(None)
    use(None)


os.register_at_fork(after_in_child=_forget)
