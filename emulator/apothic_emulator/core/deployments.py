"""Deployments: the versions of apps, and which of them is live.

    (nothing) ──deploy──► live ──deploy, rollback──► replaced ──delete──► (gone)
                           │                             │
                           └──stop──► stopped ◄──stop────┘

Each deploy that changes something is a deployment of its own, with functions of its own. The live
one's functions have names (`app/name`), which callers use: so one step moves all of them to the
next version. A job belongs to the version that was live when it was queued, retries included. What
is stopped or deleted has its jobs cancelled, unless it is to *drain*: then they go on to their
ends, as those of a replaced one do. A rollback is a deployment with the functions of an earlier
one; jobs of theirs are its own from then on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from apothic_backends.commands.deployments import (
    DeleteDeployment,
    Deploy,
    FindFunction,
    GetDeployment,
    ListDeployments,
    RollbackDeployment,
    StopDeployment,
)
from apothic_backends.commands.jobs import StartSchedule
from apothic_backends.model.deployments import (
    LIVE,
    REPLACED,
    STOPPED,
    Deployed,
    DeploymentSnapshot,
    FunctionFound,
)
from apothic_backends.model.errors import InvalidOption, NotFound
from apothic_backends.model.events import Cursor, Event
from apothic_backends.model.ids import number_of
from apothic_emulator.core.executors import ExecutorStatus
from apothic_emulator.core.facts import Asked
from apothic_emulator.core.feeds import Wants
from apothic_emulator.core.functions import check_spec
from apothic_emulator.core.items import check_kind
from apothic_emulator.core.jobs import Job
from apothic_emulator.core.naming import Naming
from apothic_emulator.core.pools import Pool
from apothic_emulator.core.shared import Rule, Shared
from apothic_emulator.core.versions import Deployment, Entry, Last, jobs_of

MOST_FUNCTIONS = 1000
"""Functions of one app."""

MOST_KEPT = 100
"""Deployments of one app that are remembered; of those that are over, the oldest go first."""

LOOK_S = 1.0
"""How often it is looked whether a deployment that is not live has come to its end."""

TABLE = "deployments"


class Rules:
    """The rules for deployments, over functions, schedules and attempts."""

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        self.registry = shared.registry
        self.naming = Naming(shared)
        self.schedules = shared.schedules
        self.attempts = shared.callers.attempts
        self.deployments: dict[int, Deployment] = {}
        self.live: dict[str, Deployment] = {}
        self.draining: dict[int, Deployment] = {}
        """Those that are not live and have jobs that have not ended."""
        self.last = Last()
        self.number_after = self.last.number_after
        self.commands: Mapping[type, Rule] = {
            Deploy: self._deploy,
            RollbackDeployment: self._roll_back,
            StopDeployment: self._stop,
            DeleteDeployment: self._delete,
            GetDeployment: self._get,
            ListDeployments: self._list,
            FindFunction: self._find_function,
        }

    @property
    def _offset(self) -> float:
        return self.shared.feed.events.wall_offset

    def _look(self, it: Deployment) -> DeploymentSnapshot:
        return it.snapshot(self._offset)

    def find(self, name: str) -> Deployment:
        """The deployment of that id; or of that app, the live one, else the latest.

        Raises:
            NotFound: there is none.
        """
        if name.startswith(f"{TABLE}:"):
            found = self.deployments.get(number_of(name, TABLE))
            known = [it.deployment_id for it in self.deployments.values()]
        else:
            found = self.live.get(name) or next(self._of_app(name), None)
            known = sorted({it.app for it in self.deployments.values()})
        if found is None:
            listed = ", ".join(known[-20:]) or "none"
            raise NotFound(f"no deployment {name!r} here; there are: {listed}", known=known)
        return found

    def _of_app(self, app: str) -> Iterator[Deployment]:
        """The deployments of an app, the latest first."""
        return (it for it in reversed([*self.deployments.values()]) if it.app == app)

    # --- looking --------------------------------------------------------------------------------

    def _get(self, command: GetDeployment, asked: Asked, now: float) -> DeploymentSnapshot:
        return self._look(self.find(command.deployment))

    def _list(
        self, command: ListDeployments, asked: Asked, now: float
    ) -> tuple[DeploymentSnapshot, ...]:
        return tuple(
            self._look(it)
            for it in reversed([*self.deployments.values()])
            if command.app_name in (None, it.app) and (it.status == LIVE or not command.live_only)
        )

    def _find_function(self, command: FindFunction, asked: Asked, now: float) -> FunctionFound:
        live = self.live.get(command.app_name)
        entry = None if live is None else live.entries.get(command.name)
        if entry is None:
            known = [f"{it.app}/{name}" for it in self.live.values() for name in it.entries]
            raise NotFound(
                f"no function {command.app_name}/{command.name} is deployed; there are: "
                f"{', '.join(known) or 'none'}",
                name=f"{command.app_name}/{command.name}",
                known=known,
            )
        return FunctionFound(f"{command.app_name}/{command.name}", entry.pool.function.spec)

    def state(self, name: str, wants: Wants | None, here: Cursor) -> list[Event]:
        """The snapshot that a watch begins with.

        Raises:
            NotFound: there is no such deployment.
        """
        told = self.find(f"{TABLE}:{name}").told(self._offset)
        return [Event("deployment.snapshot", told, here)]

    # --- deploying ------------------------------------------------------------------------------

    def _deploy(self, command: Deploy, asked: Asked, now: float) -> Deployed:
        self._check(command, now)
        live = self.live.get(command.app_name)
        if live is not None and live.is_made_of(command.functions):
            return Deployed(self._look(live), is_new=False)
        entries = {
            one.spec.name: Entry(self.registry.make(one.spec, one.code), one.schedule)
            for one in command.functions
        }
        return Deployed(self._look(self._go_live(command.app_name, entries, None, now)))

    def _check(self, command: Deploy, now: float) -> None:
        """See to it that all of it can be done.

        Raises:
            InvalidOption: it cannot; nothing has been done.
        """
        app, names = command.app_name, {one.spec.name for one in command.functions}
        if not 0 < len(names) == len(command.functions) <= MOST_FUNCTIONS:
            raise InvalidOption(
                f"{app} is deployed with {len(command.functions)} functions, {len(names)} by name; "
                f"an app has 1 to {MOST_FUNCTIONS}, each with a name of its own",
                option="functions",
            )
        for one in command.functions:
            if one.spec.app_name != app or not one.spec.name or "/" in app + one.spec.name:
                raise InvalidOption(
                    f"{one.spec.app_name}/{one.spec.name} is no function of {app!r}",
                    option="functions",
                )
            function = self.registry.restored(0, one.spec, one.code)
            check_spec(one.spec)
            if one.schedule is not None:
                check_kind(function, is_generator=False)
                self.schedules.check(one.schedule, now)

    def _go_live(
        self, app: str, entries: dict[str, Entry], of: int | None, now: float
    ) -> Deployment:
        """Put a version in the place of the one that is live."""
        number, version = self.last.next(app)
        it = Deployment(number, app, version, entries, now + self._offset, of=of)
        before = self.live.get(app)
        self.deployments[number] = self.live[app] = it
        self.registry.deployed.update(entry.number for entry in entries.values())
        self.naming.give(it, now)
        for entry in entries.values():
            if entry.schedule is not None:
                function_id = entry.pool.function.function_id
                command = StartSchedule(function_id, entry.schedule)
                self.schedules.begin(entry.pool, command, now)
        if before is not None:
            self.naming.take(before, now, but=entries)
            self._let_go(before, REPLACED, now)
        if self.shared.journal is not None:
            self.shared.journal.keep(f"{TABLE}/last", self.last)
        self._tell(it, LIVE, now)
        self._forget_oldest(app, now)
        return it

    def _roll_back(self, command: RollbackDeployment, asked: Asked, now: float) -> Deployed:
        app = self.find(command.deployment).app
        goal, live = self._goal(app, command.version), self.live.get(app)
        if live is not None and live.is_made_of(goal.functions):
            return Deployed(self._look(live), is_new=False)
        return Deployed(self._look(self._go_live(app, goal.entries, goal.of or goal.version, now)))

    def _goal(self, app: str, version: int | None) -> Deployment:
        """The version to go back to.

        Raises:
            NotFound: there is none.
        """
        live = self.live.get(app)
        again = None if live is None else live.of or live.version
        for it in self._of_app(app):
            if it.version == version:
                return it
            is_before = live is None or it.number < live.number
            if version is None and is_before and (it.of or it.version) != again:
                return it
        known = sorted(it.version for it in self._of_app(app))
        wanted = f"no version {version} of {app}" if version else f"nothing before, of {app},"
        raise NotFound(
            f"{wanted} to go back to; there are: {', '.join(map(str, known))}", known=known
        )

    # --- ends -----------------------------------------------------------------------------------

    def _stop(self, command: StopDeployment, asked: Asked, now: float) -> DeploymentSnapshot:
        it = self.find(command.deployment)
        if it.status == LIVE:
            self._close(it, now)
            others = [other for other in self._of_app(it.app) if other.number in self.draining]
            for one in [it, *others]:
                self._end(one, now, drain=command.drain)
        elif it.status == REPLACED or not command.drain:
            self._end(it, now, drain=command.drain)
        return self._look(it)

    def _close(self, it: Deployment, now: float) -> None:
        """Nothing can be called by the names of the app, and nothing of it serves."""
        del self.live[it.app]
        self.naming.take(it, now)

    def _end(self, it: Deployment, now: float, *, drain: bool) -> None:
        """Stop what is left of a deployment."""
        self._let_go(it, STOPPED, now)
        if not drain:
            self._cancel(it, now)

    def _delete(self, command: DeleteDeployment, asked: Asked, now: float) -> None:
        it = self.find(command.deployment)
        doomed = [it] if command.deployment == it.deployment_id else [*self._of_app(it.app)]
        for one in doomed:
            if one.status == LIVE:
                self._close(one, now)
            if one.status != STOPPED:
                self._let_go(one, STOPPED, now)
            self._cancel(one, now)
            self._forget(one, now)

    def _let_go(self, it: Deployment, status: str, now: float) -> None:
        """It is not live any more, or is to end; its jobs go on for now."""
        for entry in it.entries.values():
            if self._is_anothers(it, entry.pool):
                continue
            self.schedules.drop(entry.number)
            self.shared.admission.ask_again(entry.pool, now)
        if it.ended_at is None:
            it.ended_at = now + self._offset
        it.status = status
        self.draining[it.number] = it
        self.shared.wake_at(now + LOOK_S)
        self._tell(it, status, now)

    def _is_anothers(self, it: Deployment, pool: Pool) -> bool:
        """Whether a later deployment has that function, too, because it was rolled back to."""
        if self.registry.deployed[pool.function.number] == 1:
            return False
        return any(other.number > it.number and other.has(pool) for other in self._of_app(it.app))

    def _cancel(self, it: Deployment, now: float) -> None:
        for entry in it.entries.values():
            if not self._is_anothers(it, entry.pool):
                for job in jobs_of(entry.pool):
                    self.attempts.cancel(job, now)

    def _forget_oldest(self, app: str, now: float) -> None:
        known = [*self._of_app(app)]
        over = [it for it in known if it.status != LIVE and not self._look(it).unfinished]
        for it in over[::-1][: max(0, len(known) - MOST_KEPT)]:
            self._forget(it, now)

    def _forget(self, it: Deployment, now: float) -> None:
        del self.deployments[it.number]
        self.draining.pop(it.number, None)
        self.registry.deployed -= Counter(entry.number for entry in it.entries.values())
        for other in self._of_app(it.app):  # jobs of functions in common may be its own now
            if other.status != LIVE and self._left(other):
                self.draining[other.number] = other
                self.shared.wake_at(now + LOOK_S)
        if self.shared.journal is not None:
            self.shared.journal.drop(f"{TABLE}/{it.number}")
        about = {"deployment_id": it.deployment_id, "app": it.app, "version": it.version}
        self.shared.tell("deployment.deleted", it.deployment_id, now, about)
        if next(self._of_app(it.app), None) is None:
            self.shared.ledger.events.append(
                "app.deleted", f"apps:{it.app}", now, 0, {"app": it.app}
            )

    def _tell(self, it: Deployment, what: str, now: float) -> None:
        """It has changed: write it down, and say so."""
        if self.shared.journal is not None:
            self.shared.journal.keep(f"{TABLE}/{it.number}", it)
        about = {"deployment_id": it.deployment_id, "app": it.app, "version": it.version}
        told = {**about, "what": what}
        self.shared.tell("deployment.changed", it.deployment_id, now, told)
        self.shared.ledger.events.append("app.changed", f"apps:{it.app}", now, 0, told)

    # --- time -----------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Look whether those that drain have come to their ends, and let their executors end."""
        for it in [*self.draining.values()]:
            for entry in it.entries.values():
                if not entry.is_service and not self._is_anothers(it, entry.pool):
                    self._retire(entry.pool, now)
            if not self._look(it).unfinished or all(
                self._is_anothers(it, entry.pool) for entry in it.entries.values()
            ):
                del self.draining[it.number]
                self._tell(it, "drained", now)
        if self.draining:
            self.shared.wake_at(now + LOOK_S)

    def _retire(self, pool: Pool, now: float) -> None:
        if not pool.queue:
            for executor in [*pool.executors.values()]:
                if executor.status is ExecutorStatus.READY and not executor.line:
                    self.attempts.scheduler.retire(executor, now)

    # --- what is kept ---------------------------------------------------------------------------

    def load(self, key: list[str], record: bytes, now: float) -> None:
        """Take a deployment back, or the numbers that were given last."""
        if key == ["last"]:
            self.last.load(record)
            return
        it = Deployment.load(int(key[0]), record, self.registry.pools)
        self.deployments[it.number] = it
        self.registry.deployed.update(entry.number for entry in it.entries.values())

    def loaded(self, now: float) -> None:
        """All records are back: names stand for functions again."""
        self.deployments = dict(sorted(self.deployments.items()))
        for it in self.deployments.values():
            if it.status == LIVE:
                self.live[it.app] = it
                self.naming.give(it, now)
            elif self._look(it).unfinished:
                self.draining[it.number] = it
                self.shared.wake_at(now + LOOK_S)

    def check(self) -> None:
        """See to it that everything agrees; for tests."""
        live = {it.app: it for it in self.deployments.values() if it.status == LIVE}
        assert live == self.live, "another deployment is live"
        for it in self.deployments.values():
            is_live = it.status == LIVE
            assert is_live is (it.ended_at is None), "live, and over"
            assert is_live <= (it.number not in self.draining), "live, and drains"
            assert is_live or it.number in self.draining or not self._left(it), "left alone"
            for name, entry in it.entries.items():
                assert self.registry.deployed[entry.number] > 0, "a function of nobody"
                if is_live:
                    assert self.registry.find(f"{it.app}/{name}") is entry.pool, "another function"
                elif not self._is_anothers(it, entry.pool):
                    assert entry.number not in self.schedules.timetables, "a schedule of the dead"

    def _left(self, it: Deployment) -> list[Job]:
        """Jobs that are its own alone, and have not ended."""
        pools = [entry.pool for entry in it.entries.values()]
        own = [pool for pool in pools if not self._is_anothers(it, pool)]
        return [job for pool in own for job in jobs_of(pool)]
