"""Where agents join an account: a WebSocket, opened by a key of the scope `agent`."""

from __future__ import annotations

from apothic_emulator.host.joining import serve_agent
from apothic_emulator.server.guard import Message, Receive, Scope, Send
from apothic_emulator.server.keys import Key
from apothic_emulator.server.site import Site


class Socket:
    """A WebSocket of the server, as `serve_agent` wants it."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._is_over = False

    async def receive(self) -> bytes | None:
        """The next message; None when there is none any more, or it is text."""
        message = await self._receive()
        if message["type"] != "websocket.receive":
            self._is_over = True
            return None
        data: bytes | None = message.get("bytes")
        return data

    async def send(self, data: bytes) -> None:
        """Send a message, unless whoever was there is gone."""
        await self._tell({"type": "websocket.send", "bytes": data})

    async def close(self, code: int, reason: str) -> None:
        """End it."""
        await self._tell({"type": "websocket.close", "code": code, "reason": reason})
        self._is_over = True

    async def _tell(self, message: Message) -> None:
        if self._is_over:
            return
        try:
            await self._send(message)
        except (OSError, RuntimeError):
            self._is_over = True


async def join(_: Scope, receive: Receive, send: Send, key: Key, site: Site) -> None:
    """Serve an agent of the account that the key is for."""
    if (await receive())["type"] != "websocket.connect":
        return
    account = await site.account(key)
    await send({"type": "websocket.accept"})
    socket = Socket(receive, send)
    await serve_agent(socket, account.host)
    await socket.close(1000, "")
