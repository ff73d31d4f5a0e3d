"""Deployment: a version of an app, to be looked at, watched, replaced, stopped and deleted."""

from __future__ import annotations

from typing import Any

from apothic._twins import awaited, blocking, stream, twin
from apothic._values import flag, text, whole
from apothic.watches import Watch, check_watch
from apothic_backends.model.deployments import DeploymentSnapshot
from apothic_backends.model.events import Cursor
from apothic_backends.model.ids import number_of
from apothic_backends.model.names import check_name

TABLE = "deployments"


class Deployments:
    """`Deployment.list`: blocks when called; its `aio` is the same to be awaited."""

    name = "Deployment"

    def __call__(
        self, app_name: str | None = None, *, live_only: bool = False
    ) -> list[DeploymentSnapshot]:
        """Every deployment, or every one of an app, or those that are live; the latest first."""
        command = _listing(app_name, live_only)
        return [*blocking(self, "list", lambda: _ask(command))]

    async def aio(
        self, app_name: str | None = None, *, live_only: bool = False
    ) -> list[DeploymentSnapshot]:
        """The same on asyncio or trio."""
        command = _listing(app_name, live_only)
        return [*await awaited(_ask(command))]


class Deployment:
    """A deployment, by its id or as what an app has live; nothing is asked before it is used.

    What outlives it: volumes, queues, dicts, secrets, and the results of its jobs.
    """

    name: str
    """The id, or the name of the app."""

    list = Deployments()

    def __init__(self, name: str) -> None:
        self.name = name

    @classmethod
    def from_id(cls, deployment_id: str) -> Deployment:
        """The deployment of that id, as `deployments:123`.

        Raises:
            UsageError: it is no such id.
        """
        number_of(text("deployment_id", deployment_id), TABLE)
        return cls(deployment_id)

    @classmethod
    def from_name(cls, app_name: str) -> Deployment:
        """What an app has live at the time; if nothing is, the latest of its deployments.

        Raises:
            InvalidOption: no app can have that name.
        """
        return cls(check_name("app_name", app_name))

    @twin
    async def get(self) -> DeploymentSnapshot:
        """What it is now: app, version, status, functions and how much they have to do.

        Raises:
            NotFound: there is no such deployment.
        """
        from apothic_backends.commands.deployments import GetDeployment  # noqa: PLC0415 - at use

        return await _ask(GetDeployment(self.name))

    @twin
    async def history(self) -> tuple[DeploymentSnapshot, ...]:
        """All deployments of its app that are remembered (the latest 100), the latest first.

        Raises:
            NotFound: there is no such deployment.
        """
        from apothic_backends.commands.deployments import (  # noqa: PLC0415 - at use
            GetDeployment,
            ListDeployments,
        )

        app_name = (await _ask(GetDeployment(self.name))).app_name
        return await _ask(ListDeployments(app_name))

    @twin
    async def rollback(self, version: int | None = None) -> str:
        """Make an earlier version of its app live again, as a new deployment; its id.

        Without a version it is the one that was live before. Code and options are those of then;
        volumes, queues, dicts and secrets are those of now.

        Raises:
            NotFound: there is no such deployment, or no such version.
            InvalidOption: the version is no whole number of at least 1.
        """
        from apothic_backends.commands.deployments import (  # noqa: PLC0415 - at use
            RollbackDeployment,
        )

        if version is not None:
            whole("version", version, 1)
        done = await _ask(RollbackDeployment(self.name, version))
        return str(done.deployment.deployment_id)

    @twin
    async def stop(self, *, drain: bool = False) -> DeploymentSnapshot:
        """End it. With the live one the app ends: no calls by name, no runs by schedule.

        Its jobs are cancelled, queued and running ones; with `drain` they go on to their ends.
        Another deploy, or a rollback, makes the app live again.

        Raises:
            NotFound: there is no such deployment.
        """
        from apothic_backends.commands.deployments import StopDeployment  # noqa: PLC0415 - at use

        return await _ask(StopDeployment(self.name, flag("drain", drain)))

    @twin
    async def delete(self) -> None:
        """Stop it, cancel its jobs, and forget it; by the name of an app, all of its deployments.

        Raises:
            NotFound: there is no such deployment.
        """
        from apothic_backends.commands.deployments import (  # noqa: PLC0415 - at use
            DeleteDeployment,
        )

        await _ask(DeleteDeployment(self.name))

    @stream
    def watch(self, *, snapshot: bool = False, after: Cursor | None = None) -> Watch:
        """Follow what becomes of it from now on: `deployment.changed`, `deployment.deleted`.

        Of an app's name that is what `app.watch()` tells. `snapshot` begins with what is now,
        `after` after an event of another watch. It never ends by itself.

        Raises:
            UsageError: `after` is no position, or both are given.
        """
        from apothic._connect import connect  # most programs watch nothing  # noqa: PLC0415
        from apothic._watches import Reading  # noqa: PLC0415 - as above

        check_watch(after, snapshot=snapshot)
        topic = self.name if self.name.startswith(f"{TABLE}:") else f"apps:{self.name}"
        return Watch(Reading(connect().watch(topic, after, snapshot=snapshot)))

    @property
    def aio(self) -> DeploymentAio:
        """The same methods, to be awaited."""
        return DeploymentAio(self)

    def __eq__(self, other: object) -> bool:
        """Equal when they stand for the same."""
        return isinstance(other, Deployment) and other.name == self.name

    def __hash__(self) -> int:
        """Fit for sets."""
        return hash(self.name)

    def __repr__(self) -> str:
        """Its id, or its app."""
        return f"<Deployment {self.name}>"


class DeploymentAio:
    """The methods of a deployment, to be awaited on asyncio or trio."""

    def __init__(self, deployment: Deployment) -> None:
        self.get = deployment.get.aio
        self.history = deployment.history.aio
        self.rollback = deployment.rollback.aio
        self.stop = deployment.stop.aio
        self.delete = deployment.delete.aio
        self.watch = deployment.watch.aio


def _listing(app_name: str | None, live_only: bool) -> Any:  # noqa: FBT001 - of ours
    from apothic_backends.commands.deployments import ListDeployments  # noqa: PLC0415 - at use

    if app_name is not None:
        check_name("app_name", app_name)
    return ListDeployments(app_name, flag("live_only", live_only))


async def _ask(command: Any) -> Any:
    from apothic._connect import ask  # what carries it out  # noqa: PLC0415

    return await ask(command)
