"""Where agents open streams, each of which is for one connection to a service from then on."""

from __future__ import annotations

from apothic_emulator.executors.web.callers import NOTHING, read
from apothic_emulator.gateway.paths import CALLER as CLIENT, PATH, PROTOCOL, SERVICE, STREAM
from apothic_emulator.server.guard import CALLER, TAKE, Receive, Refusal, Scope, Send, refuse
from apothic_emulator.server.rules import values
from apothic_emulator.server.site import Site

__all__ = ["PATH", "StreamsRoute"]

NO_STREAM = Refusal(404, "not_found", "nobody awaits that stream")
NO_UPGRADE = Refusal(426, "bad_request", f"this is for `Upgrade: {PROTOCOL}`")

_SWITCHED = f"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: {PROTOCOL}\r\n"


class StreamsRoute:
    """`GET /v1/agent/streams`."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Give the connection to the gateway of the account that the key is for."""
        headers = scope["headers"]
        take = scope.get("extensions", {}).get(TAKE)
        if take is None or values(headers, b"upgrade") != [PROTOCOL]:
            await refuse(scope, send, NO_UPGRADE)
            return
        account = await self._site.account(scope[CALLER])
        gateway = account.host.agent.aside.doors.gateway
        stream, service = values(headers, STREAM.encode()), values(headers, SERVICE.encode())
        if gateway is None or len(stream) + len(service) != 1:
            await refuse(scope, send, NO_STREAM)
        elif stream:
            said = gateway.said_of(stream[0]).decode("ascii")
            answer = f"{_SWITCHED}{CLIENT}: {said}\r\n\r\n"
            gateway.joined(stream[0], take(answer.encode()))
        else:
            said = "".join(values(headers, CLIENT.encode())[:1])
            back = take(f"{_SWITCHED}\r\n".encode())
            is_meant = read(said.encode("latin-1")) is not None
            gateway.came_back(service[0], back, said.encode() if is_meant else NOTHING)
