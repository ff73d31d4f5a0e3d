"""Deployments: what is live, what becomes of what was, and what is there after a restart."""

from __future__ import annotations

from typing import Any

import pytest

from apothic_backends.commands import (
    GetJob,
    ListSchedules,
    ReadEvents,
    RegisterFunction,
    RunJob,
    SubmitJob,
)
from apothic_backends.commands.deployments import (
    DeleteDeployment,
    Deploy,
    FindFunction,
    GetDeployment,
    ListDeployments,
    RollbackDeployment,
    StopDeployment,
)
from apothic_backends.model.deployments import Deployed, DeployedFunction, DeploymentSnapshot
from apothic_backends.model.errors import InvalidOption, JobCancelled, NotFound, UsageError
from apothic_backends.model.events import EventBatch
from apothic_backends.model.functions import FunctionSpec, RetryPolicy
from apothic_backends.model.jobs import JobStatus
from apothic_backends.model.payloads import Payload
from apothic_backends.model.schedules import CronSchedule, PeriodSchedule
from apothic_emulator.core import deployments
from apothic_emulator.core.effects import Retire, StartExecutor
from apothic_emulator.core.facts import Loaded
from tests.unit.emulator.core.driving import Driver
from tests.unit.emulator.core.restarting import Restarting

HOURLY = PeriodSchedule(seconds=3600.0)


def fn(name: str, code: str = "1", schedule: Any = None, **options: Any) -> DeployedFunction:
    return DeployedFunction(FunctionSpec("demo", name, **options), Payload(code.encode()), schedule)


class Deploying(Restarting):
    """A driver that deploys."""

    def deploy(self, *functions: DeployedFunction) -> Deployed:
        done: Deployed = self.ask(Deploy("demo", functions or (fn("f"),)))
        return done

    def seen(self, deployment: str = "demo") -> DeploymentSnapshot:
        found: DeploymentSnapshot = self.ask(GetDeployment(deployment))
        return found

    def call(self, name: str = "demo/f", **how: Any) -> str:
        job_id: str = self.ask(SubmitJob(name, Payload(b"x"), **how))
        return job_id

    def fate(self, job_id: str) -> JobStatus:
        status: JobStatus = self.ask(GetJob(job_id)).status
        return status

    def function_of(self, job_id: str) -> str:
        return str(self.ask(GetJob(job_id)).function_id)

    def all(self) -> list[tuple[str, str]]:
        listed = self.ask(ListDeployments())
        return [(it.deployment_id, it.status) for it in listed]

    def schedules(self) -> dict[str, str]:
        return {it.function_name: it.function_id for it in self.ask(ListSchedules())}

    def events(self, topic: str) -> list[tuple[str, Any]]:
        batch: EventBatch = self.ask(ReadEvents(topic, self.start_of(topic)))
        return [(event.event, event.data.get("what")) for event in batch.events]

    def start_of(self, topic: str) -> Any:
        feed = self.plane.ledger.feed if topic.startswith("apps:") else self.plane.shared.feed
        return feed.events.cursor.replace(seq=feed.events.first - 1)


@pytest.fixture
def driver() -> Deploying:
    return Deploying()


def test_a_deployment_has_an_id_a_version_and_functions(driver: Deploying) -> None:
    done = driver.deploy(fn("f"), fn("g"))
    it = done.deployment

    assert done.is_new
    assert (it.deployment_id, it.version, it.status) == ("deployments:1", 1, "live")
    assert [work.name for work in it.functions] == ["f", "g"]
    assert it == driver.seen() == driver.seen("deployments:1")


def test_deploying_the_same_again_changes_nothing(driver: Deploying) -> None:
    first = driver.deploy(fn("f", schedule=HOURLY), fn("g"))
    again = driver.deploy(fn("g"), fn("f", schedule=HOURLY))

    assert not again.is_new
    assert again.deployment == first.deployment
    assert driver.all() == [("deployments:1", "live")]


