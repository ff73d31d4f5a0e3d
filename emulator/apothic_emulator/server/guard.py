"""The one guard: the outermost layer, before every route, method and WebSocket.

It looks at what everybody has to show (`rules`, a key, its scope), and then ties what goes on to
the key: it ends when the key expires or is revoked. What it refuses reaches no handler.
"""

from __future__ import annotations

import json
import logging
from base64 import b64decode
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import anyio
from anyio import CancelScope

from apothic_emulator.server.access import Access, is_page
from apothic_emulator.server.failures import Failures
from apothic_emulator.server.keys import Key, Keys
from apothic_emulator.server.rules import Refusal, Rules, values

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

CALLER = "apothic.key"
"""Where a handler finds the key of whoever asks, in the scope."""

TARGET = "apothic.target"
"""Where the server says what stood in the request line."""

ABORT = "apothic.abort"
"""What cuts the connection of a request."""

TAKE = "apothic.take"
"""What gives the connection of a request away, after a last thing was said on it."""

NO_KEY = Refusal(401, "unauthorized", "a key that holds is needed: `Authorization: Bearer apk_...`")
TOO_OFTEN = Refusal(429, "too_many_failures", "too many requests without a key that holds")
GOING = Refusal(503, "backend_closed", "the server is about to end; ask again when it is back")
TOO_MANY = Refusal(429, "over_limit", "this account has too many requests under way; end some")
NOT_ALLOWED = Refusal(403, "forbidden", "the scopes of this key do not allow that")

POLICY_VIOLATION = 1008
"""The code with which a WebSocket is closed whose key holds no more."""

RESTARTS = 1012
"""The code with which a WebSocket is closed because the server is about to end."""

WRITE_S = 10.0
"""How long a response may lie there before any of it is taken."""

LEAST_RATE = 16 << 10
"""Bytes of it that are to be taken in a second from then on."""

