"""What is asked of services: procedures, for `_drive`."""

from __future__ import annotations

from apothic._connect import ask
from apothic_backends.commands.services import GetService
from apothic_backends.model.errors import BackendError, NotFound


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
    if found.url is None:
        why = found.note or f"it is {found.desired}"
        raise BackendError(f"the service {service_id} listens nowhere: {why}")
    return found.url
