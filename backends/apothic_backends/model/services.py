"""Services: functions of deployments that answer requests, each at an address of its own."""

from __future__ import annotations

from typing import Final

from apothic_backends.model.record import Record

ASLEEP: Final = "asleep"
"""Nothing runs; the first connection wakes it."""
STARTING: Final = "starting"
"""The first process that is to answer starts."""
UP: Final = "up"
"""Requests are answered."""
FAILED: Final = "failed"
"""The last start has failed; the next connection tries again."""
STOPPED: Final = "stopped"
"""Nobody listens, until it is started again."""

SHAPES: Final = ("endpoint", "asgi", "fastapi", "wsgi", "web_server")
"""What the function of a service is: what answers one request, what gives an application, or what
starts a server of its own."""


class ServiceSpec(Record):
    """How a function serves.

    `port` is where a "web_server" listens for itself, within `startup_timeout_s` of its start.
    Without requests a process ends after `keep_warm_s`; it has `start_timeout_s` to be ready, and
    `grace_s` to finish what it has begun when it is to end. Anybody may ask a `public` one; others
    are open on this machine only, and take a token elsewhere. An "endpoint" or "fastapi" answers
    `methods`; the documents of the latter are shown with `docs`. Where a `method` of a class
    serves, a process makes an object of it, and runs its hooks: `enter` first, `exit` last.
    """

    shape: str
    keep_warm_s: float = 600.0
    start_timeout_s: float = 60.0
    grace_s: float = 30.0
    public: bool = False
    port: int = 0
    startup_timeout_s: float = 5.0
    methods: tuple[str, ...] = ()
    docs: bool = False
    method: str = ""
    enter: tuple[str, ...] = ()
    exit: tuple[str, ...] = ()


class ServiceSnapshot(Record):
    """A service at one moment. `service_id` is `app/name`; `url` is where it answers.

    `desired` is "started" or "stopped". `version` is that of the deployment whose code it is to
    run; while `stale` says why that could not start, the one before goes on, if it was up. Of its
    `processes` are those, too, that end and have not ended yet.
    """

    service_id: str
    status: str
    desired: str
    version: int
    url: str | None = None
    shape: str = ""
    processes: int = 0
    stale: str = ""
    traceback: str = ""
    """That of the code that could not start; empty where none did raise."""
    note: str = ""
    log: str = ""
