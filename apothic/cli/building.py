"""What `apothic image build`, `list` and `prune` do, on this machine."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from apothic._recipes import recipe_of
from apothic.cli import output
from apothic.cli.command import say, size
from apothic.cli.images import images_of, short
from apothic.cli.wishes import Wishes
from apothic_backends.archives import unpack
from apothic_backends.containers import building as of_docker
from apothic_backends.images import making, records, venvs
from apothic_backends.images.lanes import DOCKER, VENV, lane
from apothic_backends.images.records import Built
from apothic_backends.model.errors import UsageError
from apothic_backends.model.images import ImageSpec, NoDocker

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
            if lane(recipe.spec).kind == DOCKER:
                of_docker.build(
                    recipe.spec,
                    None if recipe.spec.context is None else archive,
                    lambda line: say(asked, line.rstrip("\n")),
                )
            else:
                _build_venv(recipe.spec, archive)
        output.put(recipe.spec.digest)
        say(asked, f"{', '.join(names)}: {recipe.spec.digest[:_DIGITS]} is there")


def _build_venv(spec: ImageSpec, archive: Path) -> None:
    brought = None
    if spec.context is not None:
        brought = archive.with_name("brought")
        brought.mkdir()
        with archive.open("rb") as file:
            unpack(file, brought, spec.context)
    with printing_to_stderr():
        making.make(spec, brought)


@contextmanager
def printing_to_stderr() -> Generator[None]:
    """Have what tools print go where it is in nobody's way: stdout has the digests."""
    stdout = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        os.dup2(stdout, 1)
        os.close(stdout)


# --- looking ------------------------------------------------------------------------------------


class There(NamedTuple):
    """An image that is here."""

    digest: str
    lane: str
    size_bytes: int
    """With what it shares with others."""
    built_at: float
    used_at: float
    layers: tuple[tuple[str, str], ...]
    """Their keys and titles."""

    @property
    def title(self) -> str:
        """What it is, in one short line."""
        return short(", ".join(title for _, title in self.layers))


def show(asked: Wishes) -> None:
    """Print what was built."""
    found = _there(asked)
    if asked.is_json():
        output.put(output.line_of({"schema": IMAGES, "images": [_told(it) for it in found]}))
        return
    rows = [("IMAGE", "LANE", "SIZE", "BUILT", "USED", "LAYERS")]
    for it in found:
        times = (_shown(it.built_at), _shown(it.used_at))
        rows.append((it.digest[:_DIGITS], it.lane, size(it.size_bytes), *times, it.title))
    for line in output.columns(rows):
        output.put(line)


def _there(asked: Wishes) -> list[There]:
    """What was built and is there still, the latest first."""
    known = records.read()
    found = [
        There(it.digest, VENV, _size(folder), it.built_at, it.used_at, it.layers)
        for it in known
        if (folder := venvs.Venv(it.digest).folder).exists()
    ]
    found += _of_docker(asked, {it.digest: it for it in known if it.lane == DOCKER})
    return sorted(found, key=lambda it: -it.built_at)


def _of_docker(asked: Wishes, known: Mapping[str, Built]) -> Iterator[There]:
    """Those that Docker has, of what was built from here: others may use the same Docker."""
    if not known:
        return
    try:
        listed = of_docker.listed()
    except NoDocker as error:
        say(asked, f"those of Docker are not shown: {error.message}")
        return
    for it in {one.digest: one for one in listed}.values():  # a machine's has the same digest
        mine = known.get(it.digest)
        if mine is not None:
            times = (it.created_at, mine.used_at)
            yield There(it.digest, DOCKER, it.size_bytes, *times, mine.layers)


def _size(folder: Path) -> int:
    """The size of what is in a folder, in bytes."""
    files = (Path(top, name) for top, _, names in os.walk(folder) for name in names)
    return sum(file.lstat().st_size for file in files)


def _told(it: There) -> dict[str, Any]:
    layers = [{"key": key, "step": title} for key, title in it.layers]
    return {**it._asdict(), "layers": layers}


def _shown(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment, UTC).astimezone():%Y-%m-%d %H:%M}"


def prune(asked: Wishes, *, days: float) -> None:
    """Remove what was not used for so many days, and print what was."""
    limit = datetime.now(UTC).timestamp() - days * _DAY_S
    old = [it for it in _there(asked) if it.used_at <= limit]
    removed = {it.digest for it in old if it.lane == VENV and venvs.remove(it.digest)}
    of_engine = {it.digest for it in old if it.lane == DOCKER}
    if of_engine:
        removed |= {it.digest for it in of_docker.prune(of_engine)}
    for it in old:
        if it.digest in removed:
            output.put(it.digest)
        else:
            say(asked, f"{it.digest[:_DIGITS]} stays: something runs in it")
    venvs.prune_ours(limit)
    freed = sum(it.size_bytes for it in old if it.digest in removed)
    say(asked, f"up to {size(freed)} are free again")
