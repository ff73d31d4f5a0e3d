"""The options of services, in their five shapes."""

from __future__ import annotations

from typing import Any

from apothic._values import is_list, number, refuse, whole
from apothic.options import FunctionOptions, Rule, flagged

METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
HIGHEST_PORT = 65535


class ServiceOptions(FunctionOptions, total=False):
    """What all shapes of services take, beside the options of a function."""

    keep_warm_s: int
    """How long a process without requests goes on, counted from the end of the last one; 0 ends it
    at once. The first request after that starts another one, and waits for it."""
    service_startup_timeout_s: float | None
    """What a process gets to be ready: its imports, and the start of its application; 60 s."""
    public: bool
    """Let anybody ask who can reach it; others take a token, except on the machine itself."""


class EndpointOptions(ServiceOptions, total=False):
    """What `@app.endpoint` takes."""

    methods: list[str] | None
    """The HTTP methods that are answered; GET and POST where nothing is said."""


class FastapiOptions(ServiceOptions, total=False):
    """What `@app.fastapi_endpoint` takes."""

    method: str
    """The HTTP method that is answered; GET where nothing is said."""
    docs: bool
    """Whether FastAPI shows its documents, at `/docs`."""


def _methods(name: str, value: Any) -> Any:
    if not is_list(value) or not value:
        refuse(name, value, 'a list of HTTP methods, such as ["GET"]')
    return [_method(name, method) for method in value]


def _method(name: str, value: Any) -> Any:
    if not isinstance(value, str) or value.upper() not in METHODS:
        refuse(name, value, f"one of {', '.join(METHODS)}")
    return value.upper()


def _port(name: str, value: Any) -> Any:
    if whole(name, value, 1) > HIGHEST_PORT:
        refuse(name, value, f"a port from 1 to {HIGHEST_PORT}")
    return value


def _above_zero(name: str, value: Any) -> Any:
    if number(name, value, 0) == 0:
        refuse(name, value, "a number above 0")
    return value


SERVICE_RULES: dict[str, Rule] = {
    "keep_warm_s": lambda name, value: number(name, value, 0),
    "service_startup_timeout_s": _above_zero,
    "public": flagged,
}
RULES_OF: dict[str, dict[str, Rule]] = {
    "endpoint": {"methods": _methods},
    "fastapi": {"method": _method, "docs": flagged},
    "asgi": {},
    "wsgi": {},
    "web_server": {"port": _port, "startup_timeout": _above_zero},
}
