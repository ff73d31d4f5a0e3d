"""What `apothic image publish` does, and what is said of images that are not published."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from contextlib import closing, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

from apothic._recipes import recipe_of
from apothic.cli import output
from apothic.cli.command import say
from apothic.cli.images import images_of
from apothic.cli.wishes import Wishes
from apothic.images import Image
from apothic_backends.base import Backend
from apothic_backends.commands.machines import GetCloud, ListImages, PublishImage
from apothic_backends.images.lanes import DOCKER, lane
from apothic_backends.model.errors import ApothicError, UsageError
from apothic_backends.model.images import ImageSpec, ImageStep
from apothic_backends.model.machines import PublishedImage
from apothic_backends.remote.profiles import CLOUD, Profiles

SCHEMA: Final = "apothic.published.v1"

_DIGITS: Final = 12
_OWN_DOMAIN: Final = ".fly.dev"


class Registry(NamedTuple):
    """Where images go."""

    place: str
    """A host and a name."""
    provider: str
    """Whose machines alone can load them from there; empty: all can."""


def publish(asked: Wishes, *, target: str, registry: str | None, again: bool) -> None:
    """Have machines made of the images of what a target names; print of what.

    Raises:
        UsageError: none needs Docker, or it is not said into what registry.
        ImageBuildFailed: a step failed.
        PushFailed: the registry does not take it.
    """
    from apothic.cli.cloud.status import plane  # with what only this needs  # noqa: PLC0415
    from apothic_backends.containers import machines  # noqa: PLC0415 - as above

    images = {it: names for it, names in images_of(target).items() if _needs_docker(it)}
    if not images:
        raise UsageError(
            f"nothing of {target} has an image that needs Docker: machines make all others "
            "themselves (`apothic image explain` says how one is run, and why)"
        )
    where = _registry(registry)
    backend, release = plane(), machines.release()
    known = {(it.digest, it.provider): it for it in backend.start(ListImages()).wait()}
    for image, names in images.items():
        with TemporaryDirectory(prefix="apothic-image-") as folder:
            archive = Path(folder) / "archive"
            with archive.open("wb") as file:
                spec = recipe_of(image, file).spec
            it = known.get((spec.digest, where.provider))
            if again or it is None or not _is_current(it, where, release):
                it = _published(asked, spec, archive, where, release)
                backend.start(PublishImage(it)).wait()
        _tell(asked, it, names)


def _needs_docker(image: Image) -> bool:
    """Its files are not read for that."""
    is_own = image.start == "from_dockerfile"
    begin = {"dockerfile": "FROM"} if is_own else {"base": image.base, "python": image.python}
    steps = tuple(ImageStep(verb) for verb, _ in image.steps)
    return lane(ImageSpec(steps=steps, **begin)).kind == DOCKER


def _spec_of(image: Image) -> ImageSpec:
    with Path(os.devnull).open("wb") as nowhere:
        return recipe_of(image, nowhere).spec


def _is_current(it: PublishedImage, where: Registry, release: str) -> bool:
    place = it.reference.partition("@")[0]
    return it.release == release and (where.provider != "" or place == where.place)


def _registry(named: str | None) -> Registry:
    """Where images go.

    Raises:
        UsageError: that is not said, or cannot be meant.
        KeyRefused: it is Fly's, and there is no token.
    """
    from apothic_backends.containers.pushing import FLY, check_registry  # noqa: PLC0415 - few
    from apothic_backends.providers.opening import check  # noqa: PLC0415 - as above

    place = named or _own_registry(FLY)
    if place is None:
        raise UsageError(
            "it is not known where machines are to load images from: name a registry that they can "
            "read with --registry or APOTHIC_REGISTRY, such as ghcr.io/me/apothic; "
            f"{FLY}/APP is Fly's, for machines on Fly alone"
        )
    host = check_registry(place).partition("/")[0]
    if host != FLY:
        return Registry(place, "")
    check("fly", os.environ)
    return Registry(place, "fly")


def _own_registry(host: str) -> str | None:
    """Fly's, for a control plane that is there."""
    profile = Profiles().list().get(CLOUD)
    if profile is None or not profile.address.host.endswith(_OWN_DOMAIN):
        return None
    return f"{host}/{profile.address.host.removesuffix(_OWN_DOMAIN)}"


def _published(
    asked: Wishes, spec: ImageSpec, archive: Path, where: Registry, release: str
) -> PublishedImage:
    from apothic.cli.building import printing_to_stderr  # noqa: PLC0415 - as above
    from apothic.cli.cloud.image import push_to  # noqa: PLC0415 - as above
    from apothic_backends.containers import engine, machines  # noqa: PLC0415 - as above

    def told(line: str) -> None:
        say(asked, line.rstrip("\n"))

    series = f"{sys.version_info.major}.{sys.version_info.minor}"
    brought = None if spec.context is None else archive
    with closing(engine.connect()) as client, printing_to_stderr():
        name = machines.build(spec, brought, series, told, client)
        reference = push_to(client, name, where.place, told)
    return PublishedImage(spec.digest, reference, where.provider, release)


def _tell(asked: Wishes, it: PublishedImage, names: Iterable[str]) -> None:
    if asked.is_json():
        told = {field: getattr(it, field) for field in it.fields}
        output.put(output.line_of({"schema": SCHEMA, "functions": [*names], **told}))
        return
    output.put(it.reference)
    say(asked, f"{', '.join(names)}: machines are made of {it.digest[:_DIGITS]}")


# --- what is not published ------------------------------------------------------------------------


def missing(backend: Backend, images: dict[Image, list[str]]) -> list[str]:
    """The functions for which a control plane that rents machines can have none made yet.

    None where that cannot be found out: it is a remark and no more.
    """
    needing = {it: names for it, names in images.items() if _needs_docker(it)}
    if not needing:
        return []
    with suppress(ApothicError):
        if backend.start(GetCloud()).wait().providers:
            known = {it.digest for it in backend.start(ListImages()).wait()}
            lacking = [names for it, names in needing.items() if _spec_of(it).digest not in known]
            return [name for names in lacking for name in names]
    return []
