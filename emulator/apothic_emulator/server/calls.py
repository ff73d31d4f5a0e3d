"""`POST /v1/<command>`: one command, asked with plain JSON.

A reply that is there within 20 seconds has the status that fits it. One that takes longer begins
with status 200, and a line break every 20 seconds tells everybody on the way that it is alive: then
only the body says whether it is an error. Whoever hangs up gives the reply up.

A request with an `Idempotency-Key` is carried out once within a day: when it comes again, the reply
is that of the first. What looks only, or is kept beside the core, needs none.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

from anyio.to_thread import run_sync

from apothic_backends.commands import Command
from apothic_backends.model.errors import ApothicError, UsageError
from apothic_backends.remote.errors import NotAllowed
from apothic_backends.ticket import Ticket
from apothic_emulator.server import admin, shapes
from apothic_emulator.server.accounts import Account
from apothic_emulator.server.bodies import Gone, read_json
from apothic_emulator.server.catalog import Offer, only_looks
from apothic_emulator.server.guard import CALLER, Receive, Scope, Send
from apothic_emulator.server.keys import Key
from apothic_emulator.server.problems import AGAIN, body_of, encode, status_of
from apothic_emulator.server.rules import values
from apothic_emulator.server.site import Site
from apothic_emulator.server.waits import going, until_hung_up

_OPERATION = re.compile(r"[A-Za-z0-9._:-]{1,128}")

JSON_TYPE = (b"content-type", b"application/json")


class CallRoute:
    """The ASGI application that takes one command."""

    def __init__(self, site: Site, offer: Offer) -> None:
        self._site = site
        self._offer = offer
        self._read = shapes.reader(offer.kind)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read it, ask it, and tell what came of it."""
        key: Key = scope[CALLER]
        answer = _Answer(send)
        self._site.count(self._offer.path)
        try:
            if self._site.waits.is_over:
                raise going()
            command = self._read(await read_json(scope, receive, self._site.max_body), "")
            if not key.may_change and not only_looks(command):
                raise NotAllowed("a key of the scope `read` changes nothing")
            if type(command) in admin.RULES:
                await answer.tell(await admin.carry_out(self._site, key, command))
                return
            account = await self._site.account(key)
            await self._ask(account, command, operation_in(scope), receive, answer)
        except ApothicError as error:
            await answer.fail(error)
        except Gone:
            pass

    async def _ask(
        self,
        account: Account,
        command: Command[Any],
        operation: str | None,
        receive: Receive,
        answer: _Answer,
    ) -> None:
        ticket = await _start(account, command, operation)
        try:
            async with until_hung_up(receive):
                while not await self._site.waits.wait(ticket):
                    await answer.ping()
            await answer.tell(self._reply(ticket))
        except BaseException:
            ticket.cancel()  # what came with a reply that reaches nobody goes back
            raise

    def _reply(self, ticket: Ticket[Any]) -> Any:
        """What came of it.

        Raises:
            BackendClosed: nothing, and the server is about to end.
            Gone: nothing, and nobody waits.
        """
        if ticket.done:
            return ticket.result()
        if self._site.waits.is_over:
            raise going()
        raise Gone


async def _start(account: Account, command: Command[Any], operation: str | None) -> Ticket[Any]:
    """Ask; what is carried out beside the core may read files, and does so on another thread."""
    if command.beside_core:
        return await run_sync(account.start, command)
    return account.start(command, operation)


def operation_in(scope: Scope) -> str | None:
    """What a request names itself with, so that it is carried out once however often it comes.

    Raises:
        UsageError: that is no such name.
    """
    given = values(scope["headers"], b"idempotency-key")
    if not given:
        return None
    if len(given) != 1 or not _OPERATION.fullmatch(given[0]):
        raise UsageError("Idempotency-Key is 1 to 128 letters, digits, '.', '_', ':' and '-'")
    return f"http/{given[0]}"


class _Answer:
    """A response, begun when there is something to say."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._has_begun = False

    async def ping(self) -> None:
        """Say that there is nothing to say yet."""
        if not self._has_begun:
            await self._begin(200, [JSON_TYPE, (b"x-accel-buffering", b"no")])
        await self._send({"type": "http.response.body", "body": b"\n", "more_body": True})

    async def tell(self, value: Any) -> None:
        """Give the reply."""
        await self._end(200, encode({"reply": shapes.write(value)}))

    async def fail(self, error: ApothicError) -> None:
        """Tell of an error."""
        await self._end(status_of(error), body_of(error))

    async def _end(self, status: int, body: bytes) -> None:
        if not self._has_begun:
            headers = [JSON_TYPE, (b"content-length", str(len(body)).encode())]
            again = [(b"retry-after", b"1")] if status in AGAIN else []
            await self._begin(status, headers + again)
        with suppress(OSError):
            await self._send({"type": "http.response.body", "body": body})

    async def _begin(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self._has_begun = True
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
