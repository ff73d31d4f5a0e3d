"""`@app.web_server`: a function starts a server of its own, and connections are forwarded to it.

    wait until the port is free ─► the function ─► its port accepts ─► ready: forward connections
                                                                              │
    exit ◄─ cut what is left ◄─ close() what it returned ◄─ what is busy ends ◄─ told to end

A server of this interpreter gets a port of its own, so that the next process can start beside it.
One that is another program holds the declared port: then the next process says that it is "taken",
and waits until the one before has ended. Connections wait in the socket meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import inspect
import os
import socket
import threading
from collections.abc import Callable
from typing import Any, Protocol

import psutil

from apothic_emulator.executors import wire
from apothic_emulator.executors.web import ports
from apothic_emulator.executors.web.forwarding import LOOK_S, Forwarder
from apothic_emulator.executors.web.given import CannotServe
from apothic_emulator.executors.web.ports import Address, Moved
from apothic_emulator.executors.wire import Frame

TRY_S = 0.01
"""How often it is tried whether the server accepts connections."""

LOOK_AGAIN_S = 0.25
"""How often it is looked who has the port."""

TELL_S = 1.0
"""What is left, at the most, of the time for a whole start to tell what listens where instead."""

END_S = 1.0
"""What servers get to end their connections once they are told to, at least."""


class PortTaken(CannotServe):
    """Somebody else has the port."""


class NotListening(CannotServe):
    """Nothing accepts connections at the port."""


class NotOnLoopback(CannotServe):
    """The server listens where others than this machine reach it."""


class Process(Protocol):
    """What is needed of the process that it is in."""

    function: Callable[..., Any]
    door: list[int]

    def send(self, frame: Frame) -> None:
        """Tell the control plane something."""
        ...


async def start(process: Process, spec: dict[str, Any]) -> WebServer:
    """Start a user's server, and forward connections to it.

    Raises:
        PortTaken: somebody else has the port.
        NotListening: nothing accepts connections there in time.
        NotOnLoopback: other machines would reach it past the service.
        BaseException: what the function raised.
    """
    service = spec["service"]
    port: int = service["port"]
    await _wait_for_turn(process, port)
    moved = Moved(port)
    moved.install()
    running = run(process.function)
    own = _port_of(process.door[0])
    target = await _accepting(running, moved, service, besides=own)
    server = WebServer(target, running, service["grace_s"])
    server.forwarder.listen(process.door)
    return server


async def _wait_for_turn(process: Process, port: int) -> None:
    """Wait while a process of the same kind has the port; the control plane has it end."""
    is_told = False
    while ports.is_taken(port):
        holders = await _holders(port)
        if not any(ports.is_relative(one.pid) for one in holders):
            return  # a stranger; whether that is in the way will be seen
        if not is_told:
            is_told = True
            process.send(Frame(wire.SAID, 0, 0, 0, b"taken"))
        await asyncio.sleep(LOOK_AGAIN_S / 5)


def run(function: Callable[..., Any]) -> asyncio.Future[Any]:
    """Call it, on a thread of its own unless it is async: a server may run inside."""
    loop = asyncio.get_running_loop()
    if inspect.iscoroutinefunction(inspect.unwrap(function)):
        return loop.create_task(function())
    result: asyncio.Future[Any] = loop.create_future()

    def tell(value: Any, error: BaseException | None) -> None:
        if result.done():
            return
        if error is None:
            result.set_result(value)
        else:
            result.set_exception(error)

    def call() -> None:
        value, error = None, None
        try:
            value = function()
        except BaseException as raised:  # noqa: BLE001 - the user's code may raise anything
            error = raised if not isinstance(raised, StopIteration) else RuntimeError(str(raised))
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(tell, value, error)

    threading.Thread(target=call, name="apothic-server", daemon=True).start()
    return result


def _port_of(listener: int) -> int:
    """Where the service itself listens; 0 if an agent hands its connections in."""
    with socket.socket(fileno=os.dup(listener)) as it:
        at: Any = it.getsockname()
        return 0 if isinstance(at, str) else int(at[1])


class Patience:
    """How long a server may take to accept connections."""

    def __init__(self, service: dict[str, Any]) -> None:
        self._clock = asyncio.get_running_loop().time
        self._after_s: float = service["startup_timeout_s"]
        self._has_returned = False
        start_s: float = service["start_timeout_s"]
        self.waited = f"service_startup_timeout_s={start_s:g}, nor has the function returned"
        self._until = self._clock() + start_s - min(TELL_S, start_s / 4) - ports.age_s()

    def returned(self) -> None:
        """The function has returned: it is waited for so long after that."""
        if not self._has_returned:
            self._has_returned = True
            self.waited = f"startup_timeout={self._after_s:g} s"
            self._until = self._clock() + self._after_s

    @property
    def is_over(self) -> bool:
        """Whether it has taken longer."""
        return self._clock() >= self._until


async def _accepting(
    running: asyncio.Future[Any], moved: Moved, service: dict[str, Any], besides: int
) -> Address:
    """Where the server accepts connections, once it does; the port `besides` is the service's."""
    patience = Patience(service)
    while True:
        if running.done():
            await _result(running, moved.port)
            patience.returned()
        found = await _found(running, moved)
        if found is not None:
            return found
        if patience.is_over:
            own = [one for one in await _own() if one.port != besides]
            raise NotListening(ports.why_silent(moved.port, patience.waited, own))
        await asyncio.sleep(TRY_S)