@pytest.mark.parametrize(
    "functions",
    [
        (fn("f", "2"),),
        (fn("f", timeout_s=5.0),),
        (fn("f", source="0" * 64),),
        (fn("f", schedule=HOURLY),),
        (fn("g"),),
        (fn("f"), fn("g")),
    ],
    ids=["code", "option", "source", "schedule", "name", "number"],
)
def test_whatever_changes_is_another_deployment(
    driver: Deploying, functions: tuple[DeployedFunction, ...]
) -> None:
    driver.deploy(fn("f"))
    it = driver.deploy(*functions).deployment

    assert (it.deployment_id, it.version) == ("deployments:2", 2)
    assert driver.all() == [("deployments:2", "live"), ("deployments:1", "replaced")]


def test_apps_are_deployed_side_by_side(driver: Deploying) -> None:
    driver.deploy()
    other = DeployedFunction(FunctionSpec("other", "f"), Payload(b"1"))
    it = driver.ask(Deploy("other", (other,))).deployment

    assert (it.deployment_id, it.version) == ("deployments:2", 1)
    assert [one.app_name for one in driver.ask(ListDeployments())] == ["other", "demo"]
    assert driver.ask(ListDeployments("demo")) == (driver.seen("demo"),)


@pytest.mark.parametrize(
    ("app", "functions"),
    [
        ("demo", ()),
        ("demo", (fn("f"), fn("f", "2"))),
        ("other", (fn("f"),)),
        ("demo", (fn("a/b"),)),
        ("demo", (fn(""),)),
        ("demo", (fn("f"), fn("g", max_containers=0))),
        ("demo", (fn("f", schedule=PeriodSchedule()),)),
        ("demo", (fn("f", schedule=CronSchedule(expression="now")),)),
        ("demo", (fn("f", schedule=HOURLY, is_generator=True),)),
    ],
)
def test_what_cannot_be_deployed_changes_nothing(
    driver: Deploying, app: str, functions: tuple[DeployedFunction, ...]
) -> None:
    records = dict(driver.records)
    with pytest.raises(UsageError):
        driver.ask(Deploy(app, functions))

    assert driver.all() == []
    assert driver.records == records


def test_too_many_functions_are_refused(driver: Deploying, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deployments, "MOST_FUNCTIONS", 1)
    with pytest.raises(InvalidOption):
        driver.deploy(fn("f"), fn("g"))


# --- calls by name ------------------------------------------------------------------------------


def test_calls_by_name_go_to_the_live_version(driver: Deploying) -> None:
    driver.deploy()
    before = driver.call()
    driver.deploy(fn("f", "2"))
    after = driver.call()

    assert driver.function_of(before) != driver.function_of(after)
    assert driver.seen("deployments:1").functions[0].function_id == driver.function_of(before)
    assert driver.seen().functions[0].function_id == driver.function_of(after)


def test_a_function_is_found_by_its_names(driver: Deploying) -> None:
    driver.deploy(fn("f", is_async=True))
    found = driver.ask(FindFunction("demo", "f"))

    assert (found.function_id, found.spec.is_async) == ("demo/f", True)
    for names in (("demo", "g"), ("other", "f")):
        with pytest.raises(NotFound) as missing:
            driver.ask(FindFunction(*names))
        assert missing.value.data["known"] == ["demo/f"]


def test_what_is_not_deployed_cannot_be_called(driver: Deploying) -> None:
    with pytest.raises(NotFound, match="demo/f is not deployed"):
        driver.call()
    driver.deploy()
    driver.deploy(fn("g"))
    with pytest.raises(NotFound):
        driver.call("demo/f")
    assert driver.call("demo/g") == "jobs:1"


def test_a_registered_function_stays_apart_from_a_deployed_one(driver: Deploying) -> None:
    deployed = fn("f")
    driver.deploy(deployed)
    register = RegisterFunction(deployed.spec, deployed.code)
    own = driver.ask(register)
    driver.ask(StopDeployment("demo"))

    assert own == driver.ask(register) != driver.seen().functions[0].function_id
    assert driver.fate(driver.call(own)) is JobStatus.DISPATCHED


