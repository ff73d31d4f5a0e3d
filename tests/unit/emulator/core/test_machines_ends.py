from __future__ import annotations

import itertools
from typing import Any

import pytest

from apothic_backends.commands import ReadEvents
from apothic_backends.commands.machines import AllowMachines, ReleaseMachines
from apothic_backends.model.agents import MachineGivenUp
from apothic_backends.model.errors import NotFound
from apothic_backends.model.functions import Condition
from apothic_backends.model.jobs import JobStatus
from apothic_emulator.core.facts import Ended, Reported
from apothic_emulator.core.listed import SETTLE_S
from apothic_emulator.core.machine import Machine
from apothic_emulator.core.renting import (
    Destroy,
    Failure,
    Forget,
    ListRented,
    MachineEnded,
    Rent,
    SeekOffers,
)
from tests.unit.emulator.core.driving import RESULT, only
from tests.unit.emulator.core.renting import TERMS, UNCLEAR, Renter, offer


def finish(driver: Renter, job: int = 1) -> None:
    """The only job ends, and its executor with it."""
    driver.beats()
    driver.loads()
    driver.accepts(job)
    executor = driver.job(job).executor
    driver.step(Reported(executor, job, driver.job(job).attempt, RESULT))
    driver.step(Ended(executor, "exit"))


# --- it is not needed any more --------------------------------------------------------------------


def test_what_runs_nothing_for_a_while_is_destroyed() -> None:
    driver = Renter()
    rent = driver.up()
    finish(driver)
    assert not only(driver.pass_s(299), Destroy)

    effects = driver.pass_s(200)

    assert [it.tag for it in only(effects, Destroy)][:1] == [rent.tag]
    assert driver.plane.fleet.agents.far == {}
    with pytest.raises(MachineGivenUp):
        driver.comes_up(rent.tag)


def test_what_is_used_once_in_a_while_is_kept() -> None:
    driver = Renter()
    driver.up()
    finish(driver)
    for job in range(2, 8):
        driver.pass_s(200)
        assert driver.submit() == job
        finish(driver, job)

    assert driver.statuses == ["up"]


def test_what_is_old_gets_nothing_new_and_goes_when_it_has_finished() -> None:
    driver = Renter(timeout_s=90_000, terms=TERMS.replace(lifetime_s=3600.0))
    driver.up()
    driver.beats()
    driver.loads()
    driver.accepts(1)

    assert not only(driver.pass_s(3400), Destroy)
    assert driver.statuses == ["retiring"]
    driver.submit()
    assert driver.job(2).status is JobStatus.QUEUED
    finish(driver)
    assert only(driver.pass_s(6), Destroy)


def test_what_has_not_finished_at_the_end_of_its_life_is_destroyed() -> None:
    driver = Renter(timeout_s=90_000, terms=TERMS.replace(lifetime_s=3600.0))
    driver.up()
    driver.beats()
    driver.loads()
    driver.accepts(1)

    assert only(driver.pass_s(3610), Destroy)
    assert driver.job(1).status is JobStatus.LOST


def test_what_is_not_heard_of_any_more_is_destroyed() -> None:
    driver = Renter()
    driver.up()
    driver.cut()

    assert only(driver.pass_s(200), Destroy)
    assert "nothing is heard of it any more" in driver.machines[0].note


def test_an_agent_of_nobody_may_be_cut() -> None:
    driver = Renter()
    rent = driver.up()
    driver.plane.shared.part("machines").books.by_tag.clear()  # type: ignore[attr-defined]
    driver.cut()

    assert rent.tag == driver.plane.fleet.agents.far[1].tag


# --- it goes --------------------------------------------------------------------------------------


def test_what_is_not_gone_is_destroyed_again_and_again() -> None:
    driver = Renter()
    rent = driver.up()
    driver.cut()
    while driver.now < 2000:
        driver.ask(MachineEnded(1))
        driver.lists(driver.seen(rent.tag))

    told = driver.destroyed
    waits = [b - a for a, b in itertools.pairwise(told)]
    assert len(waits) > 20
    assert min(waits) > 25
    assert max(waits) < 70
    assert driver.statuses == ["destroying"]