async def _found(running: asyncio.Future[Any], moved: Moved) -> Address | None:
    """Where the server accepts connections by now."""
    for address in moved.addresses or [(own, moved.port) for own in ports.LOOPBACK.values()]:
        if not await _accepts(address):
            continue
        if moved.addresses and address not in moved.addresses:
            continue  # it was moved meanwhile, and the try with it
        if moved.addresses or await _is_own(moved.port, is_over=running.done()):
            return address
        await asyncio.sleep(LOOK_AGAIN_S)
    return None


async def _result(running: asyncio.Future[Any], port: int) -> None:
    try:
        await running
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise _taken(port, await _holders(port)) from error


async def _accepts(address: Address) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET) as probe:
        probe.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(probe, address)
        except OSError:
            return False
        return True


async def _is_own(port: int, *, is_over: bool) -> bool:
    """Whether it is the user's server that accepts connections, and no stranger.

    Raises:
        NotOnLoopback: it is, and others than this machine reach it.
        PortTaken: it is a stranger, and the function has returned.
    """
    holders = await _holders(port)
    family = ports.family()
    own = [one for one in holders if one.pid in family]
    beyond = [one for one in own if ports.is_beyond(one)]
    if beyond:
        raise NotOnLoopback(ports.why_beyond(beyond))
    if own or not holders:
        return True
    if is_over:
        raise _taken(port, holders)
    return False


def _taken(port: int, holders: list[ports.Listener]) -> PortTaken:
    who = ", ".join(str(one) for one in holders) or "another program"
    return PortTaken(f"port {port} is taken by {who}; end that, or use another port")


async def _holders(port: int) -> list[ports.Listener]:
    found = await asyncio.to_thread(ports.listeners)
    return [one for one in found if one.port == port]


async def _own() -> list[ports.Listener]:
    family = ports.family()
    return [one for one in await asyncio.to_thread(ports.listeners) if one.pid in family]


class WebServer:
    """A user's server that runs, and what forwards to it."""

    def __init__(self, target: Address, running: asyncio.Future[Any], grace_s: float) -> None:
        self.forwarder = Forwarder(target)
        self._running = running
        self._grace_s = grace_s
        self._closing: asyncio.Task[None] | None = None

    def when_gone(self, tell: Callable[[], object]) -> None:
        """Tell when the user's server is not there any more."""
        waiting = asyncio.create_task(self.forwarder.is_gone.wait())
        waiting.add_done_callback(lambda _: tell())
        self._waiting = waiting

    @property
    def is_needed(self) -> bool:
        """Whether something is under way, or somebody has come who is about to ask."""
        return self.forwarder.is_needed

    @property
    def has_served(self) -> bool:
        """Whether there was a connection."""
        return self.forwarder.has_served

    @property
    def idle_since(self) -> float:
        """When something last passed."""
        return self.forwarder.idle_since

    def drain(self, *, hand_on: bool) -> None:
        """Take no more connections; none is handed on, for only the user's server knows them."""
        self.forwarder.close()

    async def drained(self) -> None:
        """Wait for what is busy, half of the grace at most; then have the server end the rest."""
        await self._until(lambda: not self.forwarder.busy, self._grace_s / 2)
        await self.stop()
        await self._until(lambda: self.forwarder.is_empty, END_S)
        await self._until(lambda: not self.forwarder.busy, self._grace_s)

    async def _until(self, is_so: Callable[[], bool], most_s: float) -> None:
        clock = self.forwarder.loop.time
        late = clock() + most_s
        while True:
            if is_so() or clock() >= late:
                return
            await asyncio.sleep(LOOK_S)

    def abort(self) -> None:
        """Cut off what is left."""
        self.forwarder.abort()

    async def stop(self) -> None:
        """Close what the function returned, and have programs that it started end.

        That goes on if whoever waits for it gives up, and can be waited for again.
        """
        if self._closing is None:
            self._closing = asyncio.create_task(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        try:
            close = getattr(self._running.result() if self._running.done() else None, "close", None)
            if callable(close):
                await _call(close)
        finally:
            for child in psutil.Process().children():
                with contextlib.suppress(psutil.Error):
                    child.terminate()


async def _call(close: Callable[[], Any]) -> None:
    value = await run(close)
    if inspect.isawaitable(value):
        await value
