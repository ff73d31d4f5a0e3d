"""The providers that there are, by name; each is opened with what the environment says.

| name   | needs                      | may have                         |
|--------|----------------------------|----------------------------------|
| `fly`  | FLY_API_TOKEN, FLY_ORG     | APOTHIC_FLY_URL: the API's own   |
| `vast` | VAST_API_KEY               | APOTHIC_VAST_URL: the API's own  |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from apothic_backends.model.errors import NotFound, UsageError
from apothic_backends.providers.base import Login, Provider
from apothic_backends.remote.errors import KeyRefused

SECRETS: Final = ("FLY_API_TOKEN", "VAST_API_KEY")
"""What in an environment rents machines: nothing that runs here is to have it."""

REGISTRY: Final = ("APOTHIC_REGISTRY", "APOTHIC_REGISTRY_USER", "APOTHIC_REGISTRY_PASSWORD")
"""What opens the registry that machines load images from."""

_NEEDS: Final = {"fly": ("FLY_API_TOKEN", "FLY_ORG"), "vast": ("VAST_API_KEY",)}

PROVIDERS: Final = tuple(_NEEDS)


def there(env: Mapping[str, str]) -> tuple[str, ...]:
    """The names of those for which the environment has a key.

    Raises:
        KeyRefused: it lacks what is needed besides; nobody is to believe that one was asked.
    """
    names = tuple(name for name, needs in _NEEDS.items() if env.get(needs[0]))
    for name in names:
        check(name, env)
    return names


def way_in(name: str) -> str:
    """What the environment has to have for a provider, for people."""
    return " and ".join(_NEEDS[name])


def open_provider(name: str, env: Mapping[str, str]) -> Provider:
    """The provider of that name, for the account whose key the environment has.

    Raises:
        NotFound: there is none of that name.
        KeyRefused: the environment lacks what it needs.
        UsageError: what it has cannot be meant, or `apothic[cloud]` is not installed.
    """
    if name not in _NEEDS:
        raise NotFound(
            f"no provider is called {name!r}; there are: {', '.join(PROVIDERS)}", name=name
        )
    check(name, env)
    return _OPENERS[name](env)


def check(name: str, env: Mapping[str, str]) -> None:
    """See to it that the environment has what a provider needs.

    Raises:
        KeyRefused: it has not.
    """
    missing = [it for it in _NEEDS[name] if not env.get(it)]
    if missing:
        raise KeyRefused(
            f"{name} needs {' and '.join(missing)} in the environment; keys are never given on a "
            "command line, where others may see them"
        )


def login_of(env: Mapping[str, str]) -> Login | None:
    """What opens the registry that APOTHIC_REGISTRY names, such as ghcr.io/me; None if nothing.

    Raises:
        UsageError: there is a password and no user or registry, or the other way round.
    """
    place, user, password = (env.get(name, "") for name in REGISTRY)
    if not (user or password):
        return None
    if not (place and user and password):
        raise UsageError(
            f"{', '.join(REGISTRY)} say together what opens a registry: one is missing"
        )
    return Login(place.partition("/")[0], user, password)


def _vast(env: Mapping[str, str]) -> Provider:
    from apothic_backends.providers.vast.calls import SERVER  # seldom  # noqa: PLC0415
    from apothic_backends.providers.vast.provider import VastProvider  # noqa: PLC0415 - as above

    return VastProvider(env["VAST_API_KEY"], env.get("APOTHIC_VAST_URL") or SERVER)


def _fly(env: Mapping[str, str]) -> Provider:
    from apothic_backends.providers.fly.api import URL  # seldom  # noqa: PLC0415
    from apothic_backends.providers.fly.provider import FlyProvider  # noqa: PLC0415 - as above

    url = env.get("APOTHIC_FLY_URL") or URL
    return FlyProvider(env["FLY_API_TOKEN"], env["FLY_ORG"], url=url)


_OPENERS: Final[dict[str, Callable[[Mapping[str, str]], Provider]]] = {
    "fly": _fly,
    "vast": _vast,
}