def test_what_is_there_ten_minutes_after_it_was_to_go_is_told_to_be_late() -> None:
    driver = Renter()
    rent = driver.up()
    driver.cut()
    effects = driver.pass_s(100)
    while not effects or not driver.destroyed:
        effects = driver.pass_s(60)
    begun = driver.destroyed[0]
    late: dict[float, float] = {}
    while driver.now < begun + 900:
        for it in only(driver.lists(driver.seen(rent.tag)), Destroy):
            late[driver.now - begun] = it.late_s
        for it in only(driver.pass_s(20), Destroy):
            late[driver.now - begun] = it.late_s

    assert {after_s >= 600 for after_s, late_s in late.items() if late_s} == {True}
    assert max(late.values()) >= 600


def test_what_cannot_be_destroyed_says_why() -> None:
    driver = Renter()
    driver.up()
    driver.cut()
    driver.pass_s(200)
    driver.ask(MachineEnded(1, Failure("provider_error", "502 for now")))

    assert driver.machines[0].note == "it cannot be destroyed: 502 for now"
    assert only(driver.pass_s(60), Destroy)


def test_it_counts_until_two_whole_listings_do_not_show_it() -> None:
    driver = Renter()
    driver.up()
    driver.cut()
    driver.pass_s(200)
    driver.lists()  # which was asked for too early
    driver.lists()
    assert driver.cloud.usd_per_hour == 0.3

    effects = driver.lists()

    assert [it.machine for it in only(effects, Forget)] == [1]
    assert driver.machines == ()
    seen = driver.cloud
    assert seen.usd_per_hour == 0
    assert seen.spent_usd == pytest.approx(0.3 * 215 / 3600, rel=0.2)
    assert seen.providers[0].seen_at is not None


def test_what_is_released_while_it_is_made_is_destroyed_when_it_is_there() -> None:
    driver = Renter()
    rent = driver.rent()
    driver.start(ReleaseMachines())
    assert driver.wanted(Destroy) == []

    assert only(driver.rented(rent), Destroy)[0].provider_id == "v1"


def test_what_was_up_and_has_been_destroyed_is_gone_once_two_listings_do_not_show_it() -> None:
    driver = Renter()
    rent = driver.up()
    began = driver.now
    driver.start(ReleaseMachines())
    driver.lists()  # which was asked for before it was destroyed
    driver.ask(MachineEnded(rent.machine))
    driver.lists()
    driver.lists()

    assert driver.machines == ()
    assert driver.now - began < SETTLE_S / 2


def test_what_a_listing_shows_again_has_to_be_destroyed_again_before_it_is_gone() -> None:
    driver = Renter()
    rent = driver.up()
    driver.start(ReleaseMachines())
    driver.ask(MachineEnded(rent.machine))
    driver.lists(driver.seen(rent.tag))
    driver.lists()
    driver.lists()

    assert driver.statuses == ["destroying"]


def test_what_is_released_while_it_is_made_and_was_not_is_gone() -> None:
    driver = Renter()
    rent = driver.rent()
    driver.start(ReleaseMachines())
    driver.not_rented(rent, Failure("no_capacity", "it is full"))

    assert driver.machines == ()


def test_what_may_have_been_made_and_was_released_is_looked_for() -> None:
    driver = Renter()
    rent = driver.rent()
    driver.start(ReleaseMachines())
    driver.not_rented(rent, UNCLEAR)
    assert driver.statuses == ["destroying"]

    assert only(driver.lists(driver.seen(rent.tag)), Destroy)[0].provider_id == "v1"


# --- all are released -----------------------------------------------------------------------------


def test_who_releases_all_is_answered_when_none_is_left() -> None:
    driver = Renter()
    driver.up()
    token = driver.start(ReleaseMachines())
    assert driver.wanted(Destroy)
    while token not in driver.answers:
        driver.lists()

    seen = driver.answers[token]
    assert (seen.machines, seen.usd_per_hour, seen.is_paused) == ((), 0, True)


def test_who_releases_all_hears_at_last_what_is_left() -> None:
    driver = Renter()
    driver.up()
    token = driver.start(ReleaseMachines(timeout_s=60.0))
    driver.pass_s(61)

    assert [it.status for it in driver.answers[token].machines] == ["destroying"]


