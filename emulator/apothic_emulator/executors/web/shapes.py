"""Makes an application of whatever a service's function gives."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib import import_module
from typing import Any, cast

from apothic_emulator.executors.web.given import NoApplication, given
from apothic_emulator.executors.web.lifespan import App

NEEDED = ("anyio", "httptools", "msgspec", "psutil", "starlette", "uvicorn", "websockets")
"""What is not there where Apothic was installed without its `web` extra."""

_ELSEWHERE = {
    "endpoint": ("endpoint", "endpoint"),
    "fastapi": ("fastapi_endpoint", "fastapi_endpoint"),
    "wsgi": ("wsgi", "wsgi_app"),
}
"""The module and the function that make the application of a shape; a process needs one."""


async def application(function: Callable[..., Any], spec: dict[str, Any]) -> App:
    """The ASGI application of a service.

    Raises:
        NoApplication: its function did not give one.
        BaseException: what its function raised.
    """
    shape = spec["service"]["shape"]
    if shape == "asgi":
        return await _asgi(function)
    module, name = _ELSEWHERE[shape]
    make: Any = getattr(import_module(f"{__package__}.{module}"), name)
    app: App = await make(function, spec)
    return app


async def _asgi(function: Callable[..., Any]) -> App:
    app: Any = await given(function)
    if not callable(app):
        raise NoApplication(
            f"the function gave {app!r}; @app.asgi needs one that gives an ASGI app"
        )
    if inspect.isclass(app) or _takes_two(app):
        raise NoApplication(
            f"the function gave {app!r}, which is no ASGI app: those take scope, receive and send. "
            "For a WSGI app there is @app.wsgi_app()"
        )
    return cast("App", app)


def _takes_two(app: Any) -> bool:
    """Whether it can only be called with two arguments, as WSGI applications are."""
    try:
        signature = inspect.signature(app)
    except (TypeError, ValueError):
        return False
    try:
        signature.bind(1, 2, 3)
    except TypeError:
        return True
    return False
