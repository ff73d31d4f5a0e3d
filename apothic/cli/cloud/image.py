"""The image that runs in the cloud: one of a registry, or a file that is put into Fly's."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from apothic.cli.command import say
from apothic.cli.wishes import Wishes
from apothic_backends.model.errors import UsageError

_ENDING: Final = ".tar"
_TAG: Final = "apothic"


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


def in_registry(asked: Wishes, image: str, app: str) -> str:
    """The name of the image, which is put into the registry of an app if it is a file.

    Raises:
        UsageError: the file is no image, or one for other machines.
        ProviderError: the registry does not take it.
    """
    if not image.endswith(_ENDING):
        return image
    from apothic_backends.providers.fly.registry import URL, push  # noqa: PLC0415 - seldom

    say(asked, f"{image} goes to Fly's registry; what is there already is not sent again")
    url = os.environ.get("APOTHIC_FLY_URL") or URL
    return push(Path(image), app, _TAG, os.environ["FLY_API_TOKEN"], url=url)
