"""Services: where they answer, what they do, and whether they are to.

A service is named by `app/name`.
"""

from __future__ import annotations

from apothic_backends.commands.base import Command
from apothic_backends.model.services import ServiceSnapshot


class GetService(Command[ServiceSnapshot]):
    """Look at a service, once it has an address."""

    service: str


class ListServices(Command[tuple[ServiceSnapshot, ...]]):
    """Look at all services, or those of an app."""

    app_name: str | None = None


class StartService(Command[ServiceSnapshot]):
    """Have a service listen; `wait` until a process of it is up, for which one is started.

    The reply is at most `timeout_s` away, and says what it is then.
    """

    service: str
    wait: bool = False
    timeout_s: float = 600.0


class StopService(Command[ServiceSnapshot]):
    """Have a service listen no more, and its processes finish what they have begun.

    The reply comes when they have, if it is to `wait`.
    """

    service: str
    wait: bool = False
    timeout_s: float = 600.0
