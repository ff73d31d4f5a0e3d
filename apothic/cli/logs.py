"""What `apothic deployment logs` does: how far a service is with its start, as it says itself."""

from __future__ import annotations

import json
import urllib.error
from collections.abc import Callable, Sequence
from typing import Any
from urllib.request import Request, urlopen

from apothic._values import is_dict, is_list
from apothic.cli import output
from apothic.cli.command import say
from apothic.cli.plane import control_plane
from apothic.cli.wishes import Wishes
from apothic_backends.base import Backend
from apothic_backends.commands.deployments import GetDeployment
from apothic_backends.commands.services import GetService, ListServices
from apothic_backends.model.errors import NotFound
from apothic_backends.model.services import UP, ServiceSnapshot

SCHEMA = "apothic.service-log.v1"

PATHS = ("/health", "/healthz")
"""Where services say how they are, by custom."""

FIELD = "startup_log_tail"
"""What holds the lines, a text or a list of them, in the JSON that is found there."""

ASK_S = 5.0
MOST = 1 << 20


def show(asked: Wishes, *, name: str, function_name: str | None, health_path: str | None) -> None:
    """Print what each service of a deployment says of its start, else what it has printed."""
    plane = control_plane(name)
    deployment = plane.start(GetDeployment(name)).wait()
    there = {work.name for work in deployment.functions}
    services = [
        it.service_id
        for it in plane.start(ListServices(deployment.app_name)).wait()
        if it.service_id.split("/")[1] in there
    ]
    chosen = _chosen(services, function_name, name)
    for service_id in chosen:
        it = plane.start(GetService(service_id)).wait()
        said = _said(it, health_path, _headers(plane, it.url))
        _put(asked, it, *said, many=len(chosen) > 1)


def _chosen(services: Sequence[str], function_name: str | None, deployment: str) -> Sequence[str]:
    """The services that are meant.

    Raises:
        NotFound: there are none.
    """
    names = [service_id.split("/")[1] for service_id in services]
    if not names or function_name not in (None, *names):
        wanted = f"no service {function_name!r}" if function_name else "no service"
        raise NotFound(f"{deployment} has {wanted}; there are: {', '.join(names) or 'none'}")
    return [it for it in services if function_name in (None, it.split("/")[1])]


def _headers(plane: Backend, url: str | None) -> dict[str, str]:
    """With what a service is asked; only those of a control plane elsewhere need something."""
    of: Callable[[str], dict[str, str]] | None = getattr(plane, "headers_for", None)
    return {} if of is None or url is None else of(url)


def _put(asked: Wishes, it: ServiceSnapshot, path: str | None, text: str, *, many: bool) -> None:
    if asked.is_json():
        told = {"service_id": it.service_id, "status": it.status, "url": it.url, "path": path}
        output.put(output.line_of({"schema": SCHEMA, **told, "error": it.stale, "log": text}))
        return
    source = "what it has printed" if path is None else path
    say(asked, f"{it.service_id} is {it.status}: {source}")
    if it.stale:
        say(asked, it.stale)
    prefix = f"{it.service_id.split('/')[1]} | " if many else ""
    for line in text.splitlines():
        output.put(f"{prefix}{line}")


def _said(
    it: ServiceSnapshot, health_path: str | None, headers: dict[str, str]
) -> tuple[str | None, str]:
    """Where the service has said how far it is, and what; nowhere: what it has printed.

    One that does not run is not asked, as that would start it.
    """
    if it.url is not None and it.status == UP:
        for path in (health_path,) if health_path else PATHS:
            text = _tail(f"{it.url}/{path.lstrip('/')}", headers)
            if text is not None:
                return path, text
    return None, it.log


def _tail(url: str, headers: dict[str, str]) -> str | None:
    """The lines that are found at an address; None if it has none."""
    request = Request(url)  # noqa: S310 - a service's own
    for name, value in headers.items():
        request.add_unredirected_header(name, value)  # nobody else is shown its key
    try:
        with urlopen(request, timeout=ASK_S) as answer:  # noqa: S310
            return _lines(answer.read(MOST))
    except urllib.error.HTTPError as error:
        with error:  # one that is not ready yet may say so, and how far it is
            return _lines(error.read(MOST))
    except OSError:
        return None


def _lines(body: bytes) -> str | None:
    try:
        told: Any = json.loads(body)
    except ValueError:
        return None
    found: Any = told.get(FIELD) if is_dict(told) else None
    if is_list(found):
        return "\n".join(map(str, found))
    return found if isinstance(found, str) else None