def test_old_jobs_go_on_in_the_old_version(driver: Deploying) -> None:
    driver.deploy()
    running, queued = driver.call(), driver.call()
    driver.deploy(fn("f", "2"))
    driver.step(Loaded(1))
    driver.report(1)

    assert driver.fate(running) is JobStatus.SUCCEEDED
    assert driver.seen("deployments:1").unfinished == 1
    driver.report(2)
    assert driver.fate(queued) is JobStatus.SUCCEEDED
    effects = driver.pass_s(deployments.LOOK_S)
    assert driver.seen("deployments:1").unfinished == 0
    assert any(isinstance(effect, Retire) for effect in effects)
    assert driver.events("deployments:1")[-2:] == [
        ("deployment.changed", "replaced"),
        ("deployment.changed", "drained"),
    ]


def test_whoever_waits_for_room_gets_into_the_next_version(driver: Deploying) -> None:
    driver.deploy(fn("f", max_pending_tasks=1))
    for _ in range(2):
        driver.call()
    waiting = driver.start(SubmitJob("demo/f", Payload(b"x"), wait_for_room=True))
    running = driver.start(RunJob("demo/f", Payload(b"x"), wait_for_room=True))
    driver.deploy(fn("f", "2"))

    assert driver.function_of(driver.answers[waiting]) == driver.seen().functions[0].function_id
    assert running not in driver.answers
    assert driver.seen().unfinished == 2


def test_whoever_waits_for_room_of_what_is_stopped_is_told(driver: Deploying) -> None:
    driver.deploy(fn("f", max_pending_tasks=1))
    for _ in range(2):
        driver.call()
    waiting = driver.start(SubmitJob("demo/f", Payload(b"x"), wait_for_room=True))
    driver.ask(StopDeployment("demo"))

    assert isinstance(driver.answers[waiting], NotFound)


# --- stopping and deleting ----------------------------------------------------------------------


def test_stopping_cancels_what_waits_and_what_runs(driver: Deploying) -> None:
    driver.deploy(fn("f", schedule=HOURLY))
    running = driver.call()
    driver.step(Loaded(1))
    queued = driver.call()
    it = driver.ask(StopDeployment("demo"))

    assert (it.status, it.ended_at is None) == ("stopped", False)
    assert driver.schedules() == {}
    assert driver.fate(queued) is JobStatus.CANCELLED
    assert driver.ask(GetJob(running)).cancel_requested
    with pytest.raises(NotFound):
        driver.call()


def test_stopping_cancels_what_old_versions_have_left(driver: Deploying) -> None:
    driver.deploy()
    driver.call()
    old = driver.call()
    driver.deploy(fn("f", "2"))
    driver.ask(StopDeployment("demo"))

    assert driver.fate(old) is JobStatus.CANCELLED
    assert driver.all() == [("deployments:2", "stopped"), ("deployments:1", "stopped")]


def test_an_old_version_can_be_stopped_by_itself(driver: Deploying) -> None:
    driver.deploy()
    driver.call()
    old = driver.call()
    driver.deploy(fn("f", "2"))
    new = driver.call()
    driver.ask(StopDeployment("deployments:1"))

    assert driver.fate(old) is JobStatus.CANCELLED
    assert driver.fate(new) is JobStatus.DISPATCHED
    assert driver.all() == [("deployments:2", "live"), ("deployments:1", "stopped")]


def test_a_drained_stop_lets_jobs_end(driver: Deploying) -> None:
    driver.deploy(fn("f", schedule=HOURLY))
    driver.call()
    queued = driver.call()
    driver.ask(StopDeployment("demo", drain=True))
    again = driver.ask(StopDeployment("demo", drain=True))

    assert again.unfinished == 2
    assert driver.fate(queued) is JobStatus.QUEUED
    assert driver.schedules() == {}
    driver.ask(StopDeployment("demo"))
    assert driver.fate(queued) is JobStatus.CANCELLED


def test_what_was_stopped_can_be_deployed_again(driver: Deploying) -> None:
    driver.deploy()
    driver.ask(StopDeployment("demo"))
    it = driver.deploy()

    assert it.is_new
    assert (it.deployment.deployment_id, it.deployment.version) == ("deployments:2", 2)
    assert driver.call() == "jobs:1"


