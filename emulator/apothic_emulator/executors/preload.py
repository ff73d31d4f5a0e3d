"""What a zygote does to its interpreter: complete it, and import modules for its executors.

A bare zygote serves at once. Modules that functions want are imported in a fork of it, which takes
over if it is still safe to fork: nothing has gone wrong, and nothing runs or is open in it that a
fork would break. Idle native threads of numerical libraries are known to do no harm.
"""

from __future__ import annotations

import marshal
import os
import sys
import warnings
from importlib import import_module
from typing import Any, NamedTuple

_DEVICES = ("/dev/nvidia", "/dev/dri", "/dev/kfd")


class Wanted(NamedTuple):
    """Modules to import, and the caller's path and environment to import them with."""

    modules: list[str]
    path: list[str]
    env: dict[str, str]


def pack(modules: list[str], path: list[str], env: dict[str, str]) -> bytes:
    """The body of a PRELOAD order; both ends are the same interpreter."""
    return marshal.dumps((modules, path, env))


def wanted(data: bytes) -> Wanted:
    """What is asked for, without the modules that are here already."""
    modules, path, env = marshal.loads(data)  # noqa: S302 - from the host, which may do all of this
    return Wanted([name for name in modules if name not in sys.modules], path, env)


def is_safe_after(wanted: Wanted, ours: set[int]) -> bool:
    """Import what is wanted; whether this process may still be forked.

    Nothing that the imports print is shown: it would come once more than in the user's program.
    """
    sockets = {fd for fd, target in _open_files() if target.startswith("socket:")}
    path_before, env_before = sys.path[:], dict(os.environ)
    terminal = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    sys.path[:] = wanted.path
    os.environ.update(wanted.env)
    try:
        for name in wanted.modules:
            import_module(name)
    except BaseException:  # noqa: BLE001 - an import may raise anything, exit too
        return False
    finally:
        os.dup2(terminal, 2)
        os.close(terminal)
        sys.path[:] = path_before
        os.environ.clear()
        os.environ.update(env_before)
    # Python 3.12 warns of every fork beside a thread, native ones included.
    warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
    return not _is_unsafe(sockets | ours)


def _is_unsafe(sockets: set[int]) -> bool:
    """Whether something runs or is open here that would break in a fork."""
    if len(sys._current_frames()) > 1:  # noqa: SLF001 - counts threads that `threading` misses
        return True
    return any(
        target.startswith(_DEVICES) or (target.startswith("socket:") and fd not in sockets)
        for fd, target in _open_files()
    )


def _open_files() -> list[tuple[int, str]]:
    found: list[tuple[int, str]] = []
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - pathlib doubles the start
        try:
            found.append((int(name), os.readlink(f"/proc/self/fd/{name}")))  # noqa: PTH115
        except OSError:
            continue  # the descriptor of this very listing
    return found


def complete_interpreter() -> None:
    """Give what `site` gives to programs, and was left out to start fast: `exit`, `help`, ..."""
    import site  # frozen, and does nothing by itself under -S  # noqa: PLC0415

    site.setquit()
    site.setcopyright()
    site.sethelper()


def reseed() -> None:
    """Forks of one process would all draw the same numbers."""
    for name in ("random", "numpy.random"):
        module: Any = sys.modules.get(name)
        if module is not None:
            module.seed()
