"""Sandboxes: instances that end by themselves, once, and are never made again."""

from __future__ import annotations

import pytest

from apothic_backends.commands import RegisterFunction
from apothic_backends.commands.instances import ListInstances, RestartInstance, StopInstance
from apothic_backends.model.errors import InvalidOption, UsageError
from apothic_backends.model.instances import InstanceConflict, InstanceDead, InstanceGone
from apothic_backends.model.jobs import ErrorInfo
from apothic_backends.model.payloads import Payload
from apothic_emulator.core.effects import Interrupt, Retire
from apothic_emulator.core.instance import Instance
from apothic_emulator.core.records import pack, unpack
from apothic_emulator.core.sandboxes import MOST_TAG, MOST_TAGS, TOLD_S
from tests.unit.emulator.core.driving import only
from tests.unit.emulator.core.test_instances import CLASS, FarHolding, Holding, counter

SANDBOX = CLASS.replace(is_sandbox=True, lifetime_s=60.0, keep_warm_s=10.0)


@pytest.fixture
def driver() -> Holding:
    return Holding(SANDBOX, concurrent_requests=2)


def test_it_says_what_it_is_and_when_it_ends(driver: Holding) -> None:
    driver.open("a", tags=(("run", "1"),))
    seen = driver.seen()
    assert (seen.is_sandbox, seen.tags, seen.reason) == (True, (("run", "1"),), "")
    assert seen.expires_at == seen.created_at + 60.0


def test_an_instance_of_a_class_is_none(driver: Holding) -> None:
    driver = Holding()
    driver.open()
    assert (driver.seen().is_sandbox, driver.seen().expires_at) == (False, None)


def test_it_ends_when_its_time_is_over_and_stops_what_runs(driver: Holding) -> None:
    driver.up()
    running, other, waiting = driver.call(), driver.call(), driver.call()
    effects = driver.pass_s(60.0)
    assert len(only(effects, Interrupt)) == 2
    for job in (running, other):
        driver.report(job, error=ErrorInfo("user_error", "stopped"))
    assert (driver.seen().status, driver.seen().reason) == ("dead", "expired")
    assert [driver.status(job) for job in (running, waiting)] == ["cancelled", "failed"]
    assert driver.code_of(waiting) == "instance_dead"
    with pytest.raises(InstanceDead, match=r"60 s are over.*make another one"):
        driver.call()


def test_its_process_ends_with_it(driver: Holding) -> None:
    driver.up()
    driver.call()
    driver.pass_s(5.0)
    driver.report(2)
    assert only(driver.pass_s(60.0), Retire)


def test_one_that_nobody_has_called_ends_too(driver: Holding) -> None:
    driver.open()
    driver.pass_s(60.0)
    assert driver.seen().reason == "expired"


def test_its_time_counts_from_when_it_has_its_process(driver: Holding) -> None:
    driver.open("a")
    driver.pass_s(50.0)
    driver.up()
    assert driver.seen().expires_at == driver.seen().created_at + 50.0 + 60.0
    driver.pass_s(1.0)
    job = driver.call()

    driver.pass_s(58.0)
    assert driver.seen().status == "live"
    driver.pass_s(1.0)

    assert (driver.seen().reason, driver.status(job)) == ("expired", "running")


def test_one_that_calls_wait_for_does_not_end_before_it_has_begun(driver: Holding) -> None:
    driver.open("a")
    job = driver.call()
    driver.pass_s(200.0)
    assert (driver.seen().status, driver.status(job)) == ("live", "dispatched")
    driver.loaded()

    driver.pass_s(59.0)
    assert driver.seen().status == "live"
    driver.pass_s(1.0)
    assert driver.seen().reason == "expired"


def test_one_that_was_waited_for_in_vain_ends_later() -> None:
    driver = FarHolding(SANDBOX)
    driver.leave()
    job = driver.call()
    driver.pass_s(60.0)
    assert (driver.seen().status, driver.status(job)) == ("live", "queued")
    driver.cancel(job)

    driver.pass_s(60.0)

    assert driver.seen().reason == "expired"


