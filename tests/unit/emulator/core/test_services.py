"""Services: when their processes start and end, who listens where, and who is told of it."""

from __future__ import annotations

from typing import Any

import pytest

from apothic_backends.commands import ReadEvents, RegisterFunction, SubmitJob
from apothic_backends.commands.deployments import (
    DeleteDeployment,
    Deploy,
    RollbackDeployment,
    StopDeployment,
)
from apothic_backends.commands.services import GetService, ListServices, StartService, StopService
from apothic_backends.model.deployments import DeployedFunction
from apothic_backends.model.errors import InvalidOption, NotFound, UsageError
from apothic_backends.model.functions import FunctionSpec
from apothic_backends.model.jobs import ErrorInfo
from apothic_backends.model.payloads import Payload
from apothic_backends.model.services import ServiceSnapshot, ServiceSpec
from apothic_emulator.core.doors import Listen, Listening, Reach, Refuse, Rouse, Roused, Unlisten
from apothic_emulator.core.effects import DumpStack, Effect, FindGpus, Kill, Retire, StartExecutor
from apothic_emulator.core.executors import RETIRE_S
from apothic_emulator.core.facts import Ended, LoadFailed, Printed, Said
from apothic_emulator.core.hellos import Gpu, GpusFound
from apothic_emulator.core.served import REST_S
from apothic_emulator.core.services import LISTEN_S, PLACE_S
from tests.unit.emulator.core.driving import Driver, kinds, only
from tests.unit.emulator.core.restarting import Restarting

WEB = ServiceSpec("asgi")
NAME = "demo/web"
BROKEN = ErrorInfo("setup_failed", "web cannot be loaded: boom")


def web(code: str = "1", spec: ServiceSpec = WEB, **options: Any) -> DeployedFunction:
    return DeployedFunction(
        FunctionSpec("demo", "web", service=spec, **options), Payload(code.encode())
    )


def fn(name: str = "f") -> DeployedFunction:
    return DeployedFunction(FunctionSpec("demo", name), Payload(b"1"))


class Serving(Restarting):
    """A driver with a service that listens at port 4000."""

    def deploy(self, *functions: DeployedFunction) -> list[Effect]:
        self.ask(Deploy("demo", functions or (web(),)))
        return self.effects

    def listens(self, port: int = 4000, note: str = "") -> list[Effect]:
        self.start(Listening(NAME, port, note))
        return self.effects

    def roused(self) -> list[Effect]:
        self.start(Roused(NAME))
        return self.effects

    def up(self) -> None:
        """Deployed, and a process is ready."""
        self.deploy()
        self.listens()
        self.roused()
        self.loaded()

    def seen(self) -> ServiceSnapshot:
        found: ServiceSnapshot = self.ask(GetService(NAME))
        return found

    def said(self, executor: int, word: str) -> list[Effect]:
        return self.step(Said(executor, word))

    def fails(self, executor: int = 1) -> list[Effect]:
        """It cannot be loaded, and ends."""
        self.step(LoadFailed(executor, BROKEN))
        return self.gone(executor)

    def gone(self, executor: int = 1) -> list[Effect]:
        return self.step(Ended(executor, "exit", exit_code=0))

    def whats(self) -> list[str]:
        feed = self.plane.shared.feed.events
        start = feed.cursor.replace(seq=feed.first - 1)
        batch = self.ask(ReadEvents(f"services:{NAME}", start))
        return [event.data.get("what", event.event) for event in batch.events]


@pytest.fixture
def driver() -> Serving:
    return Serving()


# --- addresses ----------------------------------------------------------------------------------


def test_a_service_that_is_deployed_is_listened_for(driver: Serving) -> None:
    assert driver.deploy() == [Listen(NAME, 0)]


def test_its_address_is_told_as_soon_as_it_is_known(driver: Serving) -> None:
    driver.deploy()
    token = driver.start(GetService(NAME))
    assert token not in driver.answers

    driver.listens(4000)

    assert driver.answers[token].url == "http://127.0.0.1:4000"


def test_nobody_waits_for_ever_for_an_address(driver: Serving) -> None:
    driver.deploy()
    token = driver.start(GetService(NAME))

    driver.pass_s(20.0)

    assert driver.answers[token].url is None


