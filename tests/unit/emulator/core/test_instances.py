"""Instances: one process for a name, whatever takes the place of what, and what its end means."""

from __future__ import annotations

from typing import Any

import pytest

from apothic_backends.commands import (
    OpenItems,
    ReadEvents,
    RegisterFunction,
    ReleaseJob,
    RunJob,
    SubmitJob,
)
from apothic_backends.commands.deployments import Deploy, GetDeployment, StopDeployment
from apothic_backends.commands.instances import (
    GetInstance,
    ListInstances,
    OpenInstance,
    RestartInstance,
    StopInstance,
)
from apothic_backends.model.deployments import DeployedFunction
from apothic_backends.model.errors import (
    InvalidOption,
    NotFound,
    OverLimit,
    SlotDeadlock,
    UsageError,
)
from apothic_backends.model.functions import FunctionSpec, RetryPolicy
from apothic_backends.model.instances import (
    ClassSpec,
    InstanceConflict,
    InstanceDead,
    InstanceGone,
    InstanceSnapshot,
    MethodSpec,
)
from apothic_backends.model.jobs import ErrorInfo
from apothic_backends.model.payloads import Payload
from apothic_emulator.core.effects import Effect, Interrupt, Kill, Retire, StartExecutor
from apothic_emulator.core.executors import IDLE_S
from apothic_emulator.core.facts import Ended, Loaded, LoadFailed
from apothic_emulator.core.hellos import BEGUN, Capacity, HeldExecutor
from apothic_emulator.core.instances import SWEEP_S
from apothic_emulator.core.kinds import EXIT_S
from apothic_emulator.core.leaving import LOOK_S
from apothic_emulator.core.ledger import KEPT_S
from apothic_emulator.core.quotas import Quotas
from tests.unit.emulator.core.agents import LARGE, Far
from tests.unit.emulator.core.driving import Driver, jobs_sent, only
from tests.unit.emulator.core.restarting import Restarting

METHODS = (MethodSpec("add"), MethodSpec("count", is_generator=True))
CLASS = ClassSpec(METHODS, (("start", "0"),))


def counter(code: str = "1", cls: ClassSpec = CLASS, **options: Any) -> FunctionSpec:
    return FunctionSpec("demo", "Counter", cls=cls, **options)


class Holding(Restarting):
    """A driver with a class, and instances of it."""

    def __init__(self, cls: ClassSpec = CLASS, **options: Any) -> None:
        super().__init__()
        self.kind = self.ask(RegisterFunction(counter(cls=cls, **options), Payload(b"class")))

    def open(self, name: str | None = "a", key: str = "(start=0)", **how: Any) -> str:
        found: str = self.ask(OpenInstance(self.kind, Payload(b"args"), key, name, **how))
        return found

    def call(self, instance: str = "instances:1", method: str = "add") -> int:
        return int(self.ask(SubmitJob(instance, Payload(b"x"), method=method))[5:])

    def up(self, **options: Any) -> int:
        """An instance whose process is there, and has ended a call."""
        self.open()
        job = self.call()
        self.loaded()
        self.report(job)
        return job

    def seen(self, instance: str = "instances:1") -> InstanceSnapshot:
        found: InstanceSnapshot = self.ask(GetInstance(instance))
        return found

    def gone(self, executor: int = 1) -> list[Effect]:
        return self.step(Ended(executor, "exit", exit_code=0))

    def code_of(self, job: int) -> str:
        error = self.outcome(job).error
        return "" if error is None else error.code


@pytest.fixture
def driver() -> Holding:
    return Holding()


# --- opening --------------------------------------------------------------------------------------


def test_the_same_name_is_the_same_instance(driver: Holding) -> None:
    assert driver.open("a") == driver.open("a") != driver.open("b")


def test_the_same_arguments_are_the_same_instance(driver: Holding) -> None:
    assert driver.open(None) == driver.open(None) != driver.open(None, "(start=1)")


def test_a_name_that_is_taken_by_other_arguments_is_refused(driver: Holding) -> None:
    driver.open("a")
    with pytest.raises(InstanceConflict, match="'a'"):
        driver.open("a", "(start=1)")


