"""The `local` backend: a whole control plane inside the user's process."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from apothic_backends.base import Backend
from apothic_backends.model.errors import BackendError, NotBuiltYet
from apothic_backends.project import namespace, own_folder, project, state_folder, state_url


def open_local() -> Backend:
    """Open a control plane in this process.

    What it keeps, and where, is set by `APOTHIC_STATE` or `state` in `[tool.apothic]`.

    Raises:
        NotBuiltYet: this is not Linux.
        InvalidOption: `APOTHIC_STATE` or `APOTHIC_NAMESPACE` names nothing that there is.
        StoreError: its state is in use by another program, damaged, or cannot be reached.
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

        root = project()
        url = state_url(root)
        return LocalBackend(Host(thread) if url == "memory" else _durable(thread, url, root))
    except BaseException:
        thread.end()
        raise


def _durable(thread: Any, url: str, root: Path) -> Any:
    """A host that keeps what it is told."""
    from apothic_emulator.host.commits import Commits  # noqa: PLC0415 - as above
    from apothic_emulator.host.host import Host  # noqa: PLC0415
    from apothic_emulator.stores.opening import open_store  # noqa: PLC0415

    name = namespace(root)
    store = open_store(url, state_folder(root, name), name)
    if url == "sqlite":
        own_folder(root, "state", name)
    store.open()
    try:
        host = Host(thread, commits=Commits(store))
    except BaseException:
        store.close()
        raise
    if store.archives is not None and store.archives.is_dir():
        needed = host.look(lambda plane: plane.registry.archives())
        host.agent.stock.archives.keep_only(needed)
    return host