def test_why_it_cannot_listen_is_told(driver: Serving) -> None:
    driver.deploy()
    token = driver.start(GetService(NAME))

    driver.listens(0, "it cannot listen: no descriptors")

    assert (driver.answers[token].url, driver.answers[token].note) == (
        None,
        "it cannot listen: no descriptors",
    )


def test_whoever_asks_later_is_told_at_once_why_it_cannot_listen(driver: Serving) -> None:
    driver.deploy()
    driver.listens(0, "it cannot listen: no descriptors")

    token = driver.start(GetService(NAME))

    assert driver.answers[token].note == "it cannot listen: no descriptors"


def test_with_its_next_version_it_is_tried_again_to_listen(driver: Serving) -> None:
    driver.deploy()
    driver.listens(0, "it cannot listen: no descriptors")

    assert driver.deploy(web("2")) == [Listen(NAME, 0)]

    token = driver.start(GetService(NAME))
    assert token not in driver.answers


def test_a_door_that_could_not_be_opened_is_tried_again(driver: Serving) -> None:
    driver.deploy()
    driver.listens(0, "it cannot listen: no descriptors")

    assert driver.pass_s(LISTEN_S / 2) == []
    assert driver.pass_s(LISTEN_S / 2) == [Listen(NAME, 0)]
    assert driver.pass_s(LISTEN_S) == []


def test_who_starts_a_service_is_told_that_it_cannot_listen(driver: Serving) -> None:
    driver.deploy()
    token = driver.start(StartService(NAME, wait=True))

    driver.listens(0, "it cannot listen: no descriptors")

    assert driver.answers[token].note == "it cannot listen: no descriptors"


def test_a_door_is_closed_that_was_about_to_be_opened(driver: Serving) -> None:
    driver.deploy()
    driver.ask(StopService(NAME))

    assert driver.effects == [Unlisten(NAME)]
    assert driver.listens() == []
    assert driver.seen().url is None


def test_a_service_that_is_not_there_is_an_error_that_lists_those_that_are(driver: Serving) -> None:
    driver.deploy()

    with pytest.raises(NotFound, match="no service 'demo/x' here; there are: demo/web"):
        driver.ask(GetService("demo/x"))


def test_services_are_listed_by_app(driver: Serving) -> None:
    driver.deploy(web(), fn())

    assert [it.service_id for it in driver.ask(ListServices("demo"))] == [NAME]
    assert driver.ask(ListServices("other")) == ()
    assert len(driver.ask(ListServices())) == 1


# --- waking -------------------------------------------------------------------------------------


def test_nothing_runs_before_somebody_connects(driver: Serving) -> None:
    driver.deploy()

    assert driver.listens() == []
    assert (driver.seen().status, driver.seen().processes) == ("asleep", 0)


def test_the_first_connection_has_a_process_started(driver: Serving) -> None:
    driver.deploy()
    driver.listens()

    assert kinds(driver.roused()) == ["StartExecutor"]
    assert driver.seen().status == "starting"
    driver.loaded()
    assert (driver.seen().status, driver.seen().processes) == ("up", 1)


def test_one_process_is_enough_for_several_connections(driver: Serving) -> None:
    driver.deploy()
    driver.listens()
    driver.roused()

    assert driver.roused() == []


def test_a_process_that_ends_is_counted_until_it_is_gone(driver: Serving) -> None:
    driver.up()

    driver.said(1, "rests")
    assert driver.seen().processes == 1
    driver.gone()
    assert driver.seen().processes == 0


def test_a_process_that_rests_ends_and_the_next_connection_is_told_of(driver: Serving) -> None:
    driver.up()

    assert driver.said(1, "rests") == [Retire(1)]
    assert driver.gone() == [Rouse(NAME)]
    assert driver.seen().status == "asleep"
    assert kinds(driver.roused()) == ["StartExecutor"]


def test_a_process_without_requests_is_not_ended_by_others_than_itself(driver: Serving) -> None:
    driver.up()

    assert driver.pass_s(86_400.0) == []


def test_a_process_that_dies_is_replaced_at_the_next_connection(driver: Serving) -> None:
    driver.up()

    assert driver.died() == [Rouse(NAME)]
    assert driver.seen().stale == ""


def test_a_process_that_does_not_end_within_its_grace_is_killed(driver: Serving) -> None:
    driver.up()
    driver.said(1, "rests")

    assert driver.pass_s(34.0) == []
    assert driver.pass_s(2.0) == [Kill(1)]