def test_what_runs_may_end_before_it_is_released() -> None:
    driver = Renter()
    rent = driver.up()
    driver.submit()
    driver.rented(driver.offers(offer("o2", 0.3, 2))[0], number=2)
    token = driver.start(ReleaseMachines(drain=True))
    assert driver.statuses == ["retiring", "destroying"]
    again = driver.start(ReleaseMachines(drain=True))
    assert driver.statuses == ["retiring", "destroying"]

    finish(driver)
    effects = driver.pass_s(6)
    assert [it.tag for it in only(effects, Destroy)][-1:] == [rent.tag]
    while token not in driver.answers:
        driver.lists()
    assert driver.answers[token] == driver.answers[again]


def test_after_all_were_released_none_is_rented_until_that_is_allowed() -> None:
    driver = Renter()
    driver.rent()
    driver.not_rented(Rent(1, "vast", "apothic/e1/1-e1", offer(), 1, 1, 1), UNCLEAR)
    driver.start(ReleaseMachines())
    while driver.machines:
        driver.lists()
    driver.restart()
    job = driver.submit()
    assert not driver.wanted(SeekOffers)
    assert "machines were released" in driver.look(job).waiting

    seen = driver.ask(AllowMachines())

    assert not seen.is_paused
    assert driver.wanted(SeekOffers)


def test_nothing_is_told_of_machines() -> None:
    driver = Renter()
    for snapshot in (True, False):
        with pytest.raises(NotFound, match="apothic cloud status"):
            driver.ask(ReadEvents("machines:1", None, snapshot=snapshot))


# --- money ----------------------------------------------------------------------------------------


def test_what_all_may_cost_together_is_never_exceeded_by_what_is_asked_for() -> None:
    driver = Renter()
    driver.submit_many(3)

    rents = driver.offers(*(offer(f"o{i}", 0.4, i) for i in range(3)))

    assert [it.most_usd_per_hour for it in rents] == [pytest.approx(0.44), pytest.approx(0.44)]
    assert driver.cloud.usd_per_hour == pytest.approx(0.88)


def test_who_waits_for_money_is_told_and_gets_a_machine_when_there_is_some() -> None:
    driver = Renter(terms=TERMS.replace(max_usd_per_hour=0.5))
    first = driver.rent(offer(usd=0.4))
    job = driver.submit(driver.register("g"))
    driver.offers(offer("o2", 0.2, 2), function=2)
    told = "what will do costs $0.2000/h at the least, and $0.4400 of $0.5000/h are taken"
    assert told in driver.look(job).waiting

    driver.not_rented(first, Failure("offer_gone", "it is gone"))
    effects = driver.pass_s(31)
    rents = only(effects, Rent)
    for it in only(effects, SeekOffers):
        rents += driver.offers(offer("o3", 0.2, 3), function=it.function)

    assert rents


def test_what_is_left_limits_what_one_may_cost() -> None:
    driver = Renter(terms=TERMS.replace(max_usd_per_hour=0.31))

    assert driver.rent(offer(usd=0.3)).most_usd_per_hour == 0.31


def test_a_function_limits_what_one_may_cost() -> None:
    dear = Condition("dph_total", "lte", 0.305, "max_cost_per_hour_usd=0.305")
    near = Condition("geolocation", "in", ("DE", "US"), "geolocation=['DE', 'US']")
    driver = Renter(placement=(dear, near))

    rent = driver.rent(offer(geolocation="Hesse, DE"), offer("o2", 0.31, 2, geolocation=", US"))

    assert rent.most_usd_per_hour == 0.305


def test_what_came_dearer_is_destroyed_and_followed_by_another() -> None:
    driver = Renter()
    rent = driver.rent(offer(), offer("o2", 0.3, 2))

    effects = driver.rented(rent, 0.6)

    assert only(effects, Destroy)[0].provider_id == "v1"
    assert [it.offer.name for it in only(effects, Rent)] == ["o2"]
    assert driver.cloud.usd_per_hour == pytest.approx(0.93)
    assert "more than it may" in driver.machines[0].note


def test_what_is_said_to_cost_nothing_counts_for_what_it_may_cost() -> None:
    driver = Renter()
    rent = driver.rent()
    driver.rented(rent, 0.0)

    assert driver.cloud.usd_per_hour == pytest.approx(0.33)


# --- restarts -------------------------------------------------------------------------------------


def test_after_a_restart_each_is_looked_for_and_none_is_asked_for_twice() -> None:
    driver = Renter()
    driver.rent()

    effects = driver.restart()

    assert driver.statuses == ["unclear"]
    assert [it.prefix for it in only(effects, ListRented)] == ["apothic/e1/"]
    assert only(effects, Rent) == []
    driver.restart()
    assert driver.statuses == ["unclear"]
    driver.lists(driver.seen("apothic/e1/1-e1"))
    assert driver.statuses == ["booting"]


