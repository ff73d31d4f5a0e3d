"""Five services, each at an address of its own: `python examples/services.py`.

It needs `pip install 'apothic[web]' fastapi flask`.
"""

import http.server
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from typing import Any

import anyio
from fastapi import FastAPI, WebSocket
from fastapi.responses import StreamingResponse

from apothic import App

app = App("services")


@app.endpoint()
def greet(name: str, times: int = 1) -> dict[str, str]:
    """Greet somebody: arguments come from the query, or from a JSON body."""
    return {"greeting": " ".join([f"Hello, {name}!"] * times)}


@app.endpoint()
def count(to: int) -> Iterator[int]:
    """Count, a line for each number; a browser's EventSource gets an event for each."""
    yield from range(1, to + 1)


@app.asgi(keep_warm_s=60)
def chat() -> FastAPI:
    """FastAPI, with a WebSocket that echoes and a stream of events."""
    web = FastAPI()

    async def echo(socket: WebSocket) -> None:
        await socket.accept()
        async for text in socket.iter_text():
            await socket.send_text(f"echo: {text}")

    async def ticks() -> AsyncIterator[str]:
        for tick in range(3):
            yield f"data: tick {tick}\n\n"
            await anyio.sleep(0.01)

    async def events() -> StreamingResponse:
        return StreamingResponse(ticks(), media_type="text/event-stream")

    web.add_api_websocket_route("/echo", echo)
    web.add_api_route("/events", events)
    return web


@app.wsgi_app()
def pages() -> Any:
    """Flask."""
    from flask import Flask, request

    web = Flask(__name__)
    web.add_url_rule("/", view_func=lambda: f"<h1>{request.args.get('title', 'Pages')}</h1>")
    return web


@app.web_server(8765)
def files() -> ExitStack:
    """A server that binds a port; the service forwards to it, and calls `close()` at the end."""
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 8765), http.server.SimpleHTTPRequestHandler
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    at_end = ExitStack()
    at_end.callback(server.shutdown)
    return at_end


@app.local_entrypoint()
def main() -> None:
    app.deploy()
    for service in (greet, count, chat, pages, files):
        print(service.name, service.get_web_url(), flush=True)
    input("Enter ends them.\n")


if __name__ == "__main__":
    main()