def test_who_is_crowded_gets_company_up_to_the_limit(driver: Serving) -> None:
    driver.deploy(web(max_containers=2))
    driver.listens()
    driver.roused()
    driver.loaded()

    assert kinds(driver.said(1, "crowded")) == ["StartExecutor"]
    assert driver.said(1, "crowded") == []
    driver.loaded(2)
    assert driver.said(1, "crowded") == []


def test_who_is_crowded_on_an_old_version_gets_no_company(driver: Serving) -> None:
    driver.deploy(web(max_containers=3))
    driver.listens()
    driver.roused()
    driver.loaded()
    driver.deploy(web("2", max_containers=3))

    assert driver.said(1, "crowded") == []


def test_what_a_process_says_that_is_about_to_end_changes_nothing(driver: Serving) -> None:
    driver.up()
    driver.said(1, "rests")

    assert driver.said(1, "crowded") == []


def test_who_needs_what_those_before_have_has_them_end(driver: Serving) -> None:
    driver.up()
    driver.deploy(web("2"))

    assert driver.said(2, "taken") == [Retire(1)]


def test_who_is_not_needed_any_more_has_nobody_end(driver: Serving) -> None:
    driver.up()
    driver.deploy(web("2"))
    driver.deploy(web("3"))

    assert driver.said(2, "taken") == []


def test_who_needs_what_others_have_and_is_wanted_again_has_those_end(driver: Serving) -> None:
    driver.up()
    driver.deploy(web("2"))
    driver.said(2, "taken")
    driver.deploy(web("3"))
    driver.ask(RollbackDeployment("demo", 2))

    assert Retire(3) in driver.loaded(3)
    assert driver.seen().version == 4


# --- failures -----------------------------------------------------------------------------------


def test_who_waits_for_a_process_that_cannot_start_is_refused(driver: Serving) -> None:
    driver.deploy()
    driver.listens()
    driver.roused()

    assert driver.fails() == [Refuse(NAME, BROKEN.message)]
    assert (driver.seen().status, driver.seen().stale) == ("failed", BROKEN.message)


def test_after_a_rest_the_next_connection_tries_again(driver: Serving) -> None:
    driver.deploy()
    driver.listens()
    driver.roused()
    driver.fails()

    assert driver.pass_s(REST_S) == [Rouse(NAME)]
    assert kinds(driver.roused()) == ["StartExecutor"]
    driver.loaded(2)
    assert (driver.seen().status, driver.seen().stale) == ("up", "")


def test_the_rest_doubles_with_each_failure(driver: Serving) -> None:
    driver.deploy()
    driver.listens()
    for number in (1, 2):
        driver.roused()
        driver.fails(number)
        if number == 1:
            driver.pass_s(REST_S)

    assert driver.pass_s(REST_S) == []
    assert driver.pass_s(REST_S) == [Rouse(NAME)]


def test_a_connection_during_the_rest_waits_for_its_end(driver: Serving) -> None:
    driver.deploy()
    driver.listens()
    driver.roused()
    driver.fails()

    assert driver.roused() == []
    assert driver.pass_s(REST_S) == [Rouse(NAME)]


def test_however_often_it_has_failed_there_is_a_next_time(driver: Serving) -> None:
    driver.deploy()
    driver.listens()
    for number in range(1, 12):
        driver.roused()
        driver.fails(number)
        driver.pass_s(30.0)
    driver.plane.shared.services.services[NAME].failures = 5_000

    driver.roused()

    assert driver.fails(12) == [Refuse(NAME, BROKEN.message)]


def test_a_process_that_ends_before_it_is_ready_says_how(driver: Serving) -> None:
    driver.deploy()
    driver.listens()
    driver.roused()
    driver.step(Ended(1, "exit", exit_code=3, detail="so it goes"))

    assert driver.seen().stale == (
        "web cannot be started: its process ended with exit code 3 before it was ready (so it goes)"
    )


def test_a_process_that_is_killed_before_it_is_ready_says_so(driver: Serving) -> None:
    driver.deploy()
    driver.listens()
    driver.roused()
    driver.died()

    assert "signal 9" in driver.seen().stale


