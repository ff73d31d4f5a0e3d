"""The one open backend of this process, and what is asked of it: procedures, for `_drive`."""

from __future__ import annotations

from typing import Any, TypeVar

from apothic._drive import step
from apothic_backends.commands.base import Command
from apothic_backends.connection import connect, connect_to, connected, is_open, use

__all__ = ["ask", "ask_soon", "connect", "connect_to", "connected", "is_open", "use"]

T = TypeVar("T")


async def ask(command: Command[T]) -> T:
    """Ask for something. What came with a reply that is not wanted any more goes back."""
    ticket = connect().start(command)
    try:
        return await step(ticket)
    except BaseException:
        ticket.cancel()
        raise


def ask_soon(command: Command[Any]) -> None:
    """Ask for something, and do not wait for the reply."""
    connect().start(command)
