"""Responses that are there as a whole."""

from __future__ import annotations

from apothic_emulator.server.guard import Send

JSON = "application/json"


async def respond(
    send: Send,
    body: bytes,
    status: int = 200,
    *,
    kind: str = JSON,
    more: tuple[tuple[bytes, bytes], ...] = (),
) -> None:
    """Send a response of one piece."""
    length = str(len(body)).encode()
    headers = [(b"content-type", kind.encode()), (b"content-length", length), *more]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