def test_a_start_that_takes_too_long_is_given_up(driver: Serving) -> None:
    driver.deploy(web(spec=WEB.replace(start_timeout_s=5.0)))
    driver.listens()
    driver.roused()
    driver.pass_s(6.0)
    driver.died()

    assert "took longer than 5 s" in driver.seen().stale
    assert "service_startup_timeout_s" in driver.seen().stale


def test_what_it_prints_is_kept(driver: Serving) -> None:
    driver.up()
    driver.step(Printed(1, 0, "stdout", "loading\n"), Printed(1, 0, "stderr", "oh\n"))

    assert driver.seen().log == "loading\noh\n"


def test_a_rest_is_not_cut_short_by_other_deadlines(driver: Serving) -> None:
    driver.deploy()
    driver.listens()
    driver.roused()
    driver.fails()
    driver.plane.scheduler.wake_at(driver.now + REST_S / 2)

    assert driver.pass_s(REST_S * 0.75) == []
    assert driver.pass_s(REST_S * 0.25) == [Rouse(NAME)]


# --- versions -----------------------------------------------------------------------------------


def test_a_new_version_starts_beside_the_old_one_which_then_ends(driver: Serving) -> None:
    driver.up()

    assert kinds(driver.deploy(web("2"))) == ["StartExecutor"]
    assert driver.seen().status == "up"
    assert driver.loaded(2) == [Retire(1)]
    assert driver.gone(1) == []
    assert (driver.seen().version, driver.seen().processes) == (2, 1)


def test_a_service_that_sleeps_sleeps_on_with_a_new_version(driver: Serving) -> None:
    driver.deploy()
    driver.listens()

    assert driver.deploy(web("2")) == []
    assert driver.seen().url == "http://127.0.0.1:4000"


def test_while_a_new_version_cannot_start_the_old_one_goes_on(driver: Serving) -> None:
    driver.up()
    driver.deploy(web("2"))

    assert driver.fails(2) == []
    assert (driver.seen().status, driver.seen().stale) == ("up", BROKEN.message)


def test_a_version_that_is_replaced_before_it_is_ready_is_stopped(driver: Serving) -> None:
    driver.up()
    driver.deploy(web("2"))
    driver.deploy(web("3"))

    assert driver.loaded(3) == [Retire(1)]
    assert driver.pass_s(RETIRE_S) == [DumpStack(2)]
    driver.gone(2)
    assert driver.seen().stale == ""


def test_a_version_that_is_ready_too_late_is_not_used(driver: Serving) -> None:
    driver.up()
    driver.deploy(web("2"))
    driver.deploy(web("3"))

    assert driver.loaded(2) == [Retire(2)]


def test_one_that_was_ready_as_the_next_version_came_goes_on_till_that_is(driver: Serving) -> None:
    driver.deploy()
    driver.listens()
    driver.roused()
    driver.deploy(web("2"))

    assert driver.loaded(1) == []
    assert driver.seen().status == "up"
    assert driver.loaded(2) == [Retire(1)]


def test_a_rollback_before_the_new_version_is_ready_keeps_the_old_process(driver: Serving) -> None:
    driver.up()
    driver.deploy(web("2"))
    driver.ask(RollbackDeployment("demo"))

    assert driver.pass_s(RETIRE_S) == [DumpStack(2)]
    assert (driver.seen().version, driver.seen().status) == (3, "up")


def test_functions_beside_it_do_not_matter(driver: Serving) -> None:
    driver.up()

    assert kinds(driver.deploy(web(), fn())) == ["StartExecutor"]
    driver.pass_s(5.0)
    assert driver.seen().processes == 2


def test_a_version_without_the_service_ends_it(driver: Serving) -> None:
    driver.up()

    assert driver.deploy(fn()) == [Unlisten(NAME), Retire(1)]
    with pytest.raises(NotFound):
        driver.seen()
    driver.gone(1)
    assert driver.plane.shared.part("services").services == {}  # type: ignore[attr-defined]


def test_all_of_its_processes_end_with_it(driver: Serving) -> None:
    driver.deploy(web(max_containers=2))
    driver.listens()
    driver.roused()
    driver.loaded()
    driver.said(1, "crowded")
    driver.loaded(2)

    assert driver.deploy(fn()) == [Unlisten(NAME), Retire(1), Retire(2)]
    driver.gone(1)
    driver.gone(2)


