"""The image that runs in the cloud: one of a registry, of a file, or one that is built here.

none named ──► built here, by Docker ──┐
FILE.tar ──────────────────────────────┴──► a registry that all who run it can read
REF ──► as it is
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from apothic.cli.command import say
from apothic.cli.wishes import Wishes
from apothic_backends.containers.pushing import FLY, check_registry, push, push_to_fly
from apothic_backends.model.errors import UsageError
from apothic_backends.model.images import NoDocker
from apothic_backends.providers.fly.registry import URL, find, push as push_file
from apothic_backends.providers.opening import login_of

_ENDING: Final = ".tar"
_TAG: Final = "apothic"
_WAYS_OUT: Final = (
    "Name one with --image, of a registry or as a file that `docker save` wrote, in which "
    "`pip install 'apothic[agent,cloud,server]'` was run; or run this where a Docker is"
)


def source_of(
    asked: Wishes, image: str | None, base: str | None, registry: str | None, rented: Sequence[str]
) -> Callable[[str], str]:
    """How the image gets to where it is loaded from: called with an app, it gives its reference.

    Whatever can be known before anything is made is looked at now, and what is to be built is.

    Raises:
        UsageError: it cannot be loaded by all that are to run it; or it is to be built, and there
            is no Docker.
        ImageBuildFailed: a step has failed.
    """
    if image is not None:
        if base is not None:
            raise UsageError(
                f"--base {base} is what an image is built on: leave out --image {image}"
            )
        check_image(image, rented)
        return lambda app: in_registry(asked, image, app)
    check_place(registry, rented)
    name = _built(asked, base)
    return lambda app: _pushed(asked, name, registry or f"{FLY}/{app}")


def check_image(image: str, rented: Sequence[str]) -> None:
    """See to it that all that is to run it will find it.

    Raises:
        UsageError: it is a file that is not there, or nobody else could read it where it would go.
    """
    if not image.endswith(_ENDING):
        return
    if not Path(image).is_file():
        raise UsageError(f"--image {image}: there is no such file; `docker save` writes one")
    if "vast" in rented:
        raise UsageError(
            f"--image {image} would go to Fly's registry, where machines of Vast cannot load it: "
            "push it to a registry that both can read and name it there, or say --provider fly"
        )


def check_place(registry: str | None, rented: Sequence[str]) -> None:
    """See to it that what is built here goes to where all that is to run it will find it.

    Raises:
        UsageError: it would not, or that is no place in a registry.
    """
    if registry is not None:
        check_registry(registry)
    if "vast" in rented and (registry or FLY).startswith(FLY):
        raise UsageError(
            "the image that is built here would go to Fly's registry, where machines of Vast "
            "cannot load it: name one that both can read with --registry or APOTHIC_REGISTRY, say "
            "ghcr.io/me/apothic, or say --provider fly"
        )


def in_registry(asked: Wishes, image: str, app: str) -> str:
    """The name of the image, which is put into the registry of an app if it is a file.

    Raises:
        UsageError: the file is no image, or one for other machines.
        ProviderError: the registry does not take it.
    """
    if not image.endswith(_ENDING):
        return image
    say(asked, f"{image} goes to Fly's registry; what is there already is not sent again")
    url = os.environ.get("APOTHIC_FLY_URL") or URL
    return push_file(Path(image), app, _TAG, os.environ["FLY_API_TOKEN"], url=url)


def push_to(client: Any, name: str, place: str, told: Callable[[str], object]) -> str:
    """Put an image of Docker's into a registry; the reference that it has there.

    Raises:
        PushFailed: the registry does not take it.
        ProviderError: Fly's does not.
    """
    host, _, app = place.partition("/")
    if host != FLY:
        told(f"{name} goes to {place}; what is there already is not sent again")
        return push(client, name, place, login_of(os.environ), told)
    token, url = os.environ["FLY_API_TOKEN"], os.environ.get("APOTHIC_FLY_URL") or URL
    known = find(app, name.rpartition(":")[2], token, url=url)  # its tag says what is in it
    if known is None:
        told(f"{name} goes to {place}")
        known = push_to_fly(client, name, app, token, url)
    return known


def _built(asked: Wishes, base: str | None) -> str:
    from apothic.cli.building import printing_to_stderr  # noqa: PLC0415 - few build
    from apothic_backends.containers import engine, standard  # noqa: PLC0415 - as above

    on = base or standard.BASE
    say(asked, f"an image is built on {on}, with this apothic in it, unless it is here already")
    try:
        with closing(engine.connect()) as client, printing_to_stderr():
            return standard.build(on, _told(asked), client)
    except NoDocker as error:
        raise UsageError(
            f"there is no --image, and none can be built: {error.message}. {_WAYS_OUT}"
        ) from None


def _pushed(asked: Wishes, name: str, place: str) -> str:
    from apothic_backends.containers import engine  # noqa: PLC0415 - few build

    with closing(engine.connect()) as client:
        return push_to(client, name, place, _told(asked))


def _told(asked: Wishes) -> Callable[[str], object]:
    return lambda line: say(asked, line.rstrip("\n"))
