"""Images of Docker made from recipes: built once, found by their digest, and removed again.

    recipe ──needs no step──► its base, as it is (pulled if it is not here)
       └────► here already? ─yes─► apothic/DIGEST
                  └no──► Dockerfile + archive of files ──► steps ──► apothic/DIGEST

It takes nothing but the daemon and its classic builder. One process builds a recipe at a time;
others that want the same one wait for it.
"""

from __future__ import annotations

import fcntl
import re
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from apothic_backends import tars
from apothic_backends.containers import engine, indexes
from apothic_backends.home import home
from apothic_backends.images import records
from apothic_backends.images.dockerfile import render
from apothic_backends.images.lanes import DOCKER
from apothic_backends.model.errors import ApothicError
from apothic_backends.model.images import ImageBuildFailed, ImageSpec, NoDocker
from apothic_backends.model.masks import Masks
from apothic_backends.tars import FILE, Header, padding

LABEL = "dev.apothic.image"
"""The label of what was built here; its value is the digest of the recipe."""

_DOCKERFILE = ".apothic/Dockerfile"
_CHUNK = 1 << 20
_MOST_LINES = 40
"""What an error shows of the output of the step that failed."""
_STEP = re.compile(r"Step \d+/\d+ : (.*)", re.DOTALL)
_CHATTER = (" --->", "Removing intermediate container", "Successfully ")
"""What the builder says of its own work."""
_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


class Built:
    """An image that was built here."""

    def __init__(self, name: str, found: dict[str, Any]) -> None:
        self.name = name
        self.digest: str = found["Labels"][LABEL]
        self.size_bytes: int = found["Size"]
        self.created_at = float(found["Created"])
        """When that was, in seconds since 1970."""


def needs_build(image: ImageSpec) -> bool:
    """Whether it is another image than its base."""
    return bool(image.dockerfile or image.steps)


def name_of(image: ImageSpec) -> str:
    """What its containers are made from."""
    return f"apothic/{image.digest}" if needs_build(image) else image.base


def ready(image: ImageSpec, client: Any | None = None) -> str | None:
    """The name that its containers are made from, if it is here.

    Raises:
        NoDocker: there is no Docker that this process may use.
    """
    import docker.errors  # noqa: PLC0415 - slow to import, and an extra

    with _client(client) as api, engine.told():
        try:
            api.inspect_image(name_of(image))
        except docker.errors.ImageNotFound:
            return None
    return name_of(image)


def build(
    image: ImageSpec,
    archive: Path | None,
    told: Callable[[str], object],
    client: Any | None = None,
) -> str:
    """See to it that an image is here; the name that its containers are made from.

    `archive` has the files of the recipe; `told` is called with lines of the build's output, each
    with the end of its line.

    Raises:
        ImageBuildFailed: a step has failed, or the disk is full; the message shows the step.
        ImageMissing: what it begins with is not here, and cannot be pulled.
        NoDocker: there is no Docker that this process may use.
    """
    with _client(client) as api:
        if not needs_build(image):
            engine.find_image(api, image.base)
        elif ready(image, api) is None:
            with only_one(image):
                if ready(image, api) is None:  # nobody else has built it meanwhile
                    _build(api, image, archive, told)
    return name_of(image)


@contextmanager
def _client(client: Any | None) -> Generator[Any]:
    if client is not None:
        yield client
        return
    opened = engine.connect()
    try:
        yield opened
    finally:
        opened.close()


@contextmanager
def only_one(image: ImageSpec) -> Generator[None]:
    """Hold the right to build an image; others wait for it."""
    folder = home() / "images" / "docker"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / f"{image.digest}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(
    client: Any, image: ImageSpec, archive: Path | None, told: Callable[[str], object]
) -> None:
    given = indexes.arguments()
    text = indexes.reading(render(image))
    carry_out(
        client,
        Output(Masks(indexes.passwords(given)), told),
        fileobj=_context(text.encode(), archive),
        dockerfile=_DOCKERFILE,
        tag=name_of(image),
        labels={LABEL: image.digest},
        buildargs=given,
    )
    records.write(image, DOCKER)