def test_whichever_there_is_will_do_for_who_says_so(driver: Holding) -> None:
    made = driver.open("a")
    assert driver.open("a", "", whichever=True) == made


def test_what_there_is_not_is_not_made_without_arguments(driver: Holding) -> None:
    with pytest.raises(UsageError, match="no Counter 'a'"):
        driver.open("a", "", whichever=True)


@pytest.mark.parametrize("name", ["", "a/b", "x" * 65])
def test_a_name_that_can_be_none_is_refused(driver: Holding, name: str) -> None:
    with pytest.raises(InvalidOption):
        driver.open(name)


def test_arguments_that_take_too_long_to_tell_are_refused(driver: Holding) -> None:
    with pytest.raises(UsageError, match="5000 characters"):
        driver.open("a", "x" * 5000)


def test_there_are_no_instances_of_a_function(driver: Holding) -> None:
    with pytest.raises(UsageError, match="no class"):
        driver.ask(OpenInstance(driver.function))


def test_there_are_as_many_instances_as_an_account_may_have() -> None:
    driver = Holding()
    driver.plane.ledger.quotas = Quotas(functions=2)
    driver.open("a")
    driver.open("b")
    with pytest.raises(OverLimit, match="2 instances"):
        driver.open("c")


def test_its_function_has_the_class_and_the_arguments(driver: Holding) -> None:
    driver.open()
    driver.call()
    [start] = only(driver.effects, StartExecutor)
    assert (start.code.codec, start.code.data) == ("instance", b"1 pickle5")
    assert start.code.buffers == (b"args", b"class")
    assert start.spec.cls == CLASS.replace(instance="instances:1", name="a", base=2)


# --- classes and methods --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cls", "what"),
    [
        (ClassSpec(()), "methods"),
        (ClassSpec((MethodSpec("a"), MethodSpec("a"))), "methods"),
        (ClassSpec(METHODS, keep_warm_s=-1.0), "keep_warm_s"),
        (ClassSpec(METHODS, max_restarts=-2), "max_restarts"),
    ],
)
def test_a_class_that_cannot_be_meant_is_refused(cls: ClassSpec, what: str) -> None:
    with pytest.raises(InvalidOption, match=what):
        Holding(cls)


def test_a_class_itself_takes_no_calls(driver: Holding) -> None:
    with pytest.raises(UsageError, match="is a class"):
        driver.call(driver.kind)
    with pytest.raises(UsageError, match="is a class"):
        driver.ask(SubmitJob(driver.kind, Payload(b"x")))


def test_a_call_of_an_instance_says_which_method(driver: Holding) -> None:
    driver.open()
    with pytest.raises(UsageError, match="say which method"):
        driver.call(method="")
    with pytest.raises(UsageError, match="no method 'sub'; there are: add, count"):
        driver.call(method="sub")


def test_a_function_has_no_methods(driver: Holding) -> None:
    with pytest.raises(UsageError, match="has no method"):
        driver.call(driver.function)


def test_a_method_that_yields_is_opened_and_another_is_not(driver: Holding) -> None:
    driver.open()
    with pytest.raises(UsageError):
        driver.call(method="count")
    with pytest.raises(UsageError):
        driver.ask(OpenItems("instances:1", Payload(b"x"), "add"))
    driver.ask(OpenItems("instances:1", Payload(b"x"), "count"))


def test_a_job_of_a_method_has_its_name(driver: Holding) -> None:
    driver.open()
    assert driver.look(driver.call()).function_name == "Counter.add"


def test_a_job_of_a_method_tells_by_what_disk_gb_is_kept_where_its_instance_is() -> None:
    driver = Holding(disk_gb=0.5)
    driver.open()
    job = driver.call()

    driver.step(Loaded(1, "quota"))

    assert driver.look(job).limits["disk"] == "quota"


