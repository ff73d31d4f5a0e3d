"""The page at `/`, where the console will be: for whoever opens the address in a browser.

It is the same for everybody, and tells what the documentation tells: nothing of this server.
"""

from __future__ import annotations

from apothic_emulator.server.guard import Receive, Scope, Send
from apothic_emulator.server.responses import respond

PATH = "/"

HTML = "text/html; charset=utf-8"

_PAGE = b"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>Apothic</title>
<h1>An Apothic control plane</h1>
<p>Programs and shells reach it at this address, with a key:</p>
<pre>export APOTHIC_BACKEND=... APOTHIC_API_KEY=apk_...
apothic deploy app.py
apothic job list</pre>
<p>Requests of other languages need the key, too: <code>Authorization: Bearer apk_...</code> for
<code>/openapi.json</code>, which describes them. There is no console yet.</p>
</html>
"""


async def console(_: Scope, __: Receive, send: Send) -> None:
    """Tell what this is."""
    await respond(send, _PAGE, kind=HTML)