def test_a_deleted_deployment_is_forgotten(driver: Deploying) -> None:
    driver.deploy(fn("f", schedule=HOURLY))
    driver.call()
    queued = driver.call()
    driver.ask(DeleteDeployment("deployments:1"))

    assert driver.fate(queued) is JobStatus.CANCELLED
    assert (driver.all(), driver.schedules()) == ([], {})
    with pytest.raises(NotFound):
        driver.seen("deployments:1")
    with pytest.raises(NotFound):
        driver.ask(DeleteDeployment("demo"))
    assert [key for key in driver.records if key.startswith("deployments/")] == ["deployments/last"]


def test_deleting_an_old_version_leaves_the_live_one_alone(driver: Deploying) -> None:
    driver.deploy()
    driver.deploy(fn("f", "2"))
    job = driver.call()
    driver.ask(DeleteDeployment("deployments:1"))

    assert driver.all() == [("deployments:2", "live")]
    assert driver.fate(job) is JobStatus.DISPATCHED


def test_an_app_is_deleted_with_all_its_versions(driver: Deploying) -> None:
    driver.deploy()
    driver.deploy(fn("f", "2"))
    driver.ask(DeleteDeployment("demo"))

    assert driver.all() == []
    assert driver.events("apps:demo")[-1] == ("app.deleted", None)
    assert driver.deploy().deployment.deployment_id == "deployments:3"


def test_an_unknown_deployment_is_not_found(driver: Deploying) -> None:
    driver.deploy()
    for name in ("deployments:7", "nobody"):
        for command in (
            GetDeployment(name),
            StopDeployment(name),
            DeleteDeployment(name),
            RollbackDeployment(name),
        ):
            with pytest.raises(NotFound):
                driver.ask(command)
    with pytest.raises(UsageError):
        driver.seen("deployments:x")
    with pytest.raises(NotFound):
        driver.ask(ReadEvents("deployments:7", snapshot=True))


# --- rollbacks ----------------------------------------------------------------------------------


def test_a_rollback_is_a_deployment_of_what_was(driver: Deploying) -> None:
    first = driver.deploy(fn("f", schedule=HOURLY)).deployment
    driver.deploy(fn("f", "2"))
    done = driver.ask(RollbackDeployment("demo"))
    it = done.deployment

    assert (done.is_new, it.deployment_id, it.version, it.of) == (True, "deployments:3", 3, 1)
    assert it.functions[0].function_id == first.functions[0].function_id
    assert driver.schedules() == {"f": first.functions[0].function_id}


def test_another_rollback_goes_back_to_the_other_version(driver: Deploying) -> None:
    driver.deploy()
    driver.deploy(fn("f", "2"))
    driver.ask(RollbackDeployment("demo"))
    it = driver.ask(RollbackDeployment("demo")).deployment

    assert (it.version, it.of) == (4, 2)


def test_a_rollback_to_a_version(driver: Deploying) -> None:
    for code in "123":
        driver.deploy(fn("f", code))
    it = driver.ask(RollbackDeployment("demo", 1)).deployment

    assert it.of == 1
    for version in (1, it.version):
        again = driver.ask(RollbackDeployment("demo", version))
        assert not again.is_new
        assert again.deployment.deployment_id == it.deployment_id
    for version in (7, 0):
        with pytest.raises(NotFound, match="1, 2, 3, 4"):
            driver.ask(RollbackDeployment("demo", version))


def test_nothing_was_before_the_first(driver: Deploying) -> None:
    driver.deploy()
    with pytest.raises(NotFound, match="nothing before"):
        driver.ask(RollbackDeployment("demo"))


def test_a_rollback_to_what_was_deployed_again_since_changes_nothing(driver: Deploying) -> None:
    driver.deploy()
    driver.deploy(fn("f", "2"))
    live = driver.deploy().deployment
    done = driver.ask(RollbackDeployment("demo", 1))

    assert (done.is_new, done.deployment.deployment_id) == (False, live.deployment_id)


def test_a_rollback_after_a_stop_is_a_start(driver: Deploying) -> None:
    driver.deploy()
    driver.ask(StopDeployment("demo"))
    it = driver.ask(RollbackDeployment("demo")).deployment

    assert (it.status, it.of) == ("live", 1)
    assert driver.call() == "jobs:1"


