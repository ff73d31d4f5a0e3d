"""The `local` backend: a whole control plane inside the user's process."""

from __future__ import annotations

import sys

from apothic_backends.base import Backend
from apothic_backends.model.errors import BackendError, NotBuiltYet


def open_local() -> Backend:
    """Open a control plane in this process.

    Raises:
        NotBuiltYet: this is not Linux.
        BackendError: this process has no descriptors left, or the like.
    """
    if not sys.platform.startswith("linux"):
        raise NotBuiltYet(
            f"worker processes are built for Linux so far, and this is {sys.platform}; "
            "call the function in place with fn.local(...)"
        )
    try:
        return _open()
    except OSError as error:
        raise BackendError(f"the local control plane cannot be opened: {error}") from error


def _open() -> Backend:
    from apothic_emulator.agent.zygote import Zygote  # noqa: PLC0415 - needs Linux's epoll
    from apothic_emulator.host.thread import HostThread  # noqa: PLC0415

    thread = HostThread(Zygote())
    thread.start()
    try:
        # Only now, so that the zygote starts up on another core while the rest is imported here.
        from apothic_emulator.host.backend import LocalBackend  # noqa: PLC0415
        from apothic_emulator.host.host import Host  # noqa: PLC0415

        return LocalBackend(Host(thread))
    except BaseException:
        thread.end()
        raise
