"""Deployments: an app's functions become live all at once, and stay so without their program.

A deployment is named by its id (`deployments:123`) or by its app, which stands for the live one,
else for the latest.
"""

from __future__ import annotations

from apothic_backends.commands.base import Command
from apothic_backends.model.deployments import (
    Deployed,
    DeployedFunction,
    DeploymentSnapshot,
    FunctionFound,
)


class Deploy(Command[Deployed]):
    """Make these functions the live version of an app; the same as are live change nothing.

    From then on calls by name go to them, and their schedules run, in place of the ones before.
    Jobs that were queued go on to their ends in the version that they were queued for.
    """

    adds = True

    app_name: str
    functions: tuple[DeployedFunction, ...]


class RollbackDeployment(Command[Deployed]):
    """Deploy once more what an app's version was, None for the one that was live before."""

    deployment: str
    version: int | None = None


class StopDeployment(Command[DeploymentSnapshot]):
    """End a deployment; with the live one nothing of its app can be called, or runs by itself.

    Its jobs, queued and running, are cancelled; with `drain` they go on to their ends.
    """

    deployment: str
    drain: bool = False


class DeleteDeployment(Command[None]):
    """Stop a deployment, and forget it; by the name of an app, all of that."""

    deployment: str


class GetDeployment(Command[DeploymentSnapshot]):
    """Look at a deployment."""

    deployment: str


class ListDeployments(Command[tuple[DeploymentSnapshot, ...]]):
    """Look at deployments, the latest first: of one app, or of all, or those that are live."""

    app_name: str | None = None
    live_only: bool = False


class FindFunction(Command[FunctionFound]):
    """Look a deployed function up by its names."""

    app_name: str
    name: str
