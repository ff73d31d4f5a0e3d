"""Which backend a name stands for.

The name comes from the caller, else from `APOTHIC_BACKEND`, else it is `local`. The address of a
control plane (`https://...`) is a name, too, and `remote` is the one that was chosen. Our own are
found without looking at what is installed, because a scan of entry points costs five
interpreter starts.
Inside a worker every name stands for the session with the control plane that started it; the worker
says so in `APOTHIC_WORKER`, with its own process id, so that programs it starts do not believe it.
"""

from __future__ import annotations

import os
from importlib import import_module

from apothic_backends.base import Backend
from apothic_backends.model.errors import NotFound, UsageError

GROUP = "apothic.backends"
"""The entry point group in which packages offer backends: a name for `module:opener`."""

_KNOWN = {
    "local": "apothic_emulator.local:open_local",
    "inline": "apothic_emulator.inline.backend:open_inline",
    "remote": "apothic_backends.remote.backend:open_chosen",
}
_ADDRESSES = ("https://", "http://")
_SESSION = "apothic_emulator.executors.session:open_session"


_only: tuple[str, str] | None = None


def allow_only(name: str | None, why: str = "") -> None:
    """Refuse every other name from now on, and say why; None allows all again."""
    global _only  # noqa: PLW0603 - a lock on the whole process is the point
    _only = (name, why) if name is not None else None


def is_worker() -> bool:
    """Whether this very process is a worker."""
    return os.environ.get("APOTHIC_WORKER") == str(os.getpid())


def source() -> tuple[str, tuple[str, ...]] | None:
    """The archive that this worker runs in, and the folders of its modules; None if in none."""
    told = os.environ.get("APOTHIC_SOURCE") if is_worker() else None
    if not told:
        return None
    digest, *path = told.split("\n")
    return digest, tuple(path)


def open_backend(name: str | None = None) -> Backend:
    """Open the backend of that name.

    Raises:
        NotFound: no installed package offers one; the message lists those there are.
        UsageError: only another one is allowed here.
    """
    wanted = name or os.environ.get("APOTHIC_BACKEND") or "local"
    if _only is not None and wanted != _only[0]:
        raise UsageError(f"the backend {wanted!r} is not to be opened here: {_only[1]}")
    if wanted.startswith(_ADDRESSES) and not is_worker():
        return _remote(wanted)
    target = _SESSION if is_worker() else _KNOWN.get(wanted) or _installed(wanted)
    module, _, opener = target.partition(":")
    backend: Backend = getattr(import_module(module), opener)()
    return backend


def _remote(url: str) -> Backend:
    """The control plane at an address."""
    module = import_module("apothic_backends.remote.backend")
    backend: Backend = module.open_remote(url)
    return backend


def _installed(wanted: str) -> str:
    """Find what a package offers under that name."""
    from importlib.metadata import entry_points  # 40 ms, so only when needed  # noqa: PLC0415

    offered = {entry.name: entry.value for entry in entry_points(group=GROUP)}
    if wanted not in offered:
        known = sorted({*offered, *_KNOWN})
        raise NotFound(
            f"no backend named {wanted!r}; there are: {', '.join(known)}. "
            "Set APOTHIC_BACKEND to one of them, or install the package that brings it",
            name=wanted,
            known=known,
        )
    return offered[wanted]