def test_a_call_that_is_waited_for_says_its_method_too(driver: Holding) -> None:
    driver.open()
    token = driver.start(RunJob("instances:1", Payload(b"x"), method="add"))
    driver.loaded()
    driver.report(1)
    assert driver.answers[token].job_id == "jobs:1"


# --- one process ----------------------------------------------------------------------------------


def test_one_with_a_name_has_one_process_however_many_calls_wait() -> None:
    driver = Holding(max_containers=5)
    driver.open()
    for _ in range(5):
        driver.call()
    driver.loaded()
    assert driver.seen().processes == 1


def test_one_without_has_as_many_as_its_class_may() -> None:
    driver = Holding(max_containers=3)
    driver.open(None)
    for _ in range(5):
        driver.call()
    assert driver.seen().processes == 3


def test_its_calls_are_sent_one_at_a_time_in_their_order(driver: Holding) -> None:
    first = driver.up()
    jobs = [driver.call() for _ in range(3)]
    sent = [jobs[0]]
    for job in jobs:
        sent += jobs_sent(driver.report(job))
    assert (first, sent) == (1, jobs)


def test_one_with_a_name_goes_on_without_work(driver: Holding) -> None:
    driver.up()
    assert not only(driver.pass_s(10 * IDLE_S), Retire)


def test_one_without_ends_as_processes_of_functions_do(driver: Holding) -> None:
    driver.open(None)
    job = driver.call()
    driver.loaded()
    driver.report(job)
    assert only(driver.pass_s(IDLE_S + 1), Retire)


@pytest.mark.parametrize("name", ["a", None])
def test_keep_warm_s_says_how_long_it_goes_on(name: str | None) -> None:
    driver = Holding(CLASS.replace(keep_warm_s=5.0))
    driver.open(name)
    job = driver.call()
    driver.loaded()
    driver.report(job)
    assert not only(driver.pass_s(4.9), Retire)
    assert only(driver.pass_s(0.2), Retire)


def test_what_ended_for_want_of_work_is_made_again(driver: Holding) -> None:
    driver = Holding(CLASS.replace(keep_warm_s=5.0))
    driver.up()
    driver.pass_s(6)
    job = driver.call()
    assert not only(driver.effects, StartExecutor)  # its exit hooks still run
    assert only(driver.gone(), StartExecutor)
    driver.loaded(2)
    driver.report(job)
    assert driver.seen().restarts == 0


def test_exit_hooks_have_their_time(driver: Holding) -> None:
    driver.up()
    driver.ask(StopInstance("instances:1"))
    assert not only(driver.pass_s(EXIT_S - 0.1), Kill)
    assert only(driver.pass_s(0.2), Kill)


def test_a_call_that_takes_too_long_is_asked_to_end_before_its_process_is(driver: Holding) -> None:
    driver = Holding(timeout_s=5.0)
    driver.open()
    job = driver.call()
    driver.loaded()
    assert only(driver.pass_s(5.0), Interrupt)
    driver.report(job, error=ErrorInfo("user_error", "stopped"))
    assert (driver.status(job), driver.seen().status) == ("timed_out", "live")


# --- ends -----------------------------------------------------------------------------------------


def test_one_whose_process_was_lost_is_dead(driver: Holding) -> None:
    driver.up()
    driver.died()
    with pytest.raises(InstanceDead, match="killed by signal 9"):
        driver.call()
    with pytest.raises(InstanceDead):
        driver.open()
    assert (driver.seen().status, driver.seen().restarts) == ("dead", 1)


def test_calls_that_wait_for_it_are_told(driver: Holding) -> None:
    driver.up()
    running, waiting = driver.call(), driver.call()
    driver.died()
    assert [driver.code_of(running), driver.code_of(waiting)] == ["worker_lost", "instance_dead"]


def test_calls_that_wait_for_their_next_attempt_are_told() -> None:
    policy = RetryPolicy(max_retries=3, initial_delay_s=60.0)
    driver = Holding(retries=policy)
    driver.up()
    delayed = driver.call()
    driver.report(delayed, error=ErrorInfo("user_error", "boom"))
    driver.died()
    assert driver.code_of(delayed) == "instance_dead"


