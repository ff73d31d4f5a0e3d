"""Images of machines, from this Docker into a registry where machines find them.

Fly's takes what an image is made of from here, with the token of Fly's API; into all others Docker
itself puts it, which knows what `docker login` has stored.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from apothic_backends.containers import engine
from apothic_backends.model.errors import BackendError, UsageError
from apothic_backends.providers.base import Login

FLY: Final = "registry.fly.io"

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9.-]*(:[0-9]+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)+")


class PushFailed(BackendError):
    """A registry does not take an image; `data["reason"]` is what it or Docker says."""

    code = "image_push_failed"


def check_registry(registry: str) -> str:
    """See to it that something names a place in a registry.

    Raises:
        UsageError: it does not.
    """
    host = registry.partition("/")[0]
    is_host = "." in host or ":" in host or host == "localhost"
    if not (_NAME.fullmatch(registry) and is_host):
        raise UsageError(
            f"{registry!r} names no place in a registry: write its host and a name, such as "
            f"ghcr.io/me/apothic, docker.io/me/apothic or {FLY}/APP"
        )
    return registry


def push(
    client: Any,
    name: str,
    registry: str,
    login: Login | None,
    told: Callable[[str], object],
) -> str:
    """Put an image that is here into a registry, say `ghcr.io/me/apothic`.

    It gives the reference by which a machine is made of exactly that one. `told` is called with a
    line now and then.

    Raises:
        PushFailed: the registry does not take it.
        NoDocker: there is no Docker that this process may use.
    """
    tag = name.rpartition(":")[2]
    auth = None
    if login is not None and login.host == registry.partition("/")[0]:
        auth = {"username": login.user, "password": login.password}
    with engine.told():
        client.tag(name, registry, tag)
        try:
            events = client.push(registry, tag, stream=True, decode=True, auth_config=auth)
            digest = _digest(registry, [*events], told)
        finally:
            client.remove_image(f"{registry}:{tag}", noprune=True)
    return f"{registry}@{digest}"


def _digest(registry: str, events: list[Mapping[str, Any]], told: Callable[[str], object]) -> str:
    for event in events:
        if "error" in event:
            raise _failed(registry, str(event["error"]))
        if "Digest" in event.get("aux", {}):
            digest = str(event["aux"]["Digest"])
            told(f"{registry} has {digest}\n")
            return digest
    raise _failed(registry, "Docker does not say what it has put there")


def _failed(registry: str, reason: str) -> PushFailed:
    return PushFailed(
        f"the image cannot be put into {registry} ({reason}); `docker login "
        f"{registry.partition('/')[0]}` has Docker know you there, or APOTHIC_REGISTRY_USER and "
        "APOTHIC_REGISTRY_PASSWORD say who you are",
        registry=registry,
        reason=reason,
    )


def push_to_fly(client: Any, name: str, app: str, token: str, url: str) -> str:
    """The same with Fly's registry, into what belongs to an app that is there.

    Raises:
        ProviderError: the registry does not take it.
        NoDocker: there is no Docker that this process may use.
    """
    from apothic_backends.providers.fly.registry import push as send  # an extra  # noqa: PLC0415

    with tempfile.TemporaryDirectory(prefix="apothic-push-") as folder:
        saved = Path(folder) / "image.tar"
        with engine.told(), saved.open("wb") as file:
            for piece in client.get_image(name):
                file.write(piece)
        return send(saved, app, name.rpartition(":")[2], token, url=url)
