"""What is asked of services: procedures, for `_drive`."""

from __future__ import annotations

from apothic._connect import ask
from apothic_backends.commands.services import GetService
from apothic_backends.model.errors import BackendError, NotFound
from apothic_backends.model.services import ServiceSnapshot


async def url_of(service_id: str, name: str) -> str:
    """Where a service answers.

    Raises:
        NotFound: it is not deployed.
        BackendError: it listens nowhere.
    """
    try:
        found = await ask(GetService(service_id))
    except NotFound as error:
        raise NotFound(
            f"{name}() is not deployed, so it has no URL yet; app.deploy() gives it one. "
            f"{error.message}",
            **error.data,
        ) from None
    return _url(found)


async def url_if_started(service_id: str) -> str | None:
    """Where a service answers that has been deployed just now; None if it was stopped before.

    Raises:
        BackendError: it is to listen, and cannot.
    """
    found = await ask(GetService(service_id))
    return None if found.desired == "stopped" else _url(found)


def _url(found: ServiceSnapshot) -> str:
    if found.url is None:
        why = found.note or (
            "it has been stopped" if found.desired == "stopped" else "its address took too long"
        )
        raise BackendError(f"the service {found.service_id} listens nowhere: {why}")
    return found.url
