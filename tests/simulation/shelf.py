"""What deployments must be, in the order of steps: a list of versions, and the jobs of each.

D1  a job is admitted to what is live, and runs on that and nothing else
D2  it ends well, unless somebody stopped it or the control plane ended under it
D3  no deployment and no job that was acknowledged is lost, and none comes back
D4  one version of an app is live, the one that was made so last
D5  a time of a schedule is seen to once, by the version that is live
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from typing import Any

from apothic_backends.model.deployments import Deployed, DeploymentSnapshot
from apothic_backends.model.errors import NotFound
from tests.simulation.history import sure

LIVE = "live"


class Version:
    """One deployment."""

    def __init__(self, told: DeploymentSnapshot, codes: dict[str, bytes], *, timed: bool) -> None:
        self.number = int(told.deployment_id[12:])
        self.app, self.version, self.of = told.app_name, told.version, told.of
        self.functions = {it.name: int(it.function_id[10:]) for it in told.functions}
        self.codes = codes
        self.timed = timed
        self.status = LIVE

    @property
    def root(self) -> int:
        """The version whose code it has."""
        return self.of or self.version


class Shelf:
    """All versions, and the jobs that were admitted to each; undone with what is not committed."""

    def __init__(self) -> None:
        self.versions: dict[int, Version] = {}
        self.last: dict[str, int] = {}
        self.code_of: dict[int, bytes] = {}
        """The code of each function that there ever was."""
        self.jobs: dict[int, int] = {}
        """The function of each job."""
        self.doomed: set[int] = set()
        """Jobs that were stopped with their deployment."""
        self.seen: set[tuple[int, float]] = set()
        """The times of schedules that were seen to, by function."""

    def copy(self) -> Shelf:
        """The same, to go back to."""
        return deepcopy(self)

    def live(self, app: str) -> Version | None:
        """What is live."""
        return next((it for it in self._of(app) if it.status == LIVE), None)

    def _of(self, app: str) -> list[Version]:
        """The versions of an app, the latest first."""
        return [it for _, it in sorted(self.versions.items(), reverse=True) if it.app == app]

    # --- deploys --------------------------------------------------------------------------------

    def deployed(self, app: str, codes: dict[str, bytes], done: Deployed, *, timed: bool) -> None:
        """Somebody has deployed."""
        live = self.live(app)
        is_same = live is not None and (live.codes, live.timed) == (codes, timed)
        self._check_new(app, live, done, is_same=is_same)
        if done.is_new:
            it = Version(done.deployment, codes, timed=timed)
            new = it.functions.values()
            sure(not self.code_of.keys() & {*new}, "D1", "functions %s again", list(new))
            self.code_of.update((number, codes[name]) for name, number in it.functions.items())
            self._go_live(it)

    def rolled_back(self, app: str, version: int, done: Deployed) -> None:
        """Somebody has gone back."""
        live = self.live(app)
        goal = next((it for it in self._of(app) if it.version == version), None)
        sure(goal is not None, "D3", "back to version %d of %s, which is gone", version, app)
        assert goal is not None
        is_same = live is not None and (live.codes, live.timed) == (goal.codes, goal.timed)
        self._check_new(app, live, done, is_same=is_same)
        if done.is_new:
            it = Version(done.deployment, goal.codes, timed=goal.timed)
            sure(it.functions == goal.functions, "D1", "back to other functions of %s", app)
            sure(it.root == goal.root, "D3", "%s is back to %d", app, it.root)
            self._go_live(it)

    def _check_new(self, app: str, live: Version | None, done: Deployed, *, is_same: bool) -> None:
        number = int(done.deployment.deployment_id[12:])
        sure(done.is_new is not is_same, "D4", "%s: new is %s", app, done.is_new)
        if not done.is_new:
            sure(live is not None and live.number == number, "D4", "%d of %s is live", number, app)
        else:
            sure(number not in self.versions, "D3", "deployment %d again", number)
            version = done.deployment.version
            sure(version > self.last.get(app, 0), "D3", "version %d of %s again", version, app)

    def _go_live(self, it: Version) -> None:
        before = self.live(it.app)
        if before is not None:
            before.status = "replaced"
        self.versions[it.number] = it
        self.last[it.app] = it.version

    # --- ends -----------------------------------------------------------------------------------

    def stopped(self, app: str, open_jobs: Iterable[int], *, drain: bool) -> None:
        """Somebody has stopped what is live of an app, or was live last."""
        live = self.live(app)
        known = self._of(app)
        ended = known if live is not None else known[:1]  # those before it may have jobs left
        if not drain:
            self._doom(ended, open_jobs)
        for it in ended:
            if it is live or it is known[0]:
                it.status = "stopped"

    def deleted(self, app: str, version: int | None, open_jobs: Iterable[int]) -> None:
        """Somebody has deleted an app, or a version of it."""
        gone = [it for it in self._of(app) if version in (None, it.version)]
        self._doom(gone, open_jobs)
        for it in gone:
            del self.versions[it.number]

    def _doom(self, ended: Iterable[Version], open_jobs: Iterable[int]) -> None:
        functions = {number for it in ended for number in it.functions.values()}
        self.doomed |= {job for job in open_jobs if self.jobs.get(job) in functions}

    # --- jobs -----------------------------------------------------------------------------------

    def admitted(self, app: str, name: str, job: int, function: int) -> None:
        """A job has got in: to what is live."""
        live = self.live(app)
        wanted = None if live is None else live.functions.get(name)
        sure(wanted == function, "D1", "jobs:%d of %d, and %s is live", job, function, wanted)
        sure(job not in self.jobs, "D3", "jobs:%d again", job)
        self.jobs[job] = function

    def refused(self, app: str, name: str, error: BaseException) -> None:
        """A job has not got in: there is nothing of that name."""
        live = self.live(app)
        is_there = live is not None and name in live.functions
        is_gone = isinstance(error, NotFound) and not is_there
        sure(is_gone, "D4", "%s/%s is live, and %r", app, name, error)

    def fired(self, function: int, at: float) -> None:
        """A schedule has run."""
        live = [it for it in self.versions.values() if it.status == LIVE and it.timed]
        is_live = any(function in it.functions.values() for it in live)
        sure(is_live, "D5", "function %d runs by itself, and is not live", function)
        sure((function, at) not in self.seen, "D5", "function %d at %g again", function, at)
        self.seen.add((function, at))

    # --- what there is --------------------------------------------------------------------------

    def compare(self, listed: Iterable[DeploymentSnapshot], timed: set[int]) -> None:
        """See to it that there is all that, and no more."""
        found = {int(it.deployment_id[12:]): it for it in listed}
        sure(found.keys() == self.versions.keys(), "D3", "there are %s", sorted(found))
        for number, it in self.versions.items():
            is_live = found[number].status == LIVE
            sure(is_live is (it.status == LIVE), "D4", "%d is %s", number, found[number].status)
            sure(found[number].version == it.version, "D3", "deployment %d", number)
        live = [it for it in self.versions.values() if it.status == LIVE]
        sure(len({it.app for it in live}) == len(live), "D4", "two are live")
        wanted = {number for it in live if it.timed for number in it.functions.values()}
        sure(timed == wanted, "D5", "schedules of %s, and not of %s", timed, wanted)

    def ended(self, job: int, status: str, result: Any) -> None:
        """How a job is at the end."""
        function = self.jobs[job]
        if status == "succeeded":
            wanted = b"%s %d" % (self.code_of[function], job)
            sure(result.data == wanted, "D1", "jobs:%d has %r", job, result.data)
        elif job not in self.doomed:
            sure(status == "lost", "D2", "jobs:%d is %s", job, status)