def test_whoever_waits_for_room_is_told() -> None:
    driver = Holding(max_pending_tasks=1)
    driver.up()
    driver.call()
    driver.call()
    token = driver.start(RunJob("instances:1", Payload(b"x"), True, "add"))
    driver.died()
    assert isinstance(driver.answers[token], InstanceDead)


def test_max_restarts_has_it_made_again() -> None:
    driver = Holding(CLASS.replace(max_restarts=1))
    driver.up()
    waiting = [driver.call(), driver.call()]
    assert only(driver.died(), StartExecutor)
    driver.loaded(2)
    driver.report(waiting[1])
    assert driver.seen().status == "live"
    driver.died(2)
    assert driver.seen().status == "dead"


def test_max_restarts_may_be_for_ever() -> None:
    driver = Holding(CLASS.replace(max_restarts=-1))
    driver.up()
    for executor in range(1, 6):
        driver.died(executor)
        driver.call()
        driver.loaded(executor + 1)
        driver.report(executor + 1)
    assert (driver.seen().status, driver.seen().restarts) == ("live", 5)


def test_one_that_cannot_be_made_is_not_dead(driver: Holding) -> None:
    driver.open()
    job = driver.call()
    driver.step(LoadFailed(1, ErrorInfo("setup_failed", "boom")))
    driver.gone()
    assert (driver.code_of(job), driver.seen().status) == ("setup_failed", "live")


def test_one_without_a_name_is_never_dead(driver: Holding) -> None:
    driver.open(None)
    driver.call()
    driver.loaded()
    driver.died()
    assert driver.seen().status == "live"


def test_a_restart_brings_it_back_to_life(driver: Holding) -> None:
    driver.up()
    driver.died()
    driver.ask(RestartInstance("demo/Counter/a"))
    driver.call()
    assert only(driver.effects, StartExecutor)
    assert driver.seen().restarts == 0


def test_a_restart_waits_for_the_process_before(driver: Holding) -> None:
    driver.up()
    running, waiting = driver.call(), driver.call()
    driver.ask(RestartInstance("instances:1"))
    again = driver.call()
    assert driver.status(waiting) == "cancelled"
    driver.report(running)
    assert only(driver.pass_s(LOOK_S), Retire)
    assert only(driver.gone(), StartExecutor)
    driver.loaded(2)
    driver.report(again)
    assert driver.status(again) == "succeeded"


# --- stops ----------------------------------------------------------------------------------------


def test_one_that_was_stopped_is_gone_and_its_name_is_free(driver: Holding) -> None:
    driver.up()
    driver.ask(StopInstance("instances:1"))
    with pytest.raises(InstanceGone):
        driver.call()
    assert driver.open("a") == "instances:2"


def test_what_takes_its_name_waits_for_the_end_of_its_process(driver: Holding) -> None:
    driver.up()
    driver.ask(StopInstance("instances:1"))
    driver.open("a")
    driver.call("instances:2")
    assert not only(driver.effects, StartExecutor)
    assert only(driver.gone(), StartExecutor)


def test_one_of_another_name_waits_for_nobody(driver: Holding) -> None:
    driver.up()
    driver.ask(StopInstance("instances:1"))
    driver.open("b")
    driver.call("instances:2")
    assert only(driver.effects, StartExecutor)


def test_whoever_waits_for_the_end_hears_when_it_is_over(driver: Holding) -> None:
    driver.up()
    token = driver.start(StopInstance("instances:1", wait=True))
    assert token not in driver.answers
    driver.gone()
    assert driver.answers[token].instance_id == "instances:1"


def test_nobody_waits_longer_for_the_end_than_said(driver: Holding) -> None:
    driver.up()
    driver.call()
    token = driver.start(StopInstance("instances:1", wait=True, timeout_s=3.0))
    driver.pass_s(3.0)
    assert driver.answers[token].instance_id == "instances:1"