def test_when_it_has_begun_is_known_after_a_restart(driver: Holding) -> None:
    driver.open("a")
    driver.pass_s(30.0)
    driver.up()
    told = driver.seen().expires_at
    driver.restart()

    assert driver.seen().expires_at == told


def test_one_without_a_time_goes_on() -> None:
    driver = Holding(SANDBOX.replace(lifetime_s=None, keep_warm_s=None))
    driver.up()
    driver.pass_s(1e6)
    assert driver.seen().status == "live"


def test_it_ends_where_it_had_nothing_to_do(driver: Holding) -> None:
    driver.up()
    driver.pass_s(11.0)
    driver.gone()
    assert (driver.seen().status, driver.seen().reason) == ("dead", "idle")


def test_it_is_not_made_again_after_it_was_lost(driver: Holding) -> None:
    driver = Holding(SANDBOX.replace(max_restarts=5))
    driver.up()
    driver.died()
    assert (driver.seen().status, driver.seen().reason) == ("dead", "lost")
    with pytest.raises(UsageError, match="make another one"):
        driver.ask(RestartInstance("instances:1"))


def test_the_name_of_one_that_has_ended_is_free(driver: Holding) -> None:
    driver.open("a", "(1)")
    with pytest.raises(InstanceConflict):
        driver.open("a", "(2)")
    driver.pass_s(60.0)
    assert driver.open("a", "(2)") == "instances:2"
    with pytest.raises(InstanceGone):
        driver.seen("instances:1")


def test_whoever_made_one_that_has_ended_is_told(driver: Holding) -> None:
    driver.open("a", "(1)")
    driver.pass_s(60.0)
    with pytest.raises(InstanceDead):
        driver.open("a", "(1)")


def test_how_it_has_ended_is_told_for_an_hour(driver: Holding) -> None:
    driver.up()
    driver.died()
    driver.pass_s(TOLD_S - 1.0)
    assert driver.seen().reason == "lost"
    driver.pass_s(2.0)
    assert driver.ask(ListInstances()) == ()


def test_one_that_was_stopped_is_forgotten_at_once(driver: Holding) -> None:
    driver.open()
    driver.ask(StopInstance("instances:1"))
    driver.pass_s(60.0)
    assert driver.ask(ListInstances()) == ()


def test_one_that_was_called_ends_when_its_time_is_over_after_a_restart(driver: Holding) -> None:
    driver.open("a", tags=(("run", "1"),))
    driver.restart(after_s=50.0)
    assert (driver.seen().status, driver.seen().tags) == ("live", (("run", "1"),))
    driver.pass_s(11.0)
    assert driver.seen().reason == "expired"
    driver.restart()
    assert driver.seen().reason == "expired"
    driver.pass_s(TOLD_S + 1.0)
    assert driver.ask(ListInstances()) == ()


@pytest.mark.parametrize(
    "tags", [tuple((str(i), "") for i in range(MOST_TAGS + 1)), (("a", "x" * (MOST_TAG + 1)),)]
)
def test_tags_are_few_and_short(driver: Holding, tags: tuple[tuple[str, str], ...]) -> None:
    with pytest.raises(UsageError, match="tags"):
        driver.open("a", tags=tags)


def test_a_time_that_cannot_be_meant_is_refused(driver: Holding) -> None:
    spec = counter(cls=SANDBOX.replace(lifetime_s=0.0))
    with pytest.raises(InvalidOption, match="lifetime_s"):
        driver.ask(RegisterFunction(spec, Payload(b"class")))


def test_a_record_of_a_sandbox_without_a_beginning_is_read(driver: Holding) -> None:
    driver.open()
    fields, blobs = unpack(driver.records["instances/1"])
    it, _ = Instance.load(1, pack([*fields[:-2], fields[-1]], *blobs))

    assert it.began_at == it.created_at


def test_a_record_of_an_instance_from_before_there_were_sandboxes_is_read(driver: Holding) -> None:
    driver = Holding()
    driver.open()
    [key] = [key for key in driver.records if key.startswith("instances/") and key[-1] == "1"]
    fields, blobs = unpack(driver.records[key])
    old = pack([*fields[:10], fields[-1]], *blobs)
    it, _ = Instance.load(1, old)
    assert (it.name, it.is_sandbox, it.tags) == ("a", False, ())
