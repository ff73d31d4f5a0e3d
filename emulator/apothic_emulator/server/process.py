"""A server from its start to its end.

listen ──► the server's own store ──► serve ──SIGTERM──► drain ──► accounts close ──► exit 0
                                         │                 │ work has `grace_s` to end
                                         └── a second signal ends it at once
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Generator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import uvicorn

from apothic_backends.commands.machines import GetCloud
from apothic_backends.prices import read_prices
from apothic_backends.providers.base import Provider
from apothic_backends.providers.opening import SECRETS
from apothic_backends.remote import frames
from apothic_backends.remote.errors import Busy
from apothic_backends.remote.running import announce, running
from apothic_emulator.core.bills import pricing
from apothic_emulator.executors import linux
from apothic_emulator.executors.web.hosts import ALLOWED, allowed
from apothic_emulator.gateway.sources import Sources
from apothic_emulator.server.accounts import Account, Accounts, open_account
from apothic_emulator.server.admission import public_of
from apothic_emulator.server.app import build
from apothic_emulator.server.first import ACCOUNT, first_key
from apothic_emulator.server.guard import Guard
from apothic_emulator.server.keys import Keys
from apothic_emulator.server.listening import listen
from apothic_emulator.server.protocol import Config, Protocol, SocketProtocol
from apothic_emulator.server.renting import (
    Papers,
    Renting,
    open_all,
    place_of,
    still_rented,
    terms_of,
)
from apothic_emulator.server.rules import Rules
from apothic_emulator.server.settings import Settings
from apothic_emulator.server.site import Site
from apothic_emulator.stores.store import Store

_KEPT = frozenset(
    {
        *("APOTHIC_HOME", "APOTHIC_CGROUP", "APOTHIC_LIMITS", "APOTHIC_FAKE_GPUS"),
        *("APOTHIC_ON_MISSING_GPU", ALLOWED),
    }
)
"""What workers find of the server's own settings; the others may hold passwords and keys."""

_ONESELF = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - nothing is bound here
"""By which address this machine reaches itself where a server listens on all of them."""

ANSWER_S = 1.0
"""How long those who wait have to take the answer that the server ends."""

TIDY_S = 3600.0
"""How often it is looked for archives of code that nobody needs any more."""

log = logging.getLogger("apothic.server")

SIGNALS = (signal.SIGTERM, signal.SIGINT)

Say = Callable[[str], object]

Beside = Callable[[Site, str], Awaitable[object]]
"""What goes on beside a server, at its address, from the moment that it is up; when that ends, so
does the server, and the other way round."""


def run(settings: Settings, say: Say) -> None:
    """Serve until a signal comes; `say` tells people where, and what they have to know.

    Raises:
        InvalidOption: it would listen where it must not, or the state is nowhere.
        StoreError: the state is in use by another server, damaged, or cannot be reached.
        Busy: the port is taken, or another server has the same home.
    """
    _check_alone(settings.folder)
    with contextlib.closing(listen(settings)) as listening:
        serve(settings, listening, say)


def serve(
    settings: Settings, listening: socket.socket, say: Say, beside: Beside | None = None
) -> None:
    """The same with a socket that listens, and with something beside it.

    Raises:
        StoreError: the state is in use by another server, damaged, or cannot be reached.
    """
    sys.addaudithook(_refuse_pickles)
    providers = open_all(settings)
    given = linux.take_env("APOTHIC_ADMIN_KEY")
    _hide_settings()
    os.environ[ALLOWED] = ",".join((*allowed(), *settings.hosts))
    with contextlib.closing(settings.store()) as store:
        if settings.restored:
            store.forget()
        store.open()
        serving = partial(_serve, providers=providers, given=given)
        anyio.run(serving, settings, listening, store, say, beside, backend="asyncio")


def _check_alone(folder: Path) -> None:
    """See to it that no server loses its key and its address to this one."""
    other = running(folder)
    if other is not None:
        raise Busy(
            f"a server runs already that keeps its key in {folder}: process {other.pid}, at "
            f"{other.url}. End that first, or give this one a home of its own with APOTHIC_HOME"
        )


def _refuse_pickles(event: str, _: object) -> None:
    """Nothing is ever unpickled here, whoever would have it so."""
    if event == "pickle.find_class":
        raise RuntimeError("the control plane unpickles nothing")


def _hide_settings() -> None:
    linux.hide()
    for name in [name for name in os.environ if name.startswith("APOTHIC_")]:
        if name not in _KEPT:
            linux.take_env(name)
    for name in SECRETS:
        linux.take_env(name)


async def _serve(
    settings: Settings,
    listening: socket.socket,
    store: Store,
    say: Say,
    beside: Beside | None,
    *,
    providers: Mapping[str, Provider],
    given: str,
) -> None:
    keys = Keys(store)
    made = first_key(keys, settings.folder, time.time(), given)
    port: int = listening.getsockname()[1]
    near = _url(settings, _ONESELF.get(settings.host, settings.host), port)
    papers = Papers(keys, ACCOUNT, place_of(settings, near), time.time)
    renting = settings.terms and Renting(terms_of(settings), providers, papers)
    accounts = Accounts(_opener(settings, keys, renting))
    site = Site(accounts, keys, settings.max_body, time.time)
    guard = build(site, Rules(port, settings.hosts), most=settings.limits.requests)
    _end_what_is_revoked(keys, guard, accounts)
    try:
        await _go_on(accounts, say)
        if settings.restored:
            for name in sorted({key.account for key in keys.listed()}):
                await accounts.get(name)
        server = Server(_config(settings, guard), site, guard, settings.grace_s)
        async with anyio.create_task_group() as tasks:

            def started() -> None:
                url = _tell(settings, listening, say, made)
                if beside is not None:
                    tasks.start_soon(server.go_along, beside, url)

            server.on_started = started
            tasks.start_soon(_tidy, site)
            await server.serve(sockets=[listening])
            tasks.cancel_scope.cancel()
    finally:
        settings.told_in.unlink(missing_ok=True)
        with anyio.CancelScope(shield=True):
            await accounts.close()


