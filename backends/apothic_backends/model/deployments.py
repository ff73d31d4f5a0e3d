"""What is deployed: the versions of apps, each a deployment, one of which is live."""

from __future__ import annotations

from typing import Final

from apothic_backends.model.functions import FunctionSpec
from apothic_backends.model.payloads import Payload
from apothic_backends.model.record import Record
from apothic_backends.model.schedules import CronSchedule, PeriodSchedule

LIVE: Final = "live"
"""Calls by name go to it, and its schedules run."""
REPLACED: Final = "replaced"
"""Another one is live; its own jobs go on to their ends."""
STOPPED: Final = "stopped"
"""None is live since; its jobs were cancelled, unless they were to go on to their ends."""


class DeployedFunction(Record):
    """A function of an app that is to be deployed, and when it runs by itself."""

    spec: FunctionSpec
    code: Payload
    schedule: CronSchedule | PeriodSchedule | None = None


class FunctionFound(Record):
    """A deployed function. Calls under its id, `app/name`, go to whichever version is live then."""

    function_id: str
    spec: FunctionSpec


class FunctionWork(Record):
    """A function of a deployment, and how much it has to do."""

    name: str
    function_id: str
    queued: int = 0
    running: int = 0
    schedule: CronSchedule | PeriodSchedule | None = None


class DeploymentSnapshot(Record):
    """A deployment at one moment: version `version` of an app. Times are Unix seconds.

    `source` is the digest of the archive that its functions run in. `of` is the version whose code
    it has again, after a rollback. One that is not live goes on while it is `unfinished`.
    """

    deployment_id: str
    app_name: str
    version: int
    status: str
    created_at: float
    ended_at: float | None = None
    source: str | None = None
    of: int | None = None
    functions: tuple[FunctionWork, ...] = ()

    @property
    def unfinished(self) -> int:
        """Its jobs that have not ended."""
        return sum(function.queued + function.running for function in self.functions)


class Deployed(Record):
    """What a deploy has led to; not `is_new` where nothing has changed since the live one."""

    deployment: DeploymentSnapshot
    is_new: bool = True
