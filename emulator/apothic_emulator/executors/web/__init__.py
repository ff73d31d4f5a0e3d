"""The process of a service: an application, and the server that takes its connections.

`serving.py` has its life from start to end; `shapes.py` makes an application of whatever a
function gives; `server.py` is uvicorn's protocols with another way to begin and to end;
`lifespan.py` tells the application of both. This folder alone may import what serves the web.
"""

from __future__ import annotations

_FOR = {
    "asgi": ("server",),
    "endpoint": ("server", "endpoint"),
    "fastapi": ("server", "fastapi_endpoint"),
    "web_server": ("web_server",),
    "wsgi": ("server", "wsgi"),
}


def modules(shape: str) -> tuple[str, ...]:
    """What a process of a service imports before it can serve."""
    return tuple(f"{__name__}.{module}" for module in ("serving", *_FOR[shape]))
