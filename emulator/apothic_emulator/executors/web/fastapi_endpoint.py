"""`@app.fastapi_endpoint`: a function is the one route of a FastAPI application."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from apothic_emulator.executors.web.endpoint import use_threads
from apothic_emulator.executors.web.lifespan import App


async def fastapi_endpoint(function: Callable[..., Any], spec: dict[str, Any]) -> App:
    """The application of such an endpoint: one method at `/`, and documents if they are wanted.

    A page of any origin may ask it and read the answer, but without what a browser keeps for it,
    such as cookies: else any page could act for whoever is logged in here.

    Raises:
        FastAPIError: the function takes or returns what FastAPI knows nothing of.
    """
    from fastapi import FastAPI  # only those who use it need it  # noqa: PLC0415
    from fastapi.middleware.cors import CORSMiddleware  # noqa: PLC0415

    service = spec["service"]
    use_threads(spec["slots"])
    is_shown: dict[str, Any] = (
        {} if service["docs"] else {"openapi_url": None, "docs_url": None, "redoc_url": None}
    )
    app = FastAPI(title=spec["name"], **is_shown)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=["*"],
        allow_methods=["*"],
        allow_headers=["*"],
    )
    app.add_api_route("/", function, methods=[*service["methods"]] or ["GET"])
    return app
