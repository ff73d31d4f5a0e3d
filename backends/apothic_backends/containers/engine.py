"""The Docker of this machine, and what is wrong with it in words that help."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from apothic_backends.model.errors import ApothicError
from apothic_backends.model.images import ImageMissing, NoDocker

PATIENCE_S = 60
"""How long one answer of the daemon may take; builds and pulls are not limited."""

_WAYS_OUT = {
    "permission denied": "add this user to the group `docker`, or name another one with "
    "DOCKER_HOST",
    "no space left": "make room with `apothic image prune` or `docker system prune`",
    "could not select device driver": "install the NVIDIA container toolkit on this machine",
}
_START = "start it (`systemctl start docker`), or name another one with DOCKER_HOST"


def connect() -> Any:
    """A client of Docker's API; `DOCKER_HOST` names another daemon than this machine's.

    Raises:
        NoDocker: there is none that this process may use.
    """
    try:
        import docker  # noqa: PLC0415 - slow to import, and an extra
    except ImportError:
        raise NoDocker(
            "the package that speaks to Docker is not installed: pip install 'apothic[docker]'",
            reason="no package",
        ) from None
    library: Any = docker
    with told():
        named = library.utils.kwargs_from_env()
        return library.APIClient(version="auto", timeout=PATIENCE_S, **named)


def is_there() -> bool:
    """Whether this process may use a Docker."""
    try:
        client = connect()
    except ApothicError:
        return False
    client.close()
    return True


@contextmanager
def told() -> Generator[None]:
    """Tell what the daemon or the way to it says as an error of ours.

    Raises:
        NoDocker: it is down, or did not do what it was asked; the message says the way out.
    """
    import docker.errors  # noqa: PLC0415 - as above
    import requests.exceptions  # noqa: PLC0415 - what docker speaks by

    try:
        yield
    except docker.errors.APIError as error:
        raise refused(str(error.explanation or error)) from error
    except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
        raise refused(_cause(error)) from error


def refused(reason: str) -> NoDocker:
    """The error for what Docker said."""
    ways = [way for sign, way in _WAYS_OUT.items() if sign in reason.lower()]
    is_down = any(sign in reason for sign in ("Connection", "No such file", "HTTPConnection"))
    ways += [_START] if is_down and not ways else []
    way = f"; {ways[0]}" if ways else ""
    return NoDocker(f"Docker cannot be used here: {reason}{way}", reason=reason)


def _cause(error: BaseException) -> str:
    """What lies at the bottom of layers of libraries: the answer of the operating system."""
    found: BaseException = error
    while (inner := found.__cause__ or found.__context__) is not None:
        found = inner
        if isinstance(found, OSError) and found.strerror:
            return f"{type(found).__name__}: {found.strerror}"
    return str(error)


def find_image(client: Any, image: str) -> dict[str, Any]:
    """What is known of an image, which is pulled if it is not here.

    Raises:
        ImageMissing: there is no such image.
        NoDocker: the daemon does not answer.
    """
    import docker.errors  # noqa: PLC0415 - as above

    with told():
        try:
            found: dict[str, Any] = client.inspect_image(image)
        except docker.errors.ImageNotFound:
            pass
        else:
            return found
        try:
            name, _, tag = image.rpartition(":")
            is_tagged = bool(name) and "/" not in tag
            client.pull(name if is_tagged else image, tag=tag if is_tagged else "latest")
            found = client.inspect_image(image)
        except docker.errors.APIError as error:
            raise missing(image, str(error.explanation or error)) from None
    return found


def missing(image: str, reason: str) -> ImageMissing:
    """The error for an image that is nowhere."""
    return ImageMissing(
        f"there is no image {image!r} here, and it cannot be pulled ({reason}); look at its name, "
        "or log in to its registry with `docker login`",
        image=image,
        reason=reason,
    )
