"""Paths inside a volume: as text that came from outside, and through the links in it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable

from apothic_backends.model.errors import InvalidOption, PathRefused

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
_DRIVE = re.compile(r"[A-Za-z]:")
_ENCODED = re.compile(r"%(2e|2f|5c|00)", re.IGNORECASE)
_MOST_LINKS = 40
MOST_NAME = 255
"""Bytes of one name in a path, as file systems have it."""

ReadLink = Callable[[str], str | None]
"""The target of the link at a path; None if it is none."""


def check_name(name: str) -> str:
    """Check the name of a volume.

    Raises:
        InvalidOption: it is no plain word.
    """
    if not _NAME.match(name):
        raise InvalidOption(
            f"the name of a volume has 1 to 64 letters, digits, '.', '_' and '-', and begins with "
            f"a letter or a digit; {name!r} does not",
            option="name",
            value=name,
        )
    return name


def inside(path: str, *, of: str = "a volume") -> str:
    """A path as a volume knows it, or what else it is of: `a/b`, and the empty one for its root.

    One slash before it is the volume's own root, which is all the root that there is.

    Raises:
        PathRefused: it leads elsewhere, or would on another system.
    """
    odd = (
        "\0" in path
        or path.startswith(("//", "~"))
        or _DRIVE.match(path)
        or _ENCODED.search(path)
        or ".." in path.replace("\\", "/").split("/")
    )
    if odd:
        raise PathRefused(f"{path!r:.200} is no path inside {of}", path=path)
    parts = [part for part in path.split("/") if part not in ("", ".")]
    try:
        longest = max((len(os.fsencode(part)) for part in parts), default=0)
    except UnicodeEncodeError:
        raise PathRefused(f"{path!r:.200} is no text that a path can have", path=path) from None
    if longest > MOST_NAME:
        raise PathRefused(f"{path[:80]!r}… has a name of more than {MOST_NAME} bytes", path=path)
    return "/".join(parts)


def parents(path: str) -> list[str]:
    """The folders above a path, the outermost first."""
    parts = path.split("/")
    return ["/".join(parts[:depth]) for depth in range(1, len(parts))]


def follow(path: str, read_link: ReadLink, *, last: bool = True) -> str:
    """Where a path leads through the links on its way, and with `last` through its own.

    Raises:
        PathRefused: out of the volume, or in a circle.
    """
    done: list[str] = []
    ahead = path.split("/")[::-1]
    links = 0
    while ahead:
        part = ahead.pop()
        if part in ("", "."):
            continue
        if part == "..":
            if not done:
                raise PathRefused(f"{path!r} leads out of the volume", path=path)
            done.pop()
            continue
        done.append(part)
        target = read_link("/".join(done)) if ahead or last else None
        if target is None:
            continue
        links += 1
        if links > _MOST_LINKS:
            raise PathRefused(f"{path!r} leads in a circle", path=path, is_circle=True)
        if target.startswith("/"):
            raise PathRefused(f"{path!r} leads out of the volume", path=path)
        done.pop()
        ahead += target.split("/")[::-1]
    return "/".join(done)
