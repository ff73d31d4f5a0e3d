"""The `local` backend: a whole control plane inside the user's process."""

from __future__ import annotations

from apothic_backends.base import Backend
from apothic_emulator.agent.zygote import Zygote
from apothic_emulator.host.thread import HostThread


def open_local() -> Backend:
    """Open a control plane in this process."""
    thread = HostThread(Zygote())
    thread.start()
    # Only now, so that the zygote starts up on another core while the rest is imported here.
    from apothic_emulator.host.backend import LocalBackend  # noqa: PLC0415

    return LocalBackend(thread)
