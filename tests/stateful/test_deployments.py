"""Deployments against a list of versions, call by call, over restarts of the control plane."""

from __future__ import annotations

from typing import Any

from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from apothic_backends.commands import GetJob, ListSchedules, SubmitJob
from apothic_backends.commands.deployments import (
    DeleteDeployment,
    Deploy,
    FindFunction,
    ListDeployments,
    RollbackDeployment,
    StopDeployment,
)
from apothic_backends.model.deployments import DeployedFunction
from apothic_backends.model.errors import NotFound, QueueFull
from apothic_backends.model.functions import FunctionSpec
from apothic_backends.model.jobs import JobStatus
from apothic_backends.model.payloads import Payload
from apothic_backends.model.schedules import PeriodSchedule
from apothic_emulator.core.effects import Effect, Kill, Retire, StartExecutor
from apothic_emulator.core.executors import ExecutorStatus
from apothic_emulator.core.facts import Ended, Loaded, Recalled
from tests.unit.emulator.core.restarting import Restarting

APPS, NAMES = st.sampled_from(["a", "b"]), st.sampled_from(["f", "g"])
DAILY = PeriodSchedule(days=1)
Code = tuple[tuple[str, str, bool], ...]
"""The functions of a version: name, code, and whether it has a schedule."""


class Version:
    """What is known of a deployment."""

    def __init__(self, number: int, version: int, code: Code) -> None:
        self.id = f"deployments:{number}"
        self.version = version
        self.code = code
        self.status = "live"