HARDENED: tuple[tuple[bytes, bytes], ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
"""What every response says, unless it says something else under that name."""

log = logging.getLogger("apothic.server")


class Exchange:
    """A request or a WebSocket that goes on under a key."""

    def __init__(self, key: Key, bounds: CancelScope) -> None:
        self.key = key
        self.bounds = bounds
        self.why = NO_KEY
        """Why it is ended, if it is."""


class Guard:
    """An ASGI application in front of another."""

    def __init__(
        self,
        app: App,
        rules: Rules,
        keys: Keys,
        access: Access,
        clock: Callable[[], float],
        *,
        most: int,
    ) -> None:
        """Of each account `most` requests are under way at a time."""
        self._app = app
        self._rules = rules
        self._keys = keys
        self._access = access
        self._clock = clock
        self._failures = Failures()
        self._going_on: set[Exchange] = set()
        self._most = most
        self._by_account: Counter[str] = Counter()

    @property
    def going_on(self) -> int:
        """How many requests and WebSockets are under way."""
        return len(self._going_on)

    def end(self, key_id: str) -> None:
        """End what goes on under a key that holds no more; on the loop's thread."""
        for exchange in list(self._going_on):
            if exchange.key.key_id == key_id:
                exchange.bounds.cancel()

    def end_all(self) -> None:
        """End all that goes on, because the server is about to end."""
        for exchange in list(self._going_on):
            exchange.why = GOING
            exchange.bounds.cancel()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Look at a request, and pass it on or refuse it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        send = _hardened(send)
        found = self._look(scope)
        if isinstance(found, Refusal):
            _log(scope, found)
            await refuse(scope, send, found)
        elif found is None:
            await self._app(scope, receive, send)
        elif self._by_account[found.account] >= self._most and "admin" not in found.scopes:
            await refuse(scope, send, TOO_MANY)
        else:
            await self._pass_on(found, scope, receive, send)

    def _look(self, scope: Scope) -> Key | Refusal | None:
        """Whose request it is, or why it is refused; None for what is open to everybody."""
        headers = scope["headers"]
        target = scope.get("extensions", {}).get(TARGET) or scope["raw_path"]
        address = (scope.get("server") or ("", 0))[0]
        refusal = self._rules.refusal(target, headers, address)
        if refusal is not None:
            return refusal
        path: str = scope["path"]
        if self._access.is_open(path, scope.get("method", ""), scope["query_string"]):
            return None
        key = self._keys.find(_token(scope), self._clock())
        if key is None:
            source = (scope.get("client") or ("", 0))[0]
            return TOO_OFTEN if self._failures.note(source, anyio.current_time()) else NO_KEY
        return key if self._access.allows(key, path) else NOT_ALLOWED

    async def _pass_on(self, key: Key, scope: Scope, receive: Receive, send: Send) -> None:
        """Have it carried out for as long as the key holds."""
        told = Told(send, scope)
        scope[CALLER] = key
        bounds = CancelScope()
        exchange = Exchange(key, bounds)
        with bounds:
            if key.expires_at is not None:
                bounds.deadline = anyio.current_time() + key.expires_at - self._clock()
            self._going_on.add(exchange)
            self._by_account[key.account] += 1
            try:
                if self._keys.is_known(key.key_id):  # not revoked since it was looked up
                    await self._app(scope, receive, told)
                    return
            finally:
                self._going_on.discard(exchange)
                self._by_account[key.account] -= 1
        await _cut(scope, told, exchange.why)


class Told:
    """What was sent, and whether a response has begun; who takes nothing of it is cut off."""

    def __init__(self, send: Send, scope: Scope) -> None:
        self._send = send
        self._scope = scope
        self.has_begun = False

    async def __call__(self, message: Message) -> None:
        """Send on."""
        self.has_begun = True
        if self._scope["type"] != "http":
            await self._send(message)
            return
        patience_s = WRITE_S + len(message.get("body", b"")) / LEAST_RATE
        with anyio.move_on_after(patience_s) as waited:
            await self._send(message)
        if waited.cancelled_caught:
            self._scope.get("extensions", {}).get(ABORT, bool)()


async def _cut(scope: Scope, told: Told, why: Refusal) -> None:
    """End what goes on, and say why if nothing was said yet."""
    with CancelScope(shield=True), anyio.move_on_after(1.0):
        if scope["type"] == "websocket":
            code = RESTARTS if why is GOING else POLICY_VIOLATION
            await told({"type": "websocket.close", "code": code, "reason": why.code})
        elif not told.has_begun:
            await refuse(scope, told, why)
            return
    abort = scope.get("extensions", {}).get(ABORT)
    if abort is not None and scope["type"] == "http":
        abort()


def _token(scope: Scope) -> str:
    """The one token that a request shows, or nothing: a bearer's, or for a page a password.

    A browser goes on to send a password by itself. It opens pages alone, which change nothing, and
    what other sites have a browser ask for is refused before.
    """
    found = values(scope["headers"], b"authorization")
    if len(found) != 1:
        return ""
    kind, _, token = found[0].partition(" ")
    if kind.lower() == "basic" and _is_looked_at(scope):
        return _password(token)
    return token if kind.lower() == "bearer" else ""


def _is_looked_at(scope: Scope) -> bool:
    """Whether a page is asked for, as browsers do."""
    return is_page(scope["path"]) and scope.get("method") in ("GET", "HEAD")


def _password(given: str) -> str:
    """The password in what Basic authentication (RFC 7617) sends; the name does not matter."""
    try:
        return b64decode(given, validate=True).decode().partition(":")[2]
    except ValueError:
        return ""


_AGAIN = [(b"retry-after", b"1")]
_MORE = {401: [(b"www-authenticate", b"Bearer")], 429: _AGAIN, 503: _AGAIN}
"""What is said with a status, besides."""

_PASSWORD = (b"www-authenticate", b'Basic realm="apothic: any name, and a key as password"')


async def refuse(scope: Scope, send: Send, refusal: Refusal) -> None:
    """Tell that a request is refused; a WebSocket is before it is opened."""
    kind = "http.response"
    if scope["type"] == "websocket":
        if "websocket.http.response" not in scope.get("extensions", {}):
            await send({"type": "websocket.close", "code": POLICY_VIOLATION})
            return
        kind = "websocket.http.response"
    about = {"code": refusal.code, "message": refusal.message, "data": dict[str, Any]()}
    told = {"error": about}
    headers = [(b"content-type", b"application/json")]
    headers += _MORE.get(refusal.status, [])
    if refusal.status == NO_KEY.status and _is_looked_at(scope):
        headers.append(_PASSWORD)
    await send({"type": f"{kind}.start", "status": refusal.status, "headers": headers})
    await send({"type": f"{kind}.body", "body": json.dumps(told).encode()})


def _hardened(send: Send) -> Send:
    """Say on every response what browsers may not do with it."""

    async def sent(message: Message) -> None:
        if message["type"].endswith("response.start"):
            said = list(message.get("headers", ()))
            names = {bytes(name).lower() for name, _ in said}
            more = [pair for pair in HARDENED if pair[0] not in names]
            message = {**message, "headers": [*said, *more]}
        await send(message)

    return sent


def _log(scope: Scope, refusal: Refusal) -> None:
    """Note a refusal: never a header or a query, which may hold what somebody takes for a key."""
    source = (scope.get("client") or ("", 0))[0]
    method = scope.get("method", "WEBSOCKET")
    path = ascii(scope["path"])[:200]
    log.warning("refused %s %s %s: %s", source, method, path, refusal.code)