def test_one_that_stops_itself_does_not_wait_for_its_own_end(driver: Holding) -> None:
    driver.up()
    job = driver.call()
    stop = StopInstance("instances:1", wait=True)
    assert driver.ask(stop, driver.inside(job)).instance_id == "instances:1"
    driver.report(job)
    assert driver.status(job) == "succeeded"
    assert only(driver.pass_s(LOOK_S), Retire)


def test_one_that_was_never_called_ends_at_once(driver: Holding) -> None:
    driver.open()
    driver.ask(StopInstance("instances:1", wait=True))
    assert driver.ask(ListInstances()) == ()


def test_a_process_that_still_starts_ends_when_it_has(driver: Holding) -> None:
    driver.open()
    driver.call()
    driver.ask(StopInstance("instances:1"))
    driver.recalled(1, 1)
    assert only([*driver.loaded(), *driver.pass_s(LOOK_S)], Retire)


# --- looking --------------------------------------------------------------------------------------


def test_instances_are_listed_by_app_and_class(driver: Holding) -> None:
    driver.open("a")
    driver.open(None)
    assert len(driver.ask(ListInstances("demo", "Counter"))) == 2
    assert driver.ask(ListInstances("demo", "Other")) == ()
    assert driver.ask(ListInstances("other")) == ()


def test_what_it_does_is_seen(driver: Holding) -> None:
    driver.up()
    driver.call()
    driver.call()
    seen = driver.seen("demo/Counter/a")
    assert (seen.queued, seen.running, seen.processes) == (1, 1, 1)


def test_what_becomes_of_it_is_told(driver: Holding) -> None:
    driver.up()
    driver.died()
    driver.ask(RestartInstance("instances:1"))
    feed = driver.plane.shared.feed.events
    start = feed.cursor.replace(seq=feed.first - 1)
    batch = driver.ask(ReadEvents("instances:1", start))
    assert [event.data["what"] for event in batch.events] == ["opened", "died", "restarted"]
    snapshot = driver.ask(ReadEvents("instances:1", snapshot=True)).events[0]
    assert (snapshot.event, snapshot.data["name"]) == ("instance.snapshot", "a")


def test_what_is_not_there_cannot_be_watched(driver: Holding) -> None:
    driver.open()
    with pytest.raises(NotFound):
        driver.ask(ReadEvents("instances:9"))


# --- deployments ----------------------------------------------------------------------------------