class Deployments(RuleBasedStateMachine):
    """Somebody who deploys and calls, and executors that do what they are told."""

    @initialize()
    def open(self) -> None:
        self.driver = Restarting()
        self.apps: dict[str, list[Version]] = {"a": [], "b": []}
        self.numbers = 0
        self.versions = {"a": 0, "b": 0}
        self.jobs: dict[str, str] = {}
        """Each job, and the function that it was queued for."""
        self.doomed: set[str] = set()
        """Jobs that were cancelled, or asked to stop, by the end of their deployment."""

    def ask(self, command: Any) -> Any:
        try:
            return self.driver.ask(command)
        finally:
            self.serve(self.driver.effects)

    def serve(self, effects: list[Effect]) -> None:
        """Executors end when they are told to; what is recalled was not received."""
        for effect in effects:
            if isinstance(effect, Kill | Retire):
                self.driver.step(Ended(effect.executor, "exit", exit_code=0))
            elif type(effect).__name__ == "Recall":
                self.driver.step(Recalled(effect.executor, ()))
            elif isinstance(effect, StartExecutor):
                continue

    def live(self, app: str) -> Version | None:
        return next((it for it in self.apps[app] if it.status == "live"), None)

    def _go_live(self, app: str, code: Code, is_new: bool) -> None:
        live = self.live(app)
        assert is_new is (live is None or live.code != code)
        if not is_new:
            return
        if live is not None:
            live.status = "replaced"
        self.numbers += 1
        self.versions[app] += 1
        self.apps[app].append(Version(self.numbers, self.versions[app], code))

    @rule(
        app=APPS,
        codes=st.tuples(st.sampled_from("12"), st.sampled_from(["", "1"])),
        timed=st.booleans(),
    )
    def deploy(self, app: str, codes: tuple[str, str], timed: bool) -> None:
        code = tuple((n, c, timed) for n, c in zip("fg", codes, strict=True) if c)
        functions = tuple(
            DeployedFunction(FunctionSpec(app, n), Payload(c.encode()), DAILY if timed else None)
            for n, c, _ in code
        )
        self._go_live(app, code, self.ask(Deploy(app, functions)).is_new)

    @rule(app=APPS, back=st.integers(0, 3))
    def roll_back(self, app: str, back: int) -> None:
        known = self.apps[app]
        if not known:
            return
        goal = known[-1 - back % len(known)]
        done = self.ask(RollbackDeployment(app, goal.version))
        self._go_live(app, goal.code, done.is_new)

    @rule(app=APPS, drain=st.booleans())
    def stop(self, app: str, drain: bool) -> None:
        if self.live(app) is None:
            return
        self.driver.pass_s(0.0)
        open_before = self._unfinished(app)
        self.ask(StopDeployment(app, drain))
        for it in self.apps[app]:
            is_draining = it.status == "replaced" and self._status(it) == "stopped"
            if it.status == "live" or is_draining:
                it.status = "stopped"
        if not drain:
            self.doomed |= open_before

    @rule(app=APPS, back=st.integers(0, 3))
    def delete(self, app: str, back: int) -> None:
        known = self.apps[app]
        if not known:
            return
        gone = known.pop(-1 - back % len(known))
        self.ask(DeleteDeployment(gone.id))

    @rule(app=APPS, name=NAMES)
    def call(self, app: str, name: str) -> None:
        live = self.live(app)
        is_there = live is not None and name in {n for n, _, _ in live.code}
        try:
            job: str = self.ask(SubmitJob(f"{app}/{name}", Payload(b"x")))
        except NotFound:
            assert not is_there
            return
        except QueueFull:
            return
        assert is_there
        self.jobs[job] = self.driver.ask(GetJob(job)).function_id

    @rule()
    def work(self) -> None:
        """Whatever can be loaded is, and whatever runs ends."""
        for executor in [*self.driver.plane.ledger.executors.values()]:
            if executor.status is ExecutorStatus.STARTING:
                self.serve(self.driver.step(Loaded(executor.number)))
        for executor in [*self.driver.plane.ledger.executors.values()]:
            for job in executor.running[:1]:
                self.serve(self.driver.report(job.number))

    @rule(seconds=st.sampled_from([0.5, 1.0, 5.0]))
    def wait(self, seconds: float) -> None:
        self.serve(self.driver.pass_s(seconds))

    @rule()
    def restart(self) -> None:
        self.serve(self.driver.restart())

    # --- what is always true --------------------------------------------------------------------

    def _listed(self) -> dict[str, Any]:
        return {it.deployment_id: it for it in self.driver.ask(ListDeployments())}

    def _status(self, it: Version) -> str:
        return str(self._listed()[it.id].status)

    def _unfinished(self, app: str) -> set[str]:
        """Jobs of an app's deployments that have not ended."""
        functions = {
            work.function_id
            for it in self._listed().values()
            if it.app_name == app
            for work in it.functions
        }
        mine = [job for job, function in self.jobs.items() if function in functions]
        return {job for job in mine if not self.driver.ask(GetJob(job)).status.is_final}

    @invariant()
    def the_versions_are_those_that_were_made(self) -> None:
        listed = self._listed()
        known = {it.id: it for versions in self.apps.values() for it in versions}

        assert listed.keys() == known.keys()
        for name, it in known.items():
            if it.status == "live" or listed[name].status == "live":
                assert listed[name].status == it.status
            assert listed[name].version == it.version

    @invariant()
    def names_and_schedules_are_those_of_what_is_live(self) -> None:
        wanted: set[tuple[str, str]] = set()
        timed: set[tuple[str, str]] = set()
        for app in self.apps:
            live = self.live(app)
            wanted |= {(app, n) for n, _, _ in live.code} if live else set()
            timed |= {(app, n) for n, _, is_timed in live.code if is_timed} if live else set()
        found = {(app, name) for app in self.apps for name in "fg" if self._is_found(app, name)}
        running = {(it.app_name, it.function_name) for it in self.driver.ask(ListSchedules())}

        assert found == wanted
        assert running == timed

    def _is_found(self, app: str, name: str) -> bool:
        try:
            self.driver.ask(FindFunction(app, name))
        except NotFound:
            return False
        return True

    @invariant()
    def a_job_stays_in_its_version_and_ends_with_it(self) -> None:
        for job, function in self.jobs.items():
            snapshot = self.driver.ask(GetJob(job))
            assert snapshot.function_id == function
            if job in self.doomed:
                assert snapshot.status.is_final or snapshot.cancel_requested
            if snapshot.status is JobStatus.QUEUED:
                assert not snapshot.cancel_requested


TestDeployments = Deployments.TestCase
TestDeployments.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
