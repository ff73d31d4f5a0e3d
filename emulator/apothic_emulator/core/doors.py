"""The doors of services: what is to be listened at, and what whoever listens tells.

A service's *door* is the socket that it listens on. The core names it by the service; the host
holds it, and hands it to each process of the service. To processes on agents it is not handed:
the host's gateway takes connections for those, and passes on what is said.
"""

from __future__ import annotations

from apothic_backends.commands.base import Command
from apothic_backends.model.record import Record


class Listen(Record):
    """Listen for a service, at `port` if that is free, else anywhere; `Listening` answers.

    Unless it `is_public`, those who come from elsewhere than this machine need a key.
    """

    service: str
    port: int = 0
    is_public: bool = False
    executor: int = 0
    """None."""


class Unlisten(Record):
    """Listen for a service no more; connections that nobody has taken are closed."""

    service: str
    executor: int = 0


class Rouse(Record):
    """Tell of the next connection that nobody has taken, by `Roused`."""

    service: str
    executor: int = 0


class Refuse(Record):
    """Nobody can take the connections that wait: answer them with 503, and why."""

    service: str
    why: str
    executor: int = 0


class Reach(Record):
    """Take connections for the processes that are on these agents; for none, take none.

    Whether the service `is_public` may have changed.
    """

    service: str
    agents: tuple[int, ...]
    is_public: bool = False
    executor: int = 0


Door = Listen | Unlisten | Rouse | Refuse | Reach


class Listening(Command[None]):
    """A service's door is at a port; 0 if it could not be opened, for which `note` says why.

    Clients know it by `url`, which is on this machine where nothing is said.
    """

    service: str
    port: int
    note: str = ""
    url: str = ""


class Roused(Command[None]):
    """Somebody stands at a service's door."""

    service: str
