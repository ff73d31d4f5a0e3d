"""The life of a service's process: it starts its application, serves, and ends when it is told to.

load the function ─► make the application ─► lifespan starts ─► ready: take connections
                                                                    │
exit ◄─ lifespan ends ◄─ what has begun is finished, within its grace ◄─ told to end
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable
from typing import Any, Protocol

from apothic_emulator.executors import wire
from apothic_emulator.executors.web import shapes
from apothic_emulator.executors.web.lifespan import Lifespan
from apothic_emulator.executors.web.loops import new_event_loop
from apothic_emulator.executors.web.objects import Object
from apothic_emulator.executors.wire import Frame

FIRST_S = 5.0
"""The least that a process waits for its first request, for which it was started."""

LOOK_S = 0.05
"""How often it is looked, at the most, whether there is nothing to do."""

AGAIN_S = 0.2
"""How often a process that is crowded says so, at the most."""


class Executor(Protocol):
    """What a service needs of the process that it is in."""

    function: Callable[..., Any]
    jobs: Any
    door: list[int]
    lasting: Any

    def is_ready(self) -> None:
        """Tell that it takes requests."""
        ...

    def cannot_load(self, name: str, error: BaseException) -> Any:
        """A report of why it never will."""
        ...

    def report(self, job: int, attempt: int, report: Any) -> None:
        """Tell the host something."""
        ...

    def send(self, frame: Frame) -> None:
        """Tell the host something."""
        ...


class Serves(Protocol):
    """What takes connections."""

    @property
    def is_needed(self) -> bool:
        """Whether something is under way, or somebody has come who is about to ask."""
        ...

    @property
    def has_served(self) -> bool:
        """Whether there was one."""
        ...

    @property
    def idle_since(self) -> float:
        """When the last of them ended."""
        ...

    def drain(self, *, hand_on: bool) -> None:
        """Take no more, and end what is there as soon as that is in order."""
        ...

    async def drained(self) -> None:
        """Wait until nothing is left."""
        ...

    def abort(self) -> None:
        """Cut off what is left."""
        ...


class Stops(Protocol):
    """What is told when all is over."""

    async def stop(self) -> None:
        """End."""
        ...


class Serving:
    """One process of a service."""

    def __init__(self, executor: Executor, spec: dict[str, Any]) -> None:
        self.executor = executor
        self.spec = spec
        self.name: str = spec["name"]
        self.service: dict[str, Any] = spec["service"]
        self.timeout_s: float = spec["timeout_s"]
        self.places: int = spec["slots"]
        self.told_to_end = asyncio.Event()
        self.is_hurried = False
        """Whether it is to end at once."""
        self.rests = False
        """Whether it ends because it has nothing to do."""
        self.object: Object | None = None
        """What it serves a method of, if that is one."""
        self._loop = asyncio.get_running_loop()
        self._said_until = 0.0

    async def run(self) -> None:
        """Serve, from start to end."""
        self._loop.add_reader(self.executor.jobs, self._hear_end)
        self._loop.add_signal_handler(signal.SIGTERM, self._hurry)
        started = asyncio.create_task(self._start())
        ended = asyncio.create_task(self.told_to_end.wait())
        await asyncio.wait({started, ended}, return_when=asyncio.FIRST_COMPLETED)
        if not started.done():
            started.cancel()  # it is not wanted any more, before it was there
            return
        if started.result() is not None:
            server, ending = started.result()
            await ended
            await self._end(server, ending)

    async def _start(self) -> Any:
        """The server and the lifespan of the application; None, and it is told, if it cannot."""
        try:
            if self.service["method"]:
                self.object = await Object.made(self.executor.function, self.service)
                self.executor.function = self.object.method
            if self.service["shape"] == "web_server":
                server, ending = await self._start_web_server()
            else:
                server, ending = await self._start_application()
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - an application may raise anything
            if isinstance(error, ModuleNotFoundError) and error.name in shapes.NEEDED:
                error.add_note("Services need it where they run: pip install 'apothic[web]'")
            self.executor.report(0, 0, self.executor.cannot_load(self.name, error))
            return None
        if self.executor.lasting is not None:
            self.executor.lasting.begin()
        self.executor.is_ready()
        self._watch(server)
        return server, ending

    async def _start_application(self) -> tuple[Serves, Stops]:
        from apothic_emulator.executors.web.server import Server  # what it needs  # noqa: PLC0415

        app = await shapes.application(self.executor.function, self.spec)
        lifespan = Lifespan(app)
        await lifespan.start()
        server = Server(app, lifespan.state, self.timeout_s, self.places)
        server.on_crowded = self._crowded
        server.listen(self.executor.door)
        return server, lifespan

    async def _start_web_server(self) -> tuple[Serves, Stops]:
        from apothic_emulator.executors.web import web_server  # as above  # noqa: PLC0415

        server = await web_server.start(self.executor, self.spec)
        server.when_gone(self.told_to_end.set)
        return server, server

    def _watch(self, server: Serves) -> None:
        """End when there was nothing to do for long.

        From the very moment in which that is found nobody is taken: who connects before the host
        knows of it waits in the door, and is for the next process.
        """
        if self.told_to_end.is_set():
            return
        warm_s = self.service["keep_warm_s"]
        least_s = 0.0 if server.has_served else FIRST_S
        rest_s = server.idle_since + max(warm_s, least_s) - self._loop.time()
        is_needed = server.is_needed
        if is_needed or rest_s > 0:
            look_s = warm_s if is_needed else min(rest_s, warm_s)
            self._loop.call_later(max(look_s, LOOK_S), self._watch, server)
            return
        self.rests = True
        server.drain(hand_on=False)
        self.executor.send(Frame(wire.SAID, 0, 0, 0, b"rests"))
        self.told_to_end.set()

    def _crowded(self) -> None:
        """There are more connections than places: another process may help."""
        now = self._loop.time()
        if now >= self._said_until and not self.told_to_end.is_set():
            self._said_until = now + AGAIN_S
            self.executor.send(Frame(wire.SAID, 0, 0, 0, b"crowded"))

    def _hear_end(self) -> None:
        """The host has hung up: nothing else comes this way."""
        self._loop.remove_reader(self.executor.jobs)
        self.told_to_end.set()

    def _hurry(self) -> None:
        self.is_hurried = True
        self.told_to_end.set()

    async def _end(self, server: Serves, ending: Stops) -> None:
        """Finish what has begun, within the grace, and have the application end."""
        if not self.rests:
            server.drain(hand_on=not self.is_hurried)
        grace_s = 0.25 if self.is_hurried else self.service["grace_s"]
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(server.drained(), grace_s)
        server.abort()
        try:
            await ending.stop()
            if self.object is not None:
                await self.object.leave()
        finally:
            if self.executor.lasting is not None:
                self.executor.lasting.end()  # nothing else is left to be done


def serve(executor: Executor, spec: dict[str, Any]) -> None:
    """Be a process of a service, until it is told to end."""

    async def run() -> None:
        await Serving(executor, spec).run()

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(run())
