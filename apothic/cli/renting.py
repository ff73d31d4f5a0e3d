"""The providers whose keys are in the environment of a command."""

from __future__ import annotations

import os

from apothic_backends.providers.base import Provider
from apothic_backends.providers.opening import PROVIDERS, open_provider, there
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
        raise KeyRefused(f"no provider can be asked ({', '.join(PROVIDERS)}): set VAST_API_KEY")
    return names


def opened(name: str) -> Provider:
    """A provider, with the key of the environment.

    Raises:
        NotFound: there is none of that name.
        KeyRefused: its key is missing.
    """
    return open_provider(name, os.environ)