def test_what_was_rolled_back_to_outlives_the_first_of_its_kind(driver: Deploying) -> None:
    driver.deploy()
    driver.deploy(fn("f", "2"))
    driver.ask(RollbackDeployment("demo"))
    driver.call()
    job = driver.call()
    driver.ask(StopDeployment("deployments:1"))
    driver.ask(DeleteDeployment("deployments:1"))

    assert driver.fate(job) is JobStatus.QUEUED
    assert driver.seen().unfinished == 2
    driver.ask(StopDeployment("demo"))
    assert driver.fate(job) is JobStatus.CANCELLED


def test_a_version_that_is_shared_drains_once(driver: Deploying) -> None:
    driver.deploy()
    driver.deploy(fn("f", "2"))
    driver.ask(RollbackDeployment("demo"))
    driver.call()
    driver.deploy(fn("f", "3"))
    driver.pass_s(5 * deployments.LOOK_S)

    assert driver.events("deployments:1")[-1][1] == "drained"
    assert driver.events("deployments:3")[-1][1] == "replaced"


def test_a_version_drains_once_more_when_what_shared_its_functions_is_deleted(
    driver: Deploying,
) -> None:
    driver.deploy()
    driver.deploy(fn("f", "2"))
    driver.ask(RollbackDeployment("demo"))
    driver.call()
    driver.loaded()
    driver.pass_s(2 * deployments.LOOK_S)
    driver.ask(DeleteDeployment("deployments:3"))
    assert driver.seen("deployments:1").unfinished == 1

    driver.died()
    driver.pass_s(2 * deployments.LOOK_S)

    told = [what for _, what in driver.events("deployments:1")]
    assert told == ["live", "replaced", "drained", "drained"]


# --- schedules ----------------------------------------------------------------------------------


def test_schedules_begin_and_end_with_their_deployment(driver: Deploying) -> None:
    driver.deploy(fn("f", schedule=HOURLY), fn("g", schedule=HOURLY))
    first = driver.schedules()
    driver.deploy(fn("f", "2", schedule=HOURLY), fn("g", "2"))

    assert first.keys() == {"f", "g"}
    assert driver.schedules().keys() == {"f"}
    assert driver.schedules()["f"] != first["f"]


def test_a_redeploy_restarts_the_clock_of_a_period_alone(driver: Deploying) -> None:
    nightly = CronSchedule(expression="30 2 * * *")

    def due() -> dict[str, float]:
        return {it.function_name: it.next_at for it in driver.ask(ListSchedules())}

    driver.deploy(fn("f", schedule=HOURLY), fn("g", schedule=nightly))
    before = due()
    driver.pass_s(600.0)
    driver.deploy(fn("f", "2", schedule=HOURLY), fn("g", "2", schedule=nightly))

    assert due()["g"] == before["g"]
    assert due()["f"] == before["f"] + 600.0


def test_a_run_of_the_old_version_still_counts_as_the_run_before(driver: Deploying) -> None:
    driver.deploy(fn("f", schedule=HOURLY, timeout_s=1e6))
    effects = driver.pass_s(3600.0)
    started = next(e.executor for e in effects if isinstance(e, StartExecutor))
    driver.step(Loaded(started))
    driver.deploy(fn("f", "2", schedule=HOURLY))
    driver.pass_s(3600.0)
    (it,) = driver.ask(ListSchedules())

    assert (it.fired, it.skipped) == (0, 1)


# --- events -------------------------------------------------------------------------------------


def test_watchers_hear_what_becomes_of_a_deployment(driver: Deploying) -> None:
    driver.deploy()
    driver.deploy(fn("f", "2"))
    driver.ask(DeleteDeployment("deployments:1"))

    assert driver.events("deployments:1") == [
        ("deployment.changed", "live"),
        ("deployment.changed", "replaced"),
        ("deployment.changed", "stopped"),
        ("deployment.deleted", None),
    ]
    assert [what for _, what in driver.events("apps:demo")] == [
        *("live", "replaced", "live", "stopped"),
    ]


def test_a_snapshot_tells_what_there_is(driver: Deploying) -> None:
    driver.deploy()
    driver.call()
    (event,) = driver.ask(ReadEvents("deployments:1", snapshot=True)).events

    assert event.event == "deployment.snapshot"
    assert event.data["functions"]["f"]["queued"] + event.data["functions"]["f"]["running"] == 1


