"""A zygote of a virtual environment that is a fork of a bare one of the same interpreter.

It need not be started, which would take 50 ms. What makes the interpreter that of the environment
is done by `site`, as at a start; modules that were imported from elsewhere are forgotten.
"""

from __future__ import annotations

import fcntl
import marshal
import os
import sys
from typing import NamedTuple

_OURS = ("apothic_emulator", "apothic_backends")
_LOOKED = ("sysconfig", "multiprocessing.spawn")
_SITES = ("site-packages", "dist-packages")


class Guest(NamedTuple):
    """What the zygote of an environment has to know."""

    folder: str
    """Of the environment."""
    lock: str
    """What is held, shared, as long as something runs in there; as `ours` is."""
    sources: list[str]
    """What the recipe brings, for the beginning of `sys.path`."""
    stdlib: list[str]
    ours: str
    """The folder for its end."""
    env: dict[str, str]
    dropped: list[str]
    """Variables to set, and to do without."""
    by_value: bool
    idle_s: float


def pack(guest: Guest) -> bytes:
    """The body of a GUEST order; both ends are the same interpreter."""
    return marshal.dumps(tuple(guest))


def parse(data: bytes) -> Guest:
    """What an order says."""
    return Guest(*marshal.loads(data))  # noqa: S302 - from the host, which may do all of this


def enter(guest: Guest) -> None:
    """Make this interpreter that of the environment."""
    import site  # frozen  # noqa: PLC0415

    for held, how in ((guest.lock, os.O_RDWR | os.O_CREAT), (guest.ours, os.O_RDONLY)):
        fcntl.flock(os.open(held, how | os.O_CLOEXEC, 0o600), fcntl.LOCK_SH)
    for name in guest.dropped:
        os.environ.pop(name, None)
    os.environ.update(guest.env)
    _forget(guest.stdlib)
    sys.executable = f"{guest.folder}/bin/python"
    sys.prefix = sys.exec_prefix = guest.folder
    sys.path[:] = [*guest.sources, *guest.stdlib]
    site.ENABLE_USER_SITE = None
    site.main()
    sys.path.append(guest.ours)


def _forget(stdlib: list[str]) -> None:
    """Forget what was imported from elsewhere, and what has looked where this interpreter is."""
    kept = (*_OURS, "__main__")
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None) or ""
        is_standard = file.startswith(tuple(stdlib)) and not any(site in file for site in _SITES)
        is_elsewhere = bool(file) and not is_standard and name.partition(".")[0] not in kept
        if is_elsewhere or name in _LOOKED:
            del sys.modules[name]
