"""Waiting for a ticket on behalf of somebody who may hang up, while the server may be ending."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from anyio import CancelScope, create_task_group, move_on_after

from apothic_backends.model.errors import BackendClosed
from apothic_backends.ticket import Ticket
from apothic_emulator.server.guard import Receive

PING_S = 20.0
"""How often something is sent while there is nothing to say: proxies cut what is idle for 60 s."""


def going() -> BackendClosed:
    """What those hear who wait when the server ends."""
    return BackendClosed("the server is about to end; ask again when it is back", retry_after_s=1)


class Waits:
    """All waiting in a server; it ends when the server is about to."""

    def __init__(self) -> None:
        self._scopes: set[CancelScope] = set()
        self.is_over = False

    def end(self) -> None:
        """Have nobody wait any longer."""
        self.is_over = True
        for scope in list(self._scopes):
            scope.cancel()

    async def wait(self, ticket: Ticket[Any], patience_s: float = PING_S) -> bool:
        """Wait for a while; whether the ticket is done, or waiting is over in any case."""
        if ticket.done or self.is_over:
            return True
        with CancelScope() as scope:
            self._scopes.add(scope)
            try:
                with move_on_after(patience_s):
                    await _done(ticket)
            finally:
                self._scopes.discard(scope)
        return ticket.done or self.is_over


async def _done(ticket: Ticket[Any]) -> None:
    """Wait until it is done, and leave what it says for later."""
    try:
        await ticket
    except Exception:
        if not ticket.done:
            raise


@asynccontextmanager
async def until_hung_up(receive: Receive) -> AsyncGenerator[CancelScope]:
    """Cancel the block when the other side has hung up; the request was read to its end."""

    async def listen() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        scope.cancel()

    with CancelScope() as scope:
        async with create_task_group() as group:
            group.start_soon(listen)
            yield scope
            group.cancel_scope.cancel()
