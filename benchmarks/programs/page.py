"""A page that is served by apothic, or as `page:plain` by any ASGI server."""

import asyncio

from apothic import App

app = App("page")

VERSION = b"0"


async def plain(scope, receive, send):
    if scope["type"] == "lifespan":
        while (await receive())["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
    elif scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (await receive())["type"] == "websocket.receive":
            pass
    elif scope["path"] == "/events":
        head = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        while True:
            body = {"type": "http.response.body", "body": b"data: x\n\n", "more_body": True}
            await send(body)
            await asyncio.sleep(0.1)
    else:
        while (await receive()).get("more_body"):
            pass
        head = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(VERSION))]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": VERSION})


@app.asgi(keep_warm_s=600)
def serve():
    return plain


@app.asgi(keep_warm_s=0)
def sleeper():
    return plain