def carry_out(client: Any, output: Output, **how: Any) -> None:
    """Have a build done, of a context that is an archive.

    Raises:
        ImageBuildFailed: a step has failed, or the disk is full; the message shows the step.
        ImageMissing: what it begins with is not here, and cannot be pulled.
        NoDocker: there is no Docker that this process may use.
    """
    always = {"custom_context": True, "rm": True, "forcerm": True, "decode": True, "timeout": None}
    try:
        with engine.told():
            events = client.build(**always, **how)
            for event in events:  # to the end in any case, or a socket would be left open
                output.take(event)
    except NoDocker as error:
        reason = str(error.data["reason"])
        if "dockerfile" in reason.lower():
            raise output.failed(reason) from None  # it cannot be read
        raise
    if output.error is not None:
        raise output.error


class Output:
    """What a build says, and which step it is at."""

    def __init__(self, masks: Masks, told: Callable[[str], object]) -> None:
        self._masks = masks
        self._told = told
        self.error: ApothicError | None = None
        self._step = ""
        self._end: deque[str] = deque(maxlen=_MOST_LINES)

    def take(self, event: dict[str, Any]) -> None:
        """One event."""
        if "error" in event:
            self.error = self.failed(str(event["error"]))
        text = self._masks.text(_COLOURS.sub("", str(event.get("stream", ""))))
        text = indexes.without_reading(text)
        step = _STEP.match(text)
        if step is not None:
            self._step = step[1].strip()
            self._end.clear()
        for line in map(str.rstrip, text.splitlines()):
            if line and not line.startswith(_CHATTER):
                if step is None:
                    self._end.append(line)
                self._told(f"{line}\n")

    def failed(self, reason: str) -> ApothicError:
        """What to raise of it."""
        if self._step.upper().startswith("FROM ") and "no space" not in reason:
            return engine.missing(self._step.split()[-1], reason)
        reason = indexes.without_reading(reason)
        output = "\n".join(self._end)
        what = f"the step {self._step!r}" if self._step else "its Dockerfile"
        way = ""
        if "no space left" in f"{reason}{output}".lower():
            way = "; the disk of Docker is full: make room with `apothic image prune`"
        shown = f":\n{output}" if output else ""
        return ImageBuildFailed(
            f"an image cannot be built: {what} failed ({reason}){way}{shown}",
            step=self._step,
            output=output,
        )


def _context(dockerfile: bytes, archive: Path | None) -> Iterator[bytes]:
    """The Dockerfile, and behind it the recipe's archive as it is."""
    yield tars.encoded(Header(_DOCKERFILE, FILE, len(dockerfile)))
    yield dockerfile + bytes(padding(len(dockerfile)))
    if archive is None:
        yield tars.END
        return
    with archive.open("rb") as file:
        while piece := file.read(_CHUNK):
            yield piece


# --- what there is -------------------------------------------------------------------------------


def listed(client: Any | None = None) -> list[Built]:
    """The images that were built here, the newest first.

    Raises:
        NoDocker: there is no Docker that this process may use.
    """
    with _client(client) as api, engine.told():
        found = api.images(filters={"label": LABEL})
    built = [Built(_name(one), one) for one in found]
    return sorted(built, key=lambda one: -one.created_at)


def prune(digests: Iterable[str] | None = None, client: Any | None = None) -> list[Built]:
    """Remove images that were built here, of these recipes only if they are given; which it were.

    One that a container is made from stays.

    Raises:
        NoDocker: there is no Docker that this process may use.
    """
    import docker.errors  # noqa: PLC0415 - as above

    wanted = None if digests is None else set(digests)
    removed: list[Built] = []
    with _client(client) as api:
        for one in listed(api):
            if wanted is not None and one.digest not in wanted:
                continue
            with engine.told():
                try:
                    api.remove_image(one.name)
                except docker.errors.ImageNotFound:
                    continue
                except docker.errors.APIError as error:
                    if error.status_code == _CONFLICT:
                        continue  # a container is made from it
                    raise
            records.forget(one.digest)
            removed.append(one)
    return removed


_CONFLICT = 409


def _name(found: dict[str, Any]) -> str:
    """By what it can be removed: one that lost its name to a newer one has an id only."""
    names = [name for name in found.get("RepoTags") or () if not name.startswith("<none>")]
    return names[0] if names else found["Id"]
