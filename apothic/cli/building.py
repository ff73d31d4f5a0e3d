"""What `apothic image build`, `list` and `prune` do, on this machine."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from apothic._recipes import recipe_of
from apothic.cli import output
from apothic.cli.command import say, size
from apothic.cli.images import images_of
from apothic.cli.wishes import Wishes
from apothic_backends.archives import unpack
from apothic_backends.images import making, records, venvs
from apothic_backends.images.lanes import VENV, lane
from apothic_backends.images.records import Built
from apothic_backends.model.errors import NotBuiltYet, UsageError
from apothic_backends.model.images import ImageSpec

IMAGES = "apothic.images.v1"

_DAY_S = 86_400.0
_DIGITS = 12


def build(asked: Wishes, *, target: str) -> None:
    """Build the images of what a target names; what is printed meanwhile goes to stderr.

    Raises:
        UsageError: there are none.
        ImageBuildFailed: a step failed.
    """
    images = images_of(target)
    if not images:
        raise UsageError(
            f"nothing of {target} has an image: give one with image=Image.debian_slim()"
        )
    for image, names in images.items():
        with TemporaryDirectory(prefix="apothic-image-") as folder:
            archive = Path(folder) / "archive"
            with archive.open("wb") as file:
                recipe = recipe_of(image, file)
            for path, why in recipe.left_out.items():
                say(asked, f"left out: {path} ({why})")
            with _printing_to_stderr():
                _build(recipe.spec, archive)
        output.put(recipe.spec.digest)
        say(asked, f"{', '.join(names)}: {recipe.spec.digest[:_DIGITS]} is there")


def _build(spec: ImageSpec, archive: Path) -> None:
    if lane(spec).kind != VENV:
        raise NotBuiltYet("images that need Docker are not built by this command yet")
    brought = None
    if spec.context is not None:
        brought = archive.with_name("brought")
        brought.mkdir()
        with archive.open("rb") as file:
            unpack(file, brought, spec.context)
    making.make(spec, brought)


@contextmanager
def _printing_to_stderr() -> Generator[None]:
    """Have what tools print go where it is in nobody's way: stdout has the digests."""
    stdout = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        os.dup2(stdout, 1)
        os.close(stdout)


# --- looking ------------------------------------------------------------------------------------


def show(asked: Wishes) -> None:
    """Print what was built."""
    found = _there()
    if asked.is_json():
        output.put(output.line_of({"schema": IMAGES, "images": [_told(it) for it in found]}))
        return
    rows = [("IMAGE", "LANE", "SIZE", "BUILT", "USED", "LAYERS")]
    for it in found:
        times = (_shown(it.built_at), _shown(it.used_at))
        rows.append((it.digest[:_DIGITS], it.lane, size(_size(it)), *times, _short(it.title)))
    for line in output.columns(rows):
        output.put(line)


def _there() -> list[Built]:
    """What was built and is there still."""
    return [it for it in records.read() if venvs.Venv(it.digest).is_whole]


def _size(built: Built) -> int:
    """Its size on disk, in bytes, without what it shares with other files."""
    files = (
        Path(top, name)
        for top, _, names in os.walk(venvs.Venv(built.digest).folder)
        for name in names
    )
    return sum(file.lstat().st_size for file in files)


def _told(it: Built) -> dict[str, Any]:
    return {
        "digest": it.digest,
        "lane": it.lane,
        "size_bytes": _size(it),
        "built_at": it.built_at,
        "used_at": it.used_at,
        "layers": [{"key": key, "step": title} for key, title in it.layers],
    }


def _shown(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment, UTC).astimezone():%Y-%m-%d %H:%M}"


def _short(title: str) -> str:
    line = " ".join(title.split())
    return line if len(line) <= _MOST else f"{line[: _MOST - 3]}..."


_MOST = 60


def prune(asked: Wishes, *, days: float) -> None:
    """Remove what was not used for so many days, and print what was."""
    limit = datetime.now(UTC).timestamp() - days * _DAY_S
    freed = 0
    for it in _there():
        if it.used_at > limit:
            continue
        nbytes = _size(it)
        if venvs.remove(it.digest):
            freed += nbytes
            output.put(it.digest)
        else:
            say(asked, f"{it.digest[:_DIGITS]} stays: something runs in it")
    say(asked, f"{size(freed)} are free again")
