"""Paths as users of a sandbox write them, and as they are beneath its workspace."""

from __future__ import annotations

import os

from apothic_backends.model.errors import PathRefused
from apothic_backends.volumes.paths import inside

MOST_PATH = 4095
"""Bytes of a path, as systems have it."""


def beneath(path: str, prefix: str) -> str:
    """A path as it is beneath the workspace: `a/b`, and the empty one for the workspace itself.

    It is absolute and begins with `prefix`, name by name, or is relative to it.

    Raises:
        PathRefused: it leads elsewhere, or would on another system.
    """
    rest = path
    if path.startswith("/"):
        rest = path.removeprefix(prefix)
        if rest == path or (rest and not rest.startswith("/")):
            raise PathRefused(
                f"{path!r:.200} is not beneath {prefix}, where the files of the sandbox are",
                path=path,
            )
        rest = f"/{rest.lstrip('/')}"
    found = inside(rest, of=prefix)
    if len(os.fsencode(found)) > MOST_PATH:
        raise PathRefused(f"{path!r:.80}… has more than {MOST_PATH} bytes", path=path)
    return found


def shown(path: str, prefix: str) -> str:
    """A path for people, which leads to the same place in a call and inside the sandbox."""
    return f"{prefix}/{path}" if path else prefix
