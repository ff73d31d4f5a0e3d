"""What was built on this machine: one small file for each recipe, beside what was built.

It is for people: `apothic image list` shows it, and `apothic image explain` says by it what would
be built anew. Nothing runs any slower, or at all differently, without it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from apothic_backends.home import home
from apothic_backends.images.dockerfile import Layer, layers
from apothic_backends.model.archives import check_digest
from apothic_backends.model.images import ImageSpec

_BROUGHT_NAME = 16


class Built(NamedTuple):
    """An image that was built here."""

    digest: str
    lane: str
    layers: tuple[tuple[str, str], ...]
    """The key and the title of each."""
    built_at: float
    """In seconds since 1970, as `used_at`."""
    used_at: float

    @property
    def title(self) -> str:
        """What it is, in a line."""
        return ", ".join(title for _, title in self.layers)


def write(image: ImageSpec, lane: str) -> None:
    """Remember that an image was built just now; not to be able to is no harm."""
    file = _file(image.digest)
    coming = file.with_name(f".{file.name}.{os.getpid()}")
    known = [[layer.key, layer.title] for layer in layers(image)]
    with suppress(OSError):
        file.parent.mkdir(mode=0o700, exist_ok=True)
        coming.touch()
        document = {"lane": lane, "layers": known, "built_at": coming.stat().st_mtime}
        coming.write_text(json.dumps(document), "utf-8")
        coming.rename(file)


def used(digest: str) -> None:
    """Remember that it is used now."""
    with suppress(OSError):
        os.utime(_file(digest))


def read() -> list[Built]:
    """All that are remembered, the one that was built last first."""
    found = [built for file in (home() / "images").glob("*.json") for built in _read(file)]
    return sorted(found, key=lambda built: -built.built_at)


def forget(digest: str) -> None:
    """It is there no more."""
    with suppress(OSError):
        _file(digest).unlink()


def _file(digest: str) -> Path:
    return home() / "images" / f"{check_digest(digest)}.json"


def _read(file: Path) -> list[Built]:
    try:
        known = json.loads(file.read_text("utf-8"))
        told = tuple((str(key), str(title)) for key, title in known["layers"])
        lane, built_at = str(known["lane"]), float(known["built_at"])
        return [] if not told else [Built(file.stem, lane, told, built_at, file.stat().st_mtime)]
    except (OSError, ValueError, TypeError, KeyError):
        return []  # none of ours, or damaged


# --- comparing ----------------------------------------------------------------------------------


def compared(image: ImageSpec, built: Sequence[Built]) -> list[str]:
    """Why each layer of an image would be built; "" for one that was.

    It is compared with the image that has most layers in common with it from the first on, and of
    several with the one that was built last.
    """
    wanted = layers(image)
    keys = [layer.key for layer in wanted]
    nearest = max(built, key=lambda one: _likeness(wanted, one), default=None)
    if nearest is None or _likeness(wanted, nearest) < _LIKE:
        return ["nothing that begins so was built here", *[_AFTER] * len(keys[1:])]
    shared = _shared(keys, nearest)
    reasons = [""] * shared
    if keys[shared:]:
        reasons.append(_reason(wanted[shared].title, nearest.layers[shared:]))
    return [*reasons, *[_AFTER] * (len(keys) - len(reasons))]


_AFTER = "it comes after that"
_LIKE = (0, True, 0.0)


def _likeness(wanted: Sequence[Layer], built: Built) -> tuple[int, bool, float]:
    begins_alike = wanted[0].title == built.layers[0][1]
    return _shared([layer.key for layer in wanted], built), begins_alike, built.built_at


def _shared(keys: Sequence[str], built: Built) -> int:
    """How many layers they have in common."""
    pairs = zip(keys, built.layers, strict=False)
    same = [key == known for key, (known, _) in pairs]
    return (*same, False).index(False)


def _reason(title: str, others: Sequence[tuple[str, str]]) -> str:
    if not others:
        return "it is new"
    was = others[0][1]
    return "its files have changed" if _plain(title) == _plain(was) else f"it was: {was}"


def _plain(title: str) -> str:
    """The title, without the names that what was brought has by its content."""
    begin, *others = title.split(".apothic/")
    return begin + "".join(other[_BROUGHT_NAME:] for other in others)
