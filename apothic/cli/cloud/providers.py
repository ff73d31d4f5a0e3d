"""The providers whose keys are in the environment of a command."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import closing, contextmanager

from apothic_backends.providers.base import Provider
from apothic_backends.providers.fly.api import URL, FlyApi
from apothic_backends.providers.opening import PROVIDERS, check, open_provider, there
from apothic_backends.remote.errors import KeyRefused

PREFIX = "apothic/"
"""How the tags of all machines begin that any control plane of ours has rented."""


def names_here(only: str | None = None) -> tuple[str, ...]:
    """The names of those that can be asked; of one alone, if that is named.

    Raises:
        KeyRefused: there is none.
    """
    names = there(os.environ) if only is None else (only,)
    if not names:
        raise KeyRefused(
            f"no provider can be asked ({', '.join(PROVIDERS)}): set VAST_API_KEY, or "
            "FLY_API_TOKEN and FLY_ORG"
        )
    return names


@contextmanager
def fly() -> Generator[FlyApi]:
    """The API of Fly, for the organisation of the environment.

    Raises:
        KeyRefused: the token, or the organisation, is not there.
    """
    check("fly", os.environ)
    url = os.environ.get("APOTHIC_FLY_URL") or URL
    with closing(FlyApi(os.environ["FLY_API_TOKEN"], os.environ["FLY_ORG"], url=url)) as api:
        yield api


def opened(name: str) -> Provider:
    """A provider, with the key of the environment.

    Raises:
        NotFound: there is none of that name.
        KeyRefused: its key is missing.
    """
    return open_provider(name, os.environ)
