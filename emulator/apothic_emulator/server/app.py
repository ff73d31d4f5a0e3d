"""The ASGI application of a server: its routes, and the guard around them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version

from apothic_backends.model.record import Record
from apothic_emulator.server import admin, catalog, console, events, openapi, streams
from apothic_emulator.server.access import CLIENTS, Access, is_page
from apothic_emulator.server.calls import CallRoute
from apothic_emulator.server.catalog import READ, Offer
from apothic_emulator.server.events import EventsRoute
from apothic_emulator.server.guard import CALLER, App, Guard, Receive, Refusal, Scope, Send, refuse
from apothic_emulator.server.health import Figures, Health, Metrics
from apothic_emulator.server.limits import Limits
from apothic_emulator.server.problems import encode
from apothic_emulator.server.responses import respond
from apothic_emulator.server.rules import Rules
from apothic_emulator.server.site import Site
from apothic_emulator.server.sockets import SOCKETS, Socket, handler_of

NO_PATH = Refusal(404, "not_found", "there is no such path; /openapi.json has those that there are")
NO_METHOD = Refusal(405, "method_not_allowed", "this path takes another method")

LOOK = ("GET", "HEAD")
ASK = ("POST",)
CONNECT = ("WEBSOCKET",)

MONITORS = frozenset({"admin", "metrics"})


def build(
    site: Site, rules: Rules, sockets: Sequence[Socket] = SOCKETS, *, most: int = Limits().requests
) -> Guard:
    """The application of a site, which is known by these rules.

    Of each account `most` requests are under way at a time.
    """
    offers = {**catalog.offers(), **admin.offers()}
    figures = Figures(site)
    table = {
        **{path: Route(ASK, CallRoute(site, offer)) for path, offer in offers.items()},
        **{socket.path: Route(CONNECT, _socket(socket, site)) for socket in sockets},
        events.PATH: Route(("GET",), EventsRoute(site)),
        streams.PATH: Route(("GET",), streams.StreamsRoute(site)),
        "/healthz": Route(LOOK, Health(site)),
        "/metrics": Route(LOOK, Metrics(figures)),
        "/openapi.json": Route(LOOK, _Document(offers)),
        console.PATH: Route(LOOK, console.console),
    }
    access = Access(_needs(offers, sockets))
    routes = Routes(table, Route(LOOK, console.AppPage(site)))
    guard = Guard(routes, rules, site.keys, access, site.clock, most=most)
    figures.guard = guard
    return guard


class Route(Record):
    """What takes the requests of a path, and by which methods."""

    methods: tuple[str, ...]
    app: App


class Routes:
    """Every path, by its exact name; and the pages of apps, each of which is at one of its own."""

    def __init__(self, table: Mapping[str, Route], pages: Route) -> None:
        self.table = table
        self._pages = pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or say that there is nobody for it."""
        if scope["type"] == "lifespan":
            return
        route = self.table.get(scope["path"])
        if route is None and is_page(scope["path"]):
            route = self._pages
        if route is None:
            await refuse(scope, send, NO_PATH)
        elif scope.get("method", *CONNECT) not in route.methods:
            await refuse(scope, send, NO_METHOD)
        else:
            await route.app(scope, receive, send)


def _needs(offers: dict[str, Offer], sockets: Sequence[Socket]) -> dict[str, frozenset[str]]:
    """Which scopes open which path."""
    return {
        **{path: offer.scopes for path, offer in offers.items()},
        **{socket.path: socket.scopes for socket in sockets},
        events.PATH: READ,
        streams.PATH: frozenset({"agent"}),
        "/metrics": MONITORS,
        "/openapi.json": CLIENTS,
    }


class _Document:
    """`GET /openapi.json`."""

    def __init__(self, offers: Mapping[str, Offer]) -> None:
        self._offers = offers
        self._told = b""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._told = self._told or encode(openapi.document(self._offers.values(), _version()))
        await respond(send, self._told)


def _version() -> str:
    return version("apothic")


def _socket(socket: Socket, site: Site) -> App:
    handler = handler_of(socket)

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        await handler(scope, receive, send, scope[CALLER], site)

    return serve