# --- what is kept -------------------------------------------------------------------------------


def test_deployments_are_there_after_a_restart(driver: Deploying) -> None:
    driver.deploy(fn("f", schedule=HOURLY))
    driver.deploy(fn("f", "2", schedule=HOURLY), fn("g"))
    job = driver.call()
    before = driver.all(), driver.schedules(), driver.seen().replace(functions=())
    driver.restart()

    after = driver.all(), driver.schedules(), driver.seen().replace(functions=())
    assert after == before
    assert driver.function_of(driver.call()) == driver.function_of(job)
    assert not driver.deploy(fn("f", "2", schedule=HOURLY), fn("g")).is_new
    assert driver.ask(RollbackDeployment("demo")).deployment.version == 3


def test_what_drained_goes_on_to_do_so_after_a_restart(driver: Deploying) -> None:
    driver.deploy()
    driver.call()
    old = driver.call()
    driver.deploy(fn("f", "2"))
    driver.restart()
    driver.pass_s(deployments.LOOK_S)

    assert driver.seen("deployments:1").unfinished == 1
    assert driver.fate(old) is JobStatus.DISPATCHED
    driver.ask(StopDeployment("demo"))
    assert driver.ask(GetJob(old)).cancel_requested


def test_numbers_are_not_given_again_after_a_restart(driver: Deploying) -> None:
    driver.deploy()
    driver.ask(DeleteDeployment("demo"))
    driver.restart()
    it = driver.deploy().deployment

    assert (it.deployment_id, it.version) == ("deployments:2", 2)


def test_functions_that_are_deployed_are_kept_when_the_program_ends(driver: Deploying) -> None:
    driver.deploy()
    driver.end()
    driver.restart()

    assert driver.call() == "jobs:1"


def test_of_many_deployments_the_oldest_are_forgotten(
    driver: Deploying, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deployments, "MOST_KEPT", 3)
    driver.deploy(fn("f", "0"))
    driver.call()
    for code in "12345":
        driver.deploy(fn("f", code))

    assert [it.version for it in driver.ask(ListDeployments())] == [6, 5, 1]
    assert [it.version for it in driver.ask(ListDeployments(live_only=True))] == [6]


def test_a_cancelled_job_says_so(driver: Deploying) -> None:
    driver.deploy()
    driver.call()
    queued = driver.call()
    driver.ask(StopDeployment("demo"))

    assert driver.ask(GetJob(queued)).error.code == JobCancelled.code


def test_without_a_store_nothing_is_written_down(driver: Deploying) -> None:
    plain = Driver()
    for code in "12":
        plain.ask(Deploy("demo", (fn("f", code),)))
    plain.ask(DeleteDeployment("deployments:1"))

    assert [it.version for it in plain.ask(ListDeployments())] == [2]


def test_executors_of_an_old_version_end_when_nothing_waits_for_them(driver: Deploying) -> None:
    driver.deploy(fn("f", max_containers=2))
    first, _ = driver.call(), driver.call()
    driver.step(Loaded(1))
    driver.step(Loaded(2))
    third = driver.call()
    driver.deploy(fn("f", "2"))
    driver.report(1)
    effects = driver.pass_s(deployments.LOOK_S)

    assert driver.fate(first) is JobStatus.SUCCEEDED
    assert driver.fate(third) is JobStatus.RUNNING
    assert [effect for effect in effects if isinstance(effect, Retire)] == []
    driver.report(2)
    effects = driver.pass_s(deployments.LOOK_S)
    assert [e.executor for e in effects if isinstance(e, Retire)] == [2]


def test_what_waits_for_a_process_keeps_its_old_version(driver: Deploying) -> None:
    driver.deploy(fn("f", retries=RetryPolicy(1, 0.0)))
    job = driver.call()
    driver.step(Loaded(1))
    driver.call()
    driver.deploy(fn("f", "2"))
    driver.pass_s(3 * deployments.LOOK_S)

    assert driver.fate(job) is JobStatus.RUNNING
    assert driver.seen("deployments:1").unfinished == 2