def test_a_name_that_was_a_service_may_be_a_function(driver: Serving) -> None:
    driver.up()
    driver.deploy(fn("web"))

    driver.ask(SubmitJob(NAME, Payload(b"x")))


def test_a_service_that_comes_back_listens_again(driver: Serving) -> None:
    driver.up()
    driver.deploy(fn())

    assert driver.deploy(web("2")) == [Listen(NAME, 4000)]
    driver.listens()
    assert driver.seen().processes == 1


def test_one_that_was_stopped_is_as_new_when_it_is_deployed_again(driver: Serving) -> None:
    driver.up()
    driver.ask(StopService(NAME))
    driver.deploy(fn())

    assert driver.deploy(web("2")) == [Listen(NAME, 4000)]


def test_it_may_end_while_a_process_of_it_rests(driver: Serving) -> None:
    driver.up()
    driver.said(1, "rests")
    driver.deploy(fn())

    driver.gone(1)

    assert driver.ask(ListServices()) == ()


def test_who_waits_for_its_end_waits_for_those_that_rest(driver: Serving) -> None:
    driver.up()
    driver.said(1, "rests")
    driver.deploy(web("2"))
    token = driver.start(StopService(NAME, wait=True))
    assert token not in driver.answers

    driver.gone(1)

    assert driver.answers[token].processes == 0


def test_whoever_knocks_while_the_old_version_drains_is_heard(driver: Serving) -> None:
    driver.up()
    driver.deploy(web("2"))
    driver.loaded(2)

    assert driver.died(2) == [Rouse(NAME)]


def test_the_end_of_its_deployment_ends_it(driver: Serving) -> None:
    driver.up()
    driver.ask(StopDeployment("demo"))

    assert driver.effects == [Unlisten(NAME), Retire(1)]


def test_a_deployment_that_is_deleted_takes_it_along(driver: Serving) -> None:
    driver.deploy()
    driver.ask(DeleteDeployment("demo"))

    with pytest.raises(NotFound):
        driver.seen()


def test_whoever_waits_for_something_of_it_hears_that_it_is_gone(driver: Serving) -> None:
    driver.up()
    token = driver.start(StopService(NAME, wait=True))
    driver.ask(DeleteDeployment("demo"))

    assert isinstance(driver.answers[token], NotFound)


def test_a_service_that_comes_back_before_its_processes_have_ended_is_the_same(
    driver: Serving,
) -> None:
    driver.up()
    driver.deploy(fn())
    driver.deploy(web("2"))

    driver.gone(1)
    driver.listens()

    assert driver.seen().processes == 0


def test_without_a_store_nothing_is_written_down() -> None:
    driver = Driver()
    driver.ask(Deploy("demo", (web(),)))
    driver.ask(DeleteDeployment("demo"))

    assert driver.effects == [Unlisten(NAME)]


# --- start and stop -----------------------------------------------------------------------------


def test_a_service_that_is_stopped_listens_no_more_and_finishes_what_it_has_begun(
    driver: Serving,
) -> None:
    driver.up()

    done = driver.ask(StopService(NAME))

    assert driver.effects == [Unlisten(NAME), Retire(1)]
    assert (done.status, done.desired, done.url) == ("stopped", "stopped", None)


def test_whoever_waits_for_its_end_hears_of_it(driver: Serving) -> None:
    driver.up()
    token = driver.start(StopService(NAME, wait=True))
    assert token not in driver.answers

    driver.gone()

    assert driver.answers[token].processes == 0
    assert driver.ask(StopService(NAME, wait=True)).status == "stopped"


def test_a_stopped_service_stays_so_with_the_next_version(driver: Serving) -> None:
    driver.up()
    driver.ask(StopService(NAME))

    assert driver.deploy(web("2")) == []
    assert driver.seen().status == "stopped"


def test_it_is_started_again_where_it_was(driver: Serving) -> None:
    driver.up()
    driver.ask(StopService(NAME))
    driver.gone()

    driver.ask(StartService(NAME))

    assert driver.effects == [Listen(NAME, 4000)]
    driver.listens()
    assert driver.seen().status == "asleep"


def test_whoever_starts_it_may_wait_until_it_is_up(driver: Serving) -> None:
    driver.deploy()
    token = driver.start(StartService(NAME, wait=True))

    assert kinds(driver.listens()) == ["StartExecutor"]
    driver.loaded()

    assert driver.answers[token].status == "up"
    assert driver.ask(StartService(NAME, wait=True)).status == "up"


