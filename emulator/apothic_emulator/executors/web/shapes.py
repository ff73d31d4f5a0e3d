"""Makes an application of whatever a service's function gives."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, cast

from apothic_emulator.executors.web.lifespan import App


class NoApplication(TypeError):
    """What a function gave is no application of its kind."""


async def application(function: Callable[..., Any], service: dict[str, Any]) -> App:
    """The ASGI application of a service.

    Raises:
        NoApplication: its function did not give one.
        BaseException: what its function raised.
    """
    return await _SHAPES[service["shape"]](function, service)


async def _given(function: Callable[..., Any]) -> Any:
    given = function()
    return await given if inspect.isawaitable(given) else given


async def _asgi(function: Callable[..., Any], _: dict[str, Any]) -> App:
    app: Any = await _given(function)
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


_SHAPES: dict[str, Callable[..., Any]] = {"asgi": _asgi}
