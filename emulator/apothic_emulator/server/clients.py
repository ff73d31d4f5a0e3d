"""`/v1/session`: the WebSocket of Python programs, which the `remote` backend speaks."""

from __future__ import annotations

from typing import Any

from apothic_backends.commands import Command
from apothic_backends.remote.errors import NotAllowed
from apothic_emulator.server.catalog import only_looks
from apothic_emulator.server.guard import ABORT, Receive, Scope, Send
from apothic_emulator.server.keys import Key
from apothic_emulator.server.site import Site


async def serve(scope: Scope, receive: Receive, send: Send, key: Key, site: Site) -> None:
    """Serve one connection of a client of the key's account."""

    def check(command: Command[Any]) -> None:
        if not key.may_change and not only_looks(command):
            raise NotAllowed("a key of the scope `read` changes nothing")

    account = await site.account(key)
    abort = scope.get("extensions", {}).get(ABORT)
    await account.sessions.serve(receive, send, check, abort)