class Deployed(Holding):
    """A driver whose class is deployed."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.kind = "demo/Counter"
        self.deploy("1")

    def deploy(self, code: str, *more: str) -> None:
        functions = [DeployedFunction(FunctionSpec("demo", name), Payload(b"f")) for name in more]
        if code:
            functions.append(DeployedFunction(counter(), Payload(code.encode())))
        self.ask(Deploy("demo", tuple(functions)))


@pytest.fixture
def deployed() -> Deployed:
    return Deployed()


def test_with_a_new_version_it_is_made_of_that_when_its_process_has_ended(
    deployed: Deployed,
) -> None:
    deployed.up()
    running, waiting = deployed.call(), deployed.call()
    deployed.deploy("2")
    after = deployed.call()
    sent = jobs_sent(deployed.report(running))
    deployed.report(waiting)
    assert sent == [waiting]  # it was called when the old version was live
    assert only(deployed.pass_s(LOOK_S), Retire)
    [start] = only(deployed.gone(), StartExecutor)
    assert start.code.buffers == (b"args", b"2")
    deployed.loaded(2)
    deployed.report(after)
    assert deployed.seen().restarts == 0


def test_a_deployment_without_the_class_stops_its_instances(deployed: Deployed) -> None:
    deployed.up()
    deployed.deploy("", "f")
    with pytest.raises(InstanceGone):
        deployed.call()


def test_a_deployment_that_is_stopped_takes_its_instances_along(deployed: Deployed) -> None:
    deployed.up()
    running = deployed.call()
    deployed.ask(StopDeployment("demo"))
    assert only(deployed.pass_s(1.0), Interrupt) or deployed.job(running).stop == "cancel"
    with pytest.raises(InstanceGone):
        deployed.seen()


def test_a_deployment_counts_the_calls_of_its_instances(deployed: Deployed) -> None:
    deployed.up()
    deployed.call()
    deployed.call()
    [work] = deployed.ask(GetDeployment("demo")).functions
    assert (work.queued, work.running) == (1, 1)


def test_one_that_was_opened_by_the_name_of_its_class_keeps_to_that(deployed: Deployed) -> None:
    deployed.open()
    other = deployed.ask(RegisterFunction(counter(memory_mb=64), Payload(b"other")))
    deployed.ask(OpenInstance(other, Payload(b"args"), "(start=0)", "a"))
    assert deployed.plane.shared.part("instances").find("instances:1").home == "demo/Counter"  # type: ignore[attr-defined]


def test_one_that_was_not_is_made_of_the_latest_when_it_is_restarted(driver: Holding) -> None:
    driver.up()
    other = driver.ask(RegisterFunction(counter(memory_mb=64), Payload(b"other")))
    driver.ask(OpenInstance(other, Payload(b"args"), "(start=0)", "a"))
    driver.ask(RestartInstance("instances:1"))
    driver.call()
    [start] = only(driver.gone(), StartExecutor)
    assert start.code.buffers == (b"args", b"other")


# --- forgetting -----------------------------------------------------------------------------------


def test_one_without_a_name_is_forgotten_when_nobody_has_called_it_for_long(
    driver: Holding,
) -> None:
    driver.open(None)
    driver.call()
    driver.loaded()
    driver.report(1)
    driver.pass_s(IDLE_S + 1)
    driver.gone()
    driver.pass_s(3 * SWEEP_S)
    assert driver.ask(ListInstances()) == ()


def test_one_with_a_name_is_not(driver: Holding) -> None:
    driver.open()
    driver.pass_s(10 * SWEEP_S)
    assert len(driver.ask(ListInstances())) == 1


def test_its_function_goes_with_the_last_job_of_it(driver: Holding) -> None:
    job = driver.up()
    driver.ask(StopInstance("instances:1"))
    driver.gone()
    driver.pass_s(2 * SWEEP_S)
    assert len(driver.plane.pools) == 3
    driver.ask(ReleaseJob(f"jobs:{job}"))
    driver.pass_s(KEPT_S + 1)
    another = driver.submit()
    driver.loaded(2)
    driver.report(another)
    driver.ask(ReleaseJob(f"jobs:{another}"))  # those that are over for long go with it
    driver.pass_s(2 * SWEEP_S)
    assert len(driver.plane.pools) == 2
    assert not [key for key in driver.records if key == "function/3"]


# --- restarts of the control plane ----------------------------------------------------------------


def test_an_instance_outlives_the_control_plane_and_its_state_does_not(driver: Holding) -> None:
    driver.up()
    driver.restart()
    assert (driver.seen().name, driver.seen().status) == ("a", "dead")
    with pytest.raises(InstanceDead, match="control plane"):
        driver.call()


def test_with_restarts_left_it_goes_on() -> None:
    driver = Holding(CLASS.replace(max_restarts=3))
    driver.up()
    job = driver.call()
    waiting = driver.call()
    driver.restart()
    assert (driver.status(job), driver.seen().status) == ("lost", "live")
    driver.loaded(max(driver.plane.ledger.executors))
    driver.report(waiting)
    assert driver.look(waiting).function_name == "Counter.add"


def test_one_that_was_never_called_is_as_it_was(driver: Holding) -> None:
    driver.open()
    driver.restart()
    driver.call()
    assert only(driver.effects, StartExecutor)


def test_a_dead_one_stays_dead(driver: Holding) -> None:
    driver.up()
    driver.died()
    driver.restart()
    assert driver.seen().status == "dead"


def test_a_program_that_ends_in_order_leaves_its_instances_behind(driver: Holding) -> None:
    driver.open()
    driver.end()
    driver.restart()
    driver.kind = driver.ask(RegisterFunction(counter(), Payload(b"class")))
    assert driver.open() == "instances:1"
    driver.call()
    assert only(driver.effects, StartExecutor)


def test_a_class_that_is_not_there_any_more_is_told(driver: Holding) -> None:
    driver.open(None)
    driver.end()
    driver.restart()
    with pytest.raises(InstanceGone, match="cannot be made"):
        driver.call()


def test_numbers_are_never_given_again(driver: Holding) -> None:
    driver.open()
    driver.ask(StopInstance("instances:1"))
    driver.restart()
    driver.kind = driver.ask(RegisterFunction(counter(), Payload(b"class")))
    assert driver.open() == "instances:2"


class FarHolding(Far):
    """The same on an agent."""

    def __init__(self, cls: ClassSpec = CLASS) -> None:
        super().__init__()
        self.kind = self.ask(RegisterFunction(counter(cls=cls), Payload(b"class")))
        self.join()
        self.ask(OpenInstance(self.kind, Payload(b"args"), "(start=0)", "a"))

    def call(self) -> int:
        return int(self.ask(SubmitJob("instances:1", Payload(b"x"), method="add"))[5:])

    def up(self) -> HeldExecutor:
        """Its process is there and idle; what its agent says of it."""
        job = self.call()
        self.loads()
        self.accepts(job)
        it = self.job(job)
        held = HeldExecutor(it.executor, it.function.number, loaded=True)
        self.report(job)
        return held

    def seen(self) -> InstanceSnapshot:
        found: InstanceSnapshot = self.ask(GetInstance("instances:1"))
        return found


def test_a_process_on_an_agent_keeps_its_state_over_a_restart() -> None:
    driver = FarHolding()
    held = driver.up()
    driver.restart()
    driver.join("a", LARGE, held)
    driver.beat()
    job = driver.call()
    assert jobs_sent(driver.effects) == [job]
    assert (driver.seen().status, driver.seen().restarts) == ("live", 0)


def test_a_process_that_its_agent_does_not_have_any_more_is_lost() -> None:
    driver = FarHolding()
    driver.up()
    driver.restart()
    driver.join("a", LARGE)
    driver.beat()
    assert driver.seen().status == "dead"


def test_an_agent_that_is_lost_takes_the_instance_with_it() -> None:
    driver = FarHolding()
    driver.up()
    driver.leave()
    with pytest.raises(InstanceDead, match="machine that has gone"):
        driver.call()


def test_a_process_that_was_to_end_is_waited_for_after_a_restart() -> None:
    driver = FarHolding(CLASS.replace(max_restarts=3))
    driver.up()
    job = driver.call()
    driver.accepts(job)
    held = driver.held(job, BEGUN)
    driver.ask(StopInstance("instances:1"))
    driver.restart()
    kind = driver.ask(RegisterFunction(counter(), Payload(b"class")))
    driver.ask(OpenInstance(kind, Payload(b"args"), "(start=0)", "a"))
    driver.join("a", LARGE, held)
    driver.beat()
    driver.ask(SubmitJob("instances:2", Payload(b"x"), method="add"))
    assert not only(driver.effects, StartExecutor)
    driver.report(job)
    driver.pass_s(LOOK_S)
    assert only(driver.step(Ended(held.executor, "exit", exit_code=0)), StartExecutor)


def test_a_process_that_holds_something_makes_room_for_nobody() -> None:
    driver = FarHolding()
    driver.join("a", Capacity(1, 1024))
    driver.up()
    driver.submit()
    assert not only(driver.effects, Retire)


def test_where_nothing_is_kept_an_instance_lives_and_ends_the_same() -> None:
    driver = Driver()
    kind = driver.ask(RegisterFunction(counter(), Payload(b"class")))
    for name in ("a", None):
        driver.ask(OpenInstance(kind, Payload(b"args"), "(start=0)", name))
    job = int(driver.ask(SubmitJob("instances:1", Payload(b"x"), method="add"))[5:])
    driver.loaded()
    driver.report(job)
    driver.ask(ReleaseJob(f"jobs:{job}"))
    driver.ask(StopInstance("instances:1"))
    driver.step(Ended(1, "exit", exit_code=0))
    driver.pass_s(KEPT_S + 1)
    another = driver.submit()
    driver.loaded(2)
    driver.report(another)
    driver.ask(ReleaseJob(f"jobs:{another}"))
    driver.pass_s(3 * SWEEP_S)
    assert driver.ask(ListInstances()) == ()
    assert len(driver.plane.pools) == 2


def test_a_deployment_without_a_class_leaves_instances_of_others(deployed: Deployed) -> None:
    deployed.up()
    other = deployed.ask(RegisterFunction(counter(memory_mb=64), Payload(b"other")))
    deployed.ask(OpenInstance(other, Payload(b"args"), "(start=0)", "b"))
    deployed.deploy("", "f")
    assert [it.name for it in deployed.ask(ListInstances())] == ["b"]


def test_what_takes_the_place_of_another_waits_for_that_after_a_restart_too() -> None:
    driver = FarHolding(CLASS.replace(max_restarts=3))
    driver.up()
    job = driver.call()
    driver.accepts(job)
    held = driver.held(job, BEGUN)
    driver.ask(RestartInstance("instances:1"))
    after = driver.call()
    driver.restart()
    driver.join("a", LARGE, held)
    driver.beat()
    assert not only(driver.effects, StartExecutor)
    driver.report(job)
    driver.pass_s(LOOK_S)
    assert only(driver.step(Ended(held.executor, "exit", exit_code=0)), StartExecutor)
    assert driver.status(after) == "dispatched"


def test_a_process_that_is_to_end_while_its_line_is_taken_back_ends_after_that(
    driver: Holding,
) -> None:
    driver.up()
    first, second = driver.call(), driver.call()
    driver.cancel(first)
    driver.plane.scheduler.recall(driver.plane.ledger.executors[1])
    driver.plane.scheduler.effects.clear()
    driver.ask(StopInstance("instances:1"))
    driver.report(first)
    driver.pass_s(2 * LOOK_S)
    assert driver.status(second) == "cancelled"
    assert only([*driver.recalled(1), *driver.pass_s(LOOK_S)], Retire)


# --- calls of itself ------------------------------------------------------------------------------


def waits_for(driver: Holding, caller: int, instance: str) -> Any:
    """Code of a call calls a method of an object, and waits; what that is answered with."""
    origin = driver.inside(caller)
    command = SubmitJob(instance, Payload(b"x"), method="add")
    job = int(driver.ask(command, origin)[5:])
    return driver.answers.get(driver.wait(job, origin))


def test_an_object_that_calls_itself_is_told_so(driver: Holding) -> None:
    driver.up()
    answer = waits_for(driver, driver.call(), "instances:1")
    assert isinstance(answer, SlotDeadlock)
    assert "(Counter.add) is for an object that is busy" in str(answer)


def test_objects_that_call_each_other_in_a_ring_are_told_so(driver: Holding) -> None:
    driver.up()
    driver.open("b")
    first, second = driver.call(), driver.call("instances:2")
    driver.loaded(2)
    assert waits_for(driver, first, "instances:2") is None
    assert isinstance(waits_for(driver, second, "instances:1"), SlotDeadlock)


def test_an_object_may_wait_for_another(driver: Holding) -> None:
    driver.up()
    driver.open("b")
    assert waits_for(driver, driver.call(), "instances:2") is None


def test_an_object_that_takes_several_calls_may_call_itself() -> None:
    driver = Holding(concurrent_requests=2)
    driver.up()
    assert waits_for(driver, driver.call(), "instances:1") is None


def test_a_shared_one_may_call_its_like(driver: Holding) -> None:
    driver.open(None)
    driver.open("other")
    driver.call("instances:2")
    job = driver.call()
    driver.loaded(1)
    driver.loaded(2)
    assert waits_for(driver, job, "instances:1") is None


def test_what_was_called_outlives_its_class_when_a_program_ends_in_order(driver: Holding) -> None:
    driver.up()
    driver.end()
    driver.restart()
    assert len(driver.plane.pools) == 1  # its own function, and not its class
    assert (driver.seen().name, driver.seen().status) == ("a", "dead")
