"""The pages for whoever opens an address in a browser: `/`, and one for each app.

`/` is the same for everybody, and tells what the documentation tells: nothing of this server. The
page of an app needs a key as everything else does, which a browser may send as a password: it shows
the app of the key's account, whatever project and domain its address names. Pages have no scripts,
and what others have named is escaped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from html import escape
from typing import Any
from urllib.parse import unquote

from apothic_backends.commands.base import Command
from apothic_backends.commands.deployments import ListDeployments
from apothic_backends.commands.services import ListServices
from apothic_backends.model.deployments import DeploymentSnapshot
from apothic_backends.model.errors import ApothicError
from apothic_backends.model.services import ServiceSnapshot
from apothic_emulator.server.accounts import Account
from apothic_emulator.server.guard import CALLER, Receive, Scope, Send
from apothic_emulator.server.problems import status_of
from apothic_emulator.server.responses import respond
from apothic_emulator.server.site import Site
from apothic_emulator.server.waits import going

PATH = "/"

HTML = "text/html; charset=utf-8"

_APP = re.compile(rb"/v2/domain/[^/?]+/project/[^/?]+/apps/([^/?]+)")

_MOST = 50
"""How many deployments are shown."""

_HEAD = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
"""

_PAGE = (
    _HEAD.format(title="Apothic")
    + """<h1>An Apothic control plane</h1>
<p>Programs and shells reach it at this address, with a key:</p>
<pre>export APOTHIC_BACKEND=... APOTHIC_API_KEY=apk_...
apothic deploy app.py
apothic job list</pre>
<p>Requests of other languages need the key, too: <code>Authorization: Bearer apk_...</code> for
<code>/openapi.json</code>, which describes them. The page of an app is at
<code>/v2/domain/DOMAIN/project/PROJECT/apps/APP</code>; for a browser the key is the password.</p>
</html>
"""
).encode()


async def console(_: Scope, __: Receive, send: Send) -> None:
    """Tell what this is."""
    await respond(send, _PAGE, kind=HTML)


class AppPage:
    """The page of an app: its services, and its deployments."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Show what there is, or say what is not there."""
        found = _APP.fullmatch(scope["raw_path"])
        app_name, _, name = unquote("" if found is None else found[1]).partition("/")
        try:
            account = await self._site.account(scope[CALLER])
            services = await self._ask(account, ListServices(app_name))
            deployments = await self._ask(account, ListDeployments(app_name))
        except ApothicError as error:
            await respond(send, _missing(str(error)), status_of(error), kind=HTML)
            return
        shown = [it for it in services if name in ("", it.service_id.partition("/")[2])]
        if not deployments or (name and not shown):
            wanted = f"{app_name}/{name}" if name else app_name
            said = f"Nothing that is called {wanted!r} is deployed here."
            await respond(send, _missing(said), 404, kind=HTML)
            return
        await respond(send, page(app_name, account.name, shown, deployments[:_MOST]), kind=HTML)

    async def _ask(self, account: Account, command: Command[Any]) -> Any:
        ticket = account.start(command)
        while not await self._site.waits.wait(ticket):
            pass
        if not ticket.done:
            ticket.cancel()
            raise going()
        return ticket.result()


def page(
    app_name: str,
    account: str,
    services: Iterable[ServiceSnapshot],
    deployments: Iterable[DeploymentSnapshot],
) -> bytes:
    """The page that shows these."""
    served = [
        (
            it.service_id,
            it.status,
            it.desired,
            it.version,
            it.processes,
            it.url or "",
            it.stale or it.note,
        )
        for it in services
    ]
    deployed = [
        (it.deployment_id, it.version, it.status, _time(it.created_at), it.unfinished)
        for it in deployments
    ]
    body = [
        _HEAD.format(title=escape(f"{app_name} - Apothic")),
        f"<h1>{escape(app_name)}</h1>\n<p>Account {escape(account)}</p>\n",
        _table("Services", "Service,Status,Is to be,Version,Processes,Address,Problem", served),
        _table("Deployments", "Deployment,Version,Status,Deployed,Jobs under way", deployed),
        "</html>\n",
    ]
    return "".join(body).encode()


def _table(title: str, heads: str, rows: list[tuple[Any, ...]]) -> str:
    if not rows:
        return f"<h2>{title}</h2>\n<p>None.</p>\n"
    lines = [f"<h2>{title}</h2>", '<table border="1" cellpadding="6">']
    lines.append("<tr>" + "".join(f'<th align="left">{it}</th>' for it in heads.split(",")))
    lines += ["<tr>" + "".join(f"<td>{_cell(it)}</td>" for it in row) for row in rows]
    return "\n".join([*lines, "</table>\n"])


def _cell(value: Any) -> str:
    text = escape(str(value))
    return f'<a href="{text}">{text}</a>' if text.startswith(("http://", "https://")) else text


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _missing(said: str) -> bytes:
    body = f"<h1>Apothic</h1>\n<p>{escape(said)}</p>\n</html>\n"
    return (_HEAD.format(title="Apothic") + body).encode()