async def _go_on(accounts: Accounts, say: Say) -> None:
    """What was kept goes on now, and not with the first request; so do machines that are rented."""
    account = await accounts.get(ACCOUNT)
    left = still_rented(await account.start(GetCloud()), time.time())
    if left:
        say(left)


async def _tidy(site: Site) -> None:
    """Remove what nobody needs any more, at the start and every hour."""
    while True:
        try:
            await site.accounts.tidy(site.clock())
        except OSError as error:
            log.warning("archives of code cannot be removed: %s", error)
        await anyio.sleep(TIDY_S)


def _opener(settings: Settings, keys: Keys, renting: Renting | None) -> Callable[[str], Account]:
    """Executors run here for the operator's own account alone: they run as the server's user.

    And it is the operator whose money is spent on machines.
    """
    price_of = None if settings.prices is None else pricing(read_prices(settings.prices))

    def open_one(name: str) -> Account:
        is_own = name == ACCOUNT
        return open_account(
            name,
            settings,
            has_home=settings.has_agent and is_own,
            price_of=price_of,
            public=public_of(settings, keys, name, time.time),
            renting=renting if is_own else None,
        )

    return open_one


def _end_what_is_revoked(keys: Keys, guard: Guard, accounts: Accounts) -> None:
    """Have the loop's thread end what goes on under a key that was revoked, on whichever thread."""
    loop = asyncio.get_running_loop()

    def end(key_id: str) -> None:
        for account in [*accounts.opened.values()]:
            account.cut(key_id)
        with contextlib.suppress(RuntimeError):  # the server has ended, and so has all of that
            loop.call_soon_threadsafe(guard.end, key_id)

    keys.on_revoked = end


def _tell(settings: Settings, listening: socket.socket, say: Say, made: Any) -> str:
    """Say where it serves; the address for programs of this machine."""
    host, port = str(listening.getsockname()[0]), int(listening.getsockname()[1])
    near = _url(settings, _ONESELF.get(host, host), port)
    announce(settings.told_in, near)
    if made is not None:
        say(f"made a key of the scope admin: {made}")
    if settings.insecure_network and not settings.is_tls:
        say("warning: keys and data travel in the clear (--insecure-network)")
    say(f"serving on {_url(settings, host, port)}")
    return near


def _url(settings: Settings, host: str, port: int) -> str:
    shown = f"[{host}]" if ":" in host else host
    return f"{'https' if settings.is_tls else 'http'}://{shown}:{port}"


def _config(settings: Settings, guard: Guard) -> Config:
    app: Any = guard
    config = Config(
        app,
        http=Protocol,
        ws=SocketProtocol,
        loop="asyncio",
        lifespan="off",
        log_config=None,
        log_level=logging.WARNING,
        access_log=False,
        server_header=False,
        date_header=True,
        proxy_headers=False,
        ws_max_size=frames.MOST_BYTES,
        ws_ping_interval=frames.PING_S,
        ws_ping_timeout=frames.PING_S,
        ws_per_message_deflate=False,
        h11_max_incomplete_event_size=64 << 10,
        timeout_graceful_shutdown=5,
        ssl_certfile=settings.tls_cert,
        ssl_keyfile=settings.tls_key and str(settings.tls_key),
    )
    config.sources = Sources(settings.limits.connections)
    return config


class Server(uvicorn.Server):
    """uvicorn's server, which lets work end before it closes anything."""

    def __init__(self, config: uvicorn.Config, site: Site, guard: Guard, grace_s: float) -> None:
        super().__init__(config)
        self._site = site
        self._guard = guard
        self._grace_s = grace_s
        self._beside = anyio.CancelScope()
        self.on_started: Callable[[], object] = bool

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to serve, and say so once signals end it in order."""
        await super().startup(sockets)
        self.on_started()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Take the signals, and leave the exit code to us."""
        before = {one: signal.signal(one, self.handle_exit) for one in SIGNALS}
        try:
            yield
        finally:
            for one, handler in before.items():
                signal.signal(one, handler)

    def handle_exit(self, sig: int, frame: Any) -> None:
        """The first signal begins the end, the second hurries it."""
        if self.should_exit:
            self.force_exit = True
        self.should_exit = True

    async def go_along(self, beside: Beside, url: str) -> None:
        """Have something go on until the end, which it may bring about."""
        with anyio.CancelScope() as self._beside:
            await beside(self._site, url)
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End in order: nobody waits any longer, running jobs have a while, then all is closed."""
        self._beside.cancel()
        self._site.waits.end()
        await self._until(self._site.accounts.is_quiet, self._grace_s)
        await self._until(lambda: not self._guard.going_on, ANSWER_S)
        self._guard.end_all()
        await super().shutdown(sockets)

    async def _until(self, is_so: Callable[[], bool], patience_s: float) -> None:
        """Wait for something, for a while and unless there is a hurry."""
        with anyio.move_on_after(patience_s):
            while not (is_so() or self.force_exit):  # noqa: ASYNC110 - nobody tells of it
                await anyio.sleep(0.02)