def test_whoever_waits_for_a_start_hears_that_it_failed(driver: Serving) -> None:
    driver.deploy()
    driver.listens()
    token = driver.start(StartService(NAME, wait=True))
    driver.fails()

    assert (driver.answers[token].status, driver.answers[token].stale) == ("failed", BROKEN.message)


def test_whoever_waits_too_long_hears_how_it_is_then(driver: Serving) -> None:
    driver.deploy()
    token = driver.start(StartService(NAME, wait=True, timeout_s=5.0))
    driver.listens()

    driver.pass_s(6.0)

    assert (driver.answers[token].status, driver.answers[token].processes) == ("starting", 1)


def test_a_stop_ends_the_wait_for_a_start(driver: Serving) -> None:
    driver.deploy()
    driver.listens()
    token = driver.start(StartService(NAME, wait=True))
    driver.ask(StopService(NAME))

    assert driver.answers[token].status == "stopped"


def test_a_process_that_is_ready_soon_after_the_stop_ends_by_itself(driver: Serving) -> None:
    driver.deploy()
    driver.listens()
    driver.roused()

    driver.ask(StopService(NAME))

    assert driver.effects == [Unlisten(NAME)]
    assert driver.loaded(1) == [Retire(1)]


def test_a_process_that_is_not_ready_soon_after_the_stop_is_stopped(driver: Serving) -> None:
    driver.deploy()
    driver.listens()
    driver.roused()

    driver.ask(StopService(NAME))

    assert driver.pass_s(RETIRE_S) == [DumpStack(1)]


def test_news_of_a_door_that_is_closed_count_for_nothing(driver: Serving) -> None:
    driver.deploy()
    driver.ask(StopService(NAME))

    assert driver.listens() == []
    assert driver.roused() == []
    assert driver.seen().url is None


# --- places -------------------------------------------------------------------------------------


def test_a_service_that_no_machine_can_run_says_why(driver: Serving) -> None:
    driver.deploy(web(gpu_count=1, gpu=("H100",)))
    driver.listens()
    assert kinds(driver.roused()) == ["FindGpus"]
    driver.start(GpusFound((), "there is no driver"))

    effects = driver.pass_s(PLACE_S)

    assert kinds(effects) == ["Refuse"]
    assert "H100" in driver.seen().stale


def test_a_process_waits_for_its_place(driver: Serving) -> None:
    driver.deploy(web(gpu_count=1))
    driver.listens()
    driver.roused()

    effects = driver.pass_s(5 * PLACE_S)

    assert only(effects, StartExecutor) == only(effects, FindGpus) == []
    assert driver.seen().status == "asleep"


def test_executors_without_work_make_room_for_it(driver: Serving) -> None:
    gpu = Gpu("GPU-1", "NVIDIA H100 80GB HBM3", 81_559)
    driver.submit(driver.register("g", gpu_count=1))
    driver.start(GpusFound((gpu,), ""))
    driver.loaded()
    driver.report(1)
    driver.deploy(web(gpu_count=1))
    driver.listens()

    assert driver.roused() == [Retire(1)]
    driver.gone(1)
    assert kinds(driver.pass_s(PLACE_S)) == ["StartExecutor"]


def test_a_machine_that_cannot_load_its_code_is_named(driver: Serving) -> None:
    driver.plane.scheduler.agents.home.python = "3.11"
    driver.deploy(web(python="3.99"))
    driver.listens()
    driver.roused()

    assert "3.99" in driver.seen().stale


# --- calls, and bad input -----------------------------------------------------------------------


def test_a_service_takes_no_calls(driver: Serving) -> None:
    driver.deploy()

    with pytest.raises(UsageError, match="is a service"):
        driver.ask(SubmitJob(NAME, Payload(b"x")))


def test_a_service_is_deployed_and_not_registered(driver: Serving) -> None:
    with pytest.raises(UsageError, match="is deployed"):
        driver.ask(RegisterFunction(web().spec, Payload(b"1")))


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("shape", "ftp"),
        ("keep_warm_s", -1.0),
        ("start_timeout_s", 0.0),
        ("grace_s", 1e6),
        ("port", 65536),
    ],
)
def test_an_option_that_cannot_be_meant_is_refused(
    driver: Serving, option: str, value: object
) -> None:
    with pytest.raises(InvalidOption, match=option):
        driver.deploy(web(spec=WEB.replace(**{option: value})))


