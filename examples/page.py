"""A page to be edited while it is looked at: `apothic dev examples/page.py`.

It needs `pip install 'apothic[dev]'`. Change TITLE, save the file, and look.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import count

import anyio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.routing import Route

from apothic import App

app = App("page")

TITLE = "Hello"

PAGE = """<!doctype html>
<meta charset="utf-8">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<h1>{title}</h1>
<p>This version has been looked at for <output>0</output> s.</p>
<script>
  const seconds = new EventSource("seconds")
  seconds.onmessage = (event) => document.querySelector("output").value = event.data
  // It ends with its version: when it is there again, the next one is.
  seconds.onerror = () => seconds.onopen = () => location.reload()
</script>
"""


async def ticks() -> AsyncIterator[str]:
    yield "retry: 20\n\n"
    for second in count():
        yield f"data: {second}\n\n"
        await anyio.sleep(1)


async def look(_: Request) -> Response:
    return HTMLResponse(PAGE.format(title=TITLE))


async def seconds(_: Request) -> Response:
    return StreamingResponse(ticks(), media_type="text/event-stream")


@app.asgi()
def page() -> Starlette:
    return Starlette(routes=[Route("/", look), Route("/seconds", seconds)])


@app.function()
def shout(text: str) -> str:
    return text.upper()
