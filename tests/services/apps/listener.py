"""An application that hears whoever comes, for tests of those who do what they should not."""

from __future__ import annotations

import os
from typing import Any

from apothic import App

app = App("listener")
MEGABYTE = b"x" * (1 << 20)


@app.asgi()
def hears() -> Any:
    """Says how much it has heard, over HTTP; over a WebSocket, how long each message is."""

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await talk(receive, send)
            return
        assert scope["type"] == "http"
        size, message = 0, await receive()
        while message["type"] == "http.request":
            size += len(message["body"])
            if not message["more_body"]:
                break
            message = await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        if scope["path"] == "/endless":
            while True:
                await send({"type": "http.response.body", "body": MEGABYTE, "more_body": True})
        said = f"{size} {os.getpid()}".encode()
        await send({"type": "http.response.body", "body": said})

    async def talk(receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while True:
            message = await receive()
            if message["type"] != "websocket.receive":
                return
            said = message.get("text") or message.get("bytes") or ""
            if said == "die":
                os._exit(3)
            await send({"type": "websocket.send", "text": str(len(said))})

    return serve