# --- watches and restarts -----------------------------------------------------------------------


def test_what_happens_to_it_can_be_watched(driver: Serving) -> None:
    driver.up()
    driver.said(1, "rests")
    driver.gone()
    driver.ask(StopService(NAME))

    assert driver.whats() == ["deployed", "listens", "starts", "up", "ended", "stopped"]


def test_a_watch_begins_with_what_it_is(driver: Serving) -> None:
    driver.up()
    batch = driver.ask(ReadEvents(f"services:{NAME}", snapshot=True))

    assert [event.event for event in batch.events] == ["service.snapshot"]
    assert batch.events[0].data["status"] == "up"


def test_a_watch_goes_on_from_an_event(driver: Serving) -> None:
    driver.up()
    token = driver.start(ReadEvents(f"services:{NAME}"))
    driver.ask(StopService(NAME))

    assert [event.data["what"] for event in driver.answers[token].events] == ["stopped"]


def test_what_is_not_there_cannot_be_watched(driver: Serving) -> None:
    with pytest.raises(NotFound):
        driver.ask(ReadEvents("services:demo/x"))


def test_a_restart_listens_where_it_was(driver: Serving) -> None:
    driver.up()

    effects = driver.restart()

    assert effects == [Listen(NAME, 4000)]
    driver.listens()
    assert driver.seen().status == "asleep"


def test_a_restart_knows_what_was_stopped(driver: Serving) -> None:
    driver.up()
    driver.ask(StopService(NAME))

    assert driver.restart() == []
    assert driver.seen().status == "stopped"


@pytest.mark.parametrize("is_reversed", [False, True])
def test_in_whatever_order_records_come_back(driver: Serving, is_reversed: bool) -> None:
    driver.up()
    driver.ask(StopService(NAME))
    driver.records = dict(sorted(driver.records.items(), reverse=is_reversed))

    driver.restart()

    assert driver.seen().status == "stopped"
    driver.ask(StartService(NAME))
    assert driver.effects == [Listen(NAME, 4000)]


def test_a_restart_knows_nothing_of_what_was_deleted(driver: Serving) -> None:
    driver.up()
    driver.ask(DeleteDeployment("demo"))
    driver.restart()

    assert driver.ask(ListServices()) == ()
    assert not any(key.startswith("services/") for key in driver.records)


def test_a_record_that_no_deployment_claims_is_dropped(driver: Serving) -> None:
    driver.up()
    driver.records = {k: v for k, v in driver.records.items() if not k.startswith("deployments")}

    driver.restart()

    assert not any(key.startswith("services/") for key in driver.records)


def test_an_executor_that_serves_nothing_has_nothing_to_say(driver: Serving) -> None:
    driver.ran()

    assert driver.said(1, "rests") == [Kill(1)]


# --- who may ask ----------------------------------------------------------------------------------

PUBLIC = web("2", WEB.replace(public=True))


def test_whoever_listens_is_told_whether_anybody_may_ask(driver: Serving) -> None:
    assert driver.deploy(PUBLIC) == [Listen(NAME, 0, is_public=True)]


def test_it_is_told_when_the_next_version_may_be_asked_by_anybody(driver: Serving) -> None:
    driver.deploy()
    driver.listens()

    assert driver.deploy(PUBLIC) == [Reach(NAME, (), is_public=True)]


def test_nobody_else_gets_in_while_code_runs_that_is_not_public(driver: Serving) -> None:
    driver.up()
    assert only(driver.deploy(PUBLIC), Reach) == []
    assert only(driver.loaded(2), Reach) == []

    assert only(driver.gone(1), Reach) == [Reach(NAME, (), is_public=True)]


def test_nobody_else_gets_in_from_the_moment_that_a_version_is_not_public(driver: Serving) -> None:
    driver.deploy(PUBLIC)
    driver.listens()
    driver.roused()
    driver.loaded()

    assert only(driver.deploy(web("3")), Reach) == [Reach(NAME, ())]


def test_what_listens_says_by_which_url_it_is_known(driver: Serving) -> None:
    driver.deploy()
    driver.start(Listening(NAME, 4000, url="https://example.org:4000"))

    assert driver.seen().url == "https://example.org:4000"
