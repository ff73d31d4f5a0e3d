"""`apothic.remote.App`: a service that runs on a control plane, to be started, stopped, followed.

stopped ──activate──► active (answers; its processes come with the first request)
▲                    │
└────deactivate──────┘
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Literal, cast

from apothic._twins import awaited, blocking, class_twin, twin
from apothic._values import flag, text
from apothic.apps import App as DeclaredApp
from apothic.console import Console
from apothic_backends.commands.base import Command
from apothic_backends.model.errors import NotFound, UsageError
from apothic_backends.model.record import Record
from apothic_backends.model.services import FAILED, STOPPED, UP, ServiceSnapshot

WaitFor = Literal["activated", "deactivated"]

STARTED = "STARTED"
"""What an app is to be that answers."""

WAIT_S = 600.0
"""How long is waited for an app to be what it is to be."""


class AppFailed(RuntimeError):
    """An app could not be started, or stopped."""


class Identity(Record):
    """Which service is meant: of which project and domain, of which app, under which name.

    Of an app with one service the name of that may be left out.
    """

    app: str
    service: str | None
    project: str | None = None
    domain: str | None = None


class App:
    """One service on a control plane, as it was when it was looked at last.

    `project` and `domain` name the account and the namespace; the default is those of the control
    plane that is used, and every app that is looked at has them.
    """

    def __init__(self, identity: Identity, seen: ServiceSnapshot) -> None:
        self._identity = identity
        self._seen = seen

    # --- which there are ------------------------------------------------------------------------

    @class_twin
    @staticmethod
    async def get(name: str, project: str | None = None, domain: str | None = None) -> App:
        """The service of that name: `app`, if it has one service, or `app/service`.

        Raises:
            NotFound: there is none; the message lists those that there are.
            UsageError: the app has several services; the message lists them.
        """
        identity = _identity(name, project, domain)
        return App(identity, await _found(identity))

    @class_twin
    @staticmethod
    async def create(app: DeclaredApp, name: str | None = None) -> App:
        """Deploy an app; the service of it that is called `name`, or the only one.

        What is deployed already is replaced, unless nothing has changed.

        Raises:
            UsageError: it has no service, or several and none is named.
        """
        return await _deployed(app, name)

    @class_twin
    @staticmethod
    async def replace(app: DeclaredApp, name: str | None = None) -> App:
        """The same: the next version, unless nothing has changed."""
        return await _deployed(app, name)

    @classmethod
    def listall(
        cls, *, project: str | None = None, domain: str | None = None, limit: int = 100
    ) -> AppList:
        """Every service, by `for` or `async for`, ordered by name."""
        return AppList(project, domain, limit)

    @class_twin
    @staticmethod
    async def delete(name: str, project: str | None = None, domain: str | None = None) -> None:
        """Stop the app that has this service, and forget all of its deployments; if there is one.

        Jobs of the app are cancelled. The other services of the app end with it.
        """
        from apothic_backends.commands.deployments import (  # noqa: PLC0415 - at use
            DeleteDeployment,
        )

        try:
            await _ask(DeleteDeployment(_identity(name, project, domain).app))
        except NotFound:
            return

    # --- what it is -----------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """What it is called: `app`, or `app/service` where the app has several."""
        identity = self._identity
        return identity.app if identity.service is None else f"{identity.app}/{identity.service}"

    @property
    def revision(self) -> int:
        """The version of its app."""
        return self._seen.version

    @property
    def endpoint(self) -> str | None:
        """Where it answers; None while it is stopped."""
        return self._seen.url

    @property
    def deployment_status(self) -> str:
        """What it does: "asleep" until the first request, "starting", "up", "failed", "stopped"."""
        return self._seen.status

    @property
    def desired_state(self) -> str:
        """What it is to be: "STARTED" or "STOPPED"."""
        return self._seen.desired.upper()

    @property
    def url(self) -> str:
        """Its page on the console of its control plane."""
        identity = self._identity
        return Console(_address()).app_url(
            identity.project or _PROJECT, identity.domain or _domain(), self.name
        )

    def is_active(self) -> bool:
        """Whether it answers: it is started, and its last start has not failed."""
        return self._seen.status not in (STOPPED, FAILED)

    def is_deactivated(self) -> bool:
        """Whether it is stopped."""
        return self._seen.status == STOPPED

    # --- what becomes of it ---------------------------------------------------------------------

    @twin
    async def activate(self, wait: bool = False) -> App:  # noqa: FBT001, FBT002 - as it is known
        """Have it answer; with `wait`, once a process of it is up.

        Raises:
            AppFailed: it could not be started.
        """
        from apothic_backends.commands.services import StartService  # noqa: PLC0415 - at use

        self._seen = await _ask(
            StartService(self._seen.service_id, wait=flag("wait", wait), timeout_s=WAIT_S)
        )
        if wait and self._seen.status != UP:
            raise AppFailed(f"{self.name} could not be started: {self._why()}")
        return self

    @twin
    async def deactivate(self, wait: bool = False) -> App:  # noqa: FBT001, FBT002 - as above
        """Have it answer no more; with `wait`, once what it had begun is over."""
        from apothic_backends.commands.services import StopService  # noqa: PLC0415 - at use

        self._seen = await _ask(
            StopService(self._seen.service_id, wait=flag("wait", wait), timeout_s=WAIT_S)
        )
        return self

    @twin
    async def watch(self, wait_for: WaitFor = "activated") -> App:
        """Wait until a process of it is up, or until it is stopped and nothing of it is left.

        It is not started by this.

        Raises:
            AppFailed: it cannot become that: its start has failed.
        """
        if wait_for not in ("activated", "deactivated"):
            raise UsageError(f'wait_for={wait_for!r}: it is "activated" or "deactivated"')
        is_so = _is_up if wait_for == "activated" else _is_over
        self._seen = await _until(self._seen.service_id, is_so)
        if wait_for == "activated" and self._seen.status == FAILED:
            raise AppFailed(f"{self.name} could not be started: {self._why()}")
        return self

    def _why(self) -> str:
        return self._seen.stale or self._seen.note or f"it is {self._seen.status}"

    @contextmanager
    def ephemeral_ctx_sync(self) -> Generator[App]:
        """Have it up for a block, and stopped after that, whatever happens in there."""
        self.activate(wait=True)
        try:
            yield self
        finally:
            self.deactivate(wait=True)

    @asynccontextmanager
    async def ephemeral_ctx(self) -> AsyncGenerator[App]:
        """The same on asyncio or trio."""
        await self.activate.aio(wait=True)
        try:
            yield self
        finally:
            await self.deactivate.aio(wait=True)

    def __repr__(self) -> str:
        """Its name, and what it does."""
        return f"<apothic.remote.App {self.name}: {self._seen.status}>"


RemoteApp = App
"""Its name beside `apothic.App`, which declares what this looks after."""


class AppList:
    """Services, for `for` and for `async for`; they are looked up when it begins."""

    name = "App"

    def __init__(self, project: str | None, domain: str | None, limit: int) -> None:
        self._where = project, domain
        self._limit = limit

    def __iter__(self) -> Iterator[App]:
        """Look, in this thread."""
        return iter(blocking(self, "listall", self._listed))

    async def __aiter__(self) -> AsyncIterator[App]:
        """Look, on asyncio or trio."""
        for app in await awaited(self._listed()):
            yield app

    async def _listed(self) -> list[App]:
        from apothic_backends.commands.services import ListServices  # noqa: PLC0415 - at use

        there = sorted(await _ask(ListServices()), key=lambda it: it.service_id)
        found: list[App] = []
        for it in there[: self._limit]:
            app, _, service = it.service_id.partition("/")
            found.append(App(Identity(app, service, *self._where), it))
        return found


# --- procedures ---------------------------------------------------------------------------------

_PROJECT = "default"
"""The account of whoever runs a control plane."""


async def _ask(command: Command[Any]) -> Any:
    from apothic._connect import ask  # what carries it out  # noqa: PLC0415

    return await ask(command)


def _identity(name: str, project: str | None, domain: str | None) -> Identity:
    app, _, service = text("name", name).partition("/")
    return Identity(app, service or None, project, domain)


async def _found(identity: Identity) -> ServiceSnapshot:
    """The service that is meant.

    Raises:
        NotFound: there is none.
        UsageError: there are several.
    """
    from apothic_backends.commands.services import GetService, ListServices  # noqa: PLC0415

    there = [it.service_id for it in await _ask(ListServices(identity.app))]
    if identity.service is None and len(there) > 1:
        raise UsageError(f"{identity.app} has several services; say which: {', '.join(there)}")
    if not there:
        known = sorted(it.service_id for it in await _ask(ListServices()))
        raise NotFound(
            f"no app {identity.app!r} has a service here; there are: {', '.join(known) or 'none'}",
            known=known,
        )
    wanted = there[0] if identity.service is None else f"{identity.app}/{identity.service}"
    return cast("ServiceSnapshot", await _ask(GetService(wanted)))


async def _deployed(app: DeclaredApp, name: str | None) -> App:
    from apothic._deploying import deploy  # brings much  # noqa: PLC0415

    identity = Identity(app.name, name)
    await deploy(app.name, app.functions)
    return App(identity, await _found(identity))


async def _until(service_id: str, is_so: Callable[[ServiceSnapshot], bool]) -> ServiceSnapshot:
    """Look at a service whenever something has become of it, until something is so."""
    from apothic_backends.commands import ReadEvents  # noqa: PLC0415 - at use
    from apothic_backends.commands.services import GetService  # noqa: PLC0415 - as above

    topic = f"services:{service_id}"
    after = (await _ask(ReadEvents(topic, limit=0))).cursor
    while True:
        seen: ServiceSnapshot = await _ask(GetService(service_id))
        if is_so(seen):
            return seen
        after = (await _ask(ReadEvents(topic, after))).cursor


def _is_up(it: ServiceSnapshot) -> bool:
    return it.status in (UP, FAILED)


def _is_over(it: ServiceSnapshot) -> bool:
    return it.status == STOPPED and not it.processes


def _domain() -> str:
    from apothic_backends.project import namespace, project  # noqa: PLC0415 - at use

    return namespace(project())


def _address() -> str:
    """Where the control plane is that is used; of this program's own, nowhere."""
    from apothic._connect import connect  # noqa: PLC0415 - at use

    address = getattr(connect(), "address", None)
    return "http://localhost:8080" if address is None else str(address.url)