def test_tags_of_another_control_plane_are_others_and_begin_alike() -> None:
    driver = Renter()
    driver.rent()
    driver.restart()
    driver.submit()

    (rent,) = driver.offers(offer("o2", 0.3, 2))

    assert rent.tag == "apothic/e1/2-e2"


def test_a_restart_before_anything_was_rented_asks_nobody() -> None:
    driver = Renter()

    assert driver.restart() == []


def test_what_was_coming_up_has_a_while_to_do_so_after_a_restart() -> None:
    driver = Renter()
    rent = driver.rent()
    driver.rented(rent)
    driver.restart(after_s=3000)
    assert not only(driver.pass_s(119), Destroy)
    driver.comes_up(rent.tag)

    assert driver.statuses == ["up"]


def test_what_was_up_goes_on_after_a_restart_if_it_is_heard_of() -> None:
    driver = Renter()
    rent = driver.up()
    driver.restart()
    driver.comes_up(rent.tag)
    driver.pass_s(100)

    assert driver.statuses == ["up"]


def test_what_was_up_and_is_not_heard_of_is_destroyed_after_a_restart() -> None:
    driver = Renter()
    driver.up()
    driver.restart()

    assert only(driver.pass_s(300), Destroy)


def test_what_was_to_go_is_told_so_again_after_a_restart() -> None:
    driver = Renter()
    driver.rented(driver.rent(), 0.9)
    assert driver.statuses == ["destroying"]

    assert only(driver.restart(), Destroy)[0].provider_id == "v1"


def test_what_retires_does_so_after_a_restart() -> None:
    driver = Renter()
    rent = driver.up()
    driver.start(ReleaseMachines(drain=True))
    driver.restart()
    assert driver.plane.fleet.agents.far[1].is_draining
    driver.comes_up(rent.tag, "m1")

    assert driver.statuses == ["retiring"]
    assert driver.plane.fleet.agents.far[1].is_draining


def test_what_retired_and_has_no_agent_any_more_is_destroyed_after_a_restart() -> None:
    driver = Renter()
    driver.up()
    driver.start(ReleaseMachines(drain=True))
    del driver.records["agent/1"]
    driver.restart()

    assert only(driver.pass_s(100), Destroy)


def test_machines_of_a_provider_that_is_not_told_of_are_said_to_be_there() -> None:
    driver = Renter()
    driver.up()
    driver.terms = TERMS.replace(providers=("fly",))
    driver.restart()
    driver.pass_s(400)

    (fly, vast) = driver.cloud.providers
    assert (fly.name, fly.machines) == ("fly", 0)
    assert (vast.name, vast.machines, vast.usd_per_hour) == ("vast", 1, 0.3)
    assert vast.blocked.startswith("it is not configured here")
    assert driver.statuses == ["destroying"]


def test_without_terms_what_there_is_is_known_and_can_come_back() -> None:
    driver = Renter()
    rent = driver.up()
    driver.terms = None
    driver.restart()
    driver.comes_up(rent.tag)
    driver.pass_s(20)

    assert driver.machines[0].agent == "m1" or driver.statuses == ["destroying"]
    driver.submit_many(2)
    assert driver.wanted(SeekOffers) == []


def test_where_nothing_is_kept_machines_are_seen_off_all_the_same() -> None:
    driver = Renter(is_kept=False)
    driver.up()
    token = driver.start(ReleaseMachines())
    while token not in driver.answers:
        driver.lists()

    assert driver.machines == ()
    assert driver.records == {}


def test_after_a_copy_was_put_back_numbers_are_higher() -> None:
    driver = Renter()
    driver.rent()
    part: Any = driver.plane.shared.part("machines")
    part.number_after(100)
    part.number_after(50)
    driver.submit()

    (rent,) = driver.offers(offer("o2", 0.3, 2)) or driver.wanted(Rent)

    assert rent.machine == 101


def test_nothing_may_happen_to_a_machine_that_is_not_in_its_life() -> None:
    machine = Machine(1, "vast", "apothic/e1/1-e1", 0.0)

    with pytest.raises(AssertionError, match="creating"):
        machine.move("retire", 1.0)
