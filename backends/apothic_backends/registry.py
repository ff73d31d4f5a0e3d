"""Which backend a name stands for.

The name comes from the caller, else from `APOTHIC_BACKEND`, else it is `local`. The address of a
control plane (`https://...`) is a name, too; `remote` is the one that was chosen, and `cloud` the
one that `apothic cloud up` has made. Our own are found without looking at what is installed,
because a scan of entry points costs five interpreter starts.
Inside a worker every name stands for the session with the control plane that started it; the worker
says so in `APOTHIC_WORKER`, with its own process id, so that programs it starts do not believe it.
"""

from __future__ import annotations

import os
from importlib import import_module

from apothic_backends.base import Backend
from apothic_backends.model.errors import NotFound, UsageError
from apothic_backends.model.images import ImageSpec

GROUP = "apothic.backends"
"""The entry point group in which packages offer backends: a name for `module:opener`."""

_KNOWN = {
    "local": "apothic_emulator.local:open_local",
    "inline": "apothic_emulator.inline.backend:open_inline",
    "remote": "apothic_backends.remote.backend:open_chosen",
    "cloud": "apothic_backends.remote.backend:open_cloud",
}
_ADDRESSES = ("https://", "http://")
_SESSION = "apothic_emulator.executors.session:open_session"


_ELSEWHERE = ("remote", "cloud")
FAR, HERE = "APOTHIC_FAR", "1"
"""The environment variable that an agent on another machine than its control plane's sets: to that,
or where the machine is rented to its tag."""

_HERE = ("local", "inline")
"""Backends that reach nothing beyond the program."""

_PRODUCTION = (
    "AWS_LAMBDA_FUNCTION_NAME",
    "DYNO",
    "ECS_CONTAINER_METADATA_URI_V4",
    "FLY_MACHINE_ID",
    "K_SERVICE",
    "RAILWAY_ENVIRONMENT_ID",
    "RENDER",
)
"""What services that run programs in production set. Kubernetes is not among them: notebooks and
continuous integration run there, too."""

_only: tuple[str, str] | None = None


def allow_only(name: str | None, why: str = "") -> None:
    """Refuse every other name from now on, and say why; None allows all again."""
    global _only  # noqa: PLW0603 - a lock on the whole process is the point
    _only = (name, why) if name is not None else None


def is_worker() -> bool:
    """Whether this very process is a worker."""
    return os.environ.get("APOTHIC_WORKER") == str(os.getpid())


def is_elsewhere() -> bool:
    """Whether the backend of this process is on another machine, as its name says, or may be.

    Raises:
        UsageError: it was started by a worker on another machine, and has no backend of its own.
    """
    if os.environ.get(FAR):
        if is_worker():
            return True
        raise UsageError(
            "this program was started by a function on a machine that is not the control plane's, "
            "and cannot ask for volumes by their names; use the paths at which the function has "
            "them mounted"
        )
    name = os.environ.get("APOTHIC_BACKEND") or ""
    return name in _ELSEWHERE or name.startswith(_ADDRESSES)


def source() -> tuple[str, tuple[str, ...]] | None:
    """The archive that this worker runs in, and the folders of its modules; None if in none."""
    told = os.environ.get("APOTHIC_SOURCE") if is_worker() else None
    if not told:
        return None
    digest, *path = told.split("\n")
    return digest, tuple(path)


def own_image() -> tuple[str, ImageSpec] | None:
    """The function (`app/name`) that this worker runs, and its image if that brings files."""
    told = os.environ.get("APOTHIC_IMAGE") if is_worker() else None
    if not told:
        return None
    from apothic_backends import codec  # few workers ask  # noqa: PLC0415

    name, _, recipe = told.partition("\n")
    return name, codec.from_bytes(recipe.encode(), [])


def open_backend(name: str | None = None) -> Backend:
    """Open the backend of that name.

    Raises:
        NotFound: no installed package offers one; the message lists those there are.
        UsageError: only another one is allowed here; or a test would reach something beyond itself,
            or a program in production nothing, and nobody has said that this is meant.
    """
    wanted = name or os.environ.get("APOTHIC_BACKEND") or "local"
    if name is None and not is_worker():
        _check_meant(wanted)
    if _only is not None and wanted != _only[0]:
        raise UsageError(f"the backend {wanted!r} is not to be opened here: {_only[1]}")
    if wanted.startswith(_ADDRESSES) and not is_worker():
        return _remote(wanted)
    target = _SESSION if is_worker() else _KNOWN.get(wanted) or _installed(wanted)
    module, _, opener = target.partition(":")
    backend: Backend = getattr(import_module(module), opener)()
    return backend


def shared() -> str | None:
    """The name of what programs of this user share where `APOTHIC_BACKEND` names nothing.

    That is the address of the `apothic dev` that runs in this project; else "remote" if `apothic
    auth use` has chosen a control plane; else the address of the server that runs on this machine.
    None if there is none of these; in a worker; and in a test, unless `APOTHIC_TEST_BACKEND` says
    the same.

    Raises:
        UsageError: files that should tell could have been written by others.
    """
    if is_worker():
        return None
    name = _developed() or ("remote" if _chosen() else _running())
    is_test = "PYTEST_CURRENT_TEST" in os.environ
    return None if is_test and os.environ.get("APOTHIC_TEST_BACKEND") != name else name


def _developed() -> str | None:
    from apothic_backends.remote.running import running_dev  # as below  # noqa: PLC0415

    found = running_dev()
    return None if found is None else found.url


def _chosen() -> bool:
    from apothic_backends.remote.profiles import Profiles  # for few programs  # noqa: PLC0415

    return Profiles().chosen is not None


def _running() -> str | None:
    from apothic_backends.remote.running import running  # as above  # noqa: PLC0415

    found = running()
    return None if found is None else found.url


def _check_meant(wanted: str) -> None:
    """See to it that nobody is surprised by what the environment says, or does not."""
    is_test = "PYTEST_CURRENT_TEST" in os.environ
    if is_test and wanted not in _HERE and os.environ.get("APOTHIC_TEST_BACKEND") != wanted:
        raise UsageError(
            f"APOTHIC_BACKEND={wanted}, and this is a test: tests run on the local backend. Unset "
            f"it, or set APOTHIC_TEST_BACKEND={wanted} as well if they are to run there"
        )
    if is_test or os.environ.get("APOTHIC_BACKEND"):
        return
    service = next((name for name in _PRODUCTION if os.environ.get(name)), None)
    if service is not None:
        raise UsageError(
            f"{service} is set, so this program seems to run in production, and APOTHIC_BACKEND is "
            "not: jobs would run in this very machine and end with it. Set APOTHIC_BACKEND to the "
            "address of a control plane, or to local if that is meant"
        )


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
            "Set APOTHIC_BACKEND to one of them, or to an address (https://... or http://...), or "
            "install the package that brings it",
            name=wanted,
            known=known,
        )
    return offered[wanted]
