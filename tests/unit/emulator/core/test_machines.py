from __future__ import annotations

import pytest

from apothic_backends.commands.machines import ReleaseMachines
from apothic_backends.model.agents import MachineGivenUp
from apothic_backends.model.images import ImageSpec
from apothic_backends.model.jobs import JobStatus
from apothic_backends.model.services import ServiceSpec
from apothic_backends.providers.base import BOOTING, FAILED, Rented
from apothic_emulator.core.effects import StartExecutor
from apothic_emulator.core.facts import Tick
from apothic_emulator.core.hellos import Capacity
from apothic_emulator.core.renting import (
    Destroy,
    Failure,
    Forget,
    ListRented,
    MachineEnded,
    MachineRented,
    MachinesSeen,
    Rent,
    SeekOffers,
)
from apothic_emulator.core.suppliers import LOOK_S
from tests.unit.emulator.core.driving import only
from tests.unit.emulator.core.renting import TERMS, UNCLEAR, Renter, avoided, offer

# --- a machine comes ------------------------------------------------------------------------------


def test_what_finds_no_place_gets_the_cheapest_machine_that_will_do() -> None:
    driver = Renter()

    rent = driver.rent(
        offer("dear", 0.5, 2), offer("cheap", 0.2), offer("small", 0.1, cpu_cores_effective=4)
    )

    assert (rent.offer.name, rent.most_usd_per_hour) == ("cheap", pytest.approx(0.22))
    assert rent.tag == "apothic/e1/1-e1"
    assert (rent.disk_gb, rent.lifetime_s) == (TERMS.disk_gb, TERMS.lifetime_s)
    assert "machines/1" in driver.records


def test_who_waits_is_told_what_is_being_done_for_it() -> None:
    driver = Renter()
    job = driver.submit()
    assert driver.look(job).waiting.startswith("offers are sought; waits for an agent that has")
    (rent,) = driver.offers(offer(gpu_name="RTX 4090", num_gpus=2, gpu_ram=24_000))
    driver.rented(rent)
    driver.pass_s(42)

    told = "a machine is being rented: vast 2 x RTX 4090 $0.30/h, booting for 42 s; waits for"
    assert driver.look(job).waiting.startswith(told)
    assert driver.cloud.waiting["app/f"] in driver.look(job).waiting


def test_a_machine_that_comes_up_runs_what_it_was_rented_for() -> None:
    driver = Renter()
    rent = driver.up()

    (machine,) = driver.machines
    assert (machine.status, machine.agent, machine.executors) == ("up", "m1", 1)
    assert (machine.usd_per_hour, machine.provider_id, machine.tag) == (0.3, "v1", rent.tag)
    assert driver.job(1).status is JobStatus.DISPATCHED


def test_one_is_rented_for_each_process_that_is_lacking_and_may_be() -> None:
    driver = Renter(max_containers=3)
    driver.submit_many(5)

    rents = driver.offers(*(offer(f"o{i}", 0.1, i) for i in range(5)))

    assert [it.offer.name for it in rents] == ["o0", "o1", "o2"]


def test_a_large_machine_counts_for_as_many_processes_as_it_takes() -> None:
    driver = Renter(cpu=2)
    driver.submit_many(4)

    rents = driver.offers(offer(), offer("o2", 0.3, 2))

    assert len(rents) == 1


def test_an_offer_of_no_host_may_be_had_again() -> None:
    driver = Renter()
    driver.submit_many(2)

    rents = driver.offers(offer("shared", 0.1, None))

    assert [it.offer.name for it in rents] == ["shared", "shared"]
    assert len({it.tag for it in rents}) == 2


def test_a_service_that_finds_no_place_gets_a_machine_for_as_long_as_it_asks() -> None:
    driver = Renter()
    pool = driver.plane.pools[1]
    pool.function.spec = pool.function.spec.replace(service=ServiceSpec("asgi"))
    driver.plane.scheduler.start(pool, driver.now)
    assert only(driver.step(Tick()), SeekOffers)

    assert len(driver.offers(offer(), offer("o2", 0.3, 2))) == 1
    driver.now += 10
    driver.ask(MachineRented(1, "vast", "apothic/e1/1-e1", None, Failure("no_capacity", "full")))
    assert not driver.wanted(Rent)


def test_a_service_that_has_found_its_place_gets_no_other_machine() -> None:
    driver = Renter()
    pool = driver.plane.pools[1]
    pool.function.spec = pool.function.spec.replace(service=ServiceSpec("asgi"))
    driver.plane.scheduler.start(pool, driver.now)
    driver.step(Tick())
    (rent,) = driver.offers(offer(), offer("o2", 0.3, 2))
    driver.rented(rent)
    driver.comes_up(rent.tag)

    assert driver.plane.scheduler.start(pool, driver.now) is not None

    driver.now += 1
    driver.step(Tick())
    assert not driver.wanted(Rent)
    assert driver.cloud.waiting == {}


def test_a_service_that_finds_a_place_at_once_gets_no_machine() -> None:
    driver = Renter()
    driver.join("own")
    pool = driver.plane.pools[1]
    pool.function.spec = pool.function.spec.replace(service=ServiceSpec("asgi"))

    assert driver.plane.scheduler.start(pool, driver.now) is not None
    driver.step(Tick())
    assert not driver.wanted(SeekOffers)


def test_what_needs_docker_or_another_python_gets_none() -> None:
    driver = Renter()
    image = ImageSpec(base="debian")
    driver.submit(driver.register("g", image=image, max_containers=1))
    assert not driver.wanted(SeekOffers)
    driver.submit(driver.register("h", python="2.7"))

    assert not driver.wanted(SeekOffers)


def test_where_nothing_may_be_rented_nothing_is() -> None:
    driver = Renter(terms=None)
    driver.submit()

    assert driver.effects == []
    assert driver.cloud.providers == ()
    assert driver.ask(ReleaseMachines()).machines == ()
    driver.submit()
    assert driver.effects == []


# --- offers ---------------------------------------------------------------------------------------


def test_where_no_offer_will_do_it_says_why_and_asks_again_after_a_minute() -> None:
    driver = Renter()
    job = driver.submit()
    driver.offers(offer(cpu_cores_effective=4), offer("o2", cpu_cores_effective=2))

    assert "none of 2 offers will do; 2 do not meet cpu=8" in driver.look(job).waiting
    assert not only(driver.pass_s(59), SeekOffers)
    assert only(driver.pass_s(2), SeekOffers)


def test_what_has_no_price_is_not_rented() -> None:
    driver = Renter()
    driver.submit()

    assert not driver.offers(offer(dph_base=None))


def test_offers_that_nobody_waits_for_any_more_are_nothing() -> None:
    driver = Renter()
    driver.offers(offer())
    job = driver.submit()
    driver.cancel(job)

    assert not driver.offers(offer())
    assert not driver.offers(offer())


def test_all_providers_are_asked_and_the_cheapest_of_all_is_taken() -> None:
    driver = Renter(terms=TERMS.replace(providers=("vast", "fly")))
    driver.submit()
    assert [it.provider for it in driver.wanted(SeekOffers)] == ["vast", "fly"]

    assert not driver.offers(offer(usd=0.3))
    (rent,) = driver.offers(offer(usd=0.2, host=None), provider="fly")

    assert rent.provider == "fly"


def test_offers_are_sought_anew_once_they_are_old() -> None:
    driver = Renter()
    driver.rent(offer(), offer("o2", 0.3, 2))
    driver.pass_s(61)
    driver.submit()

    assert driver.wanted(SeekOffers)
    assert not driver.wanted(Rent)


# --- it fails -------------------------------------------------------------------------------------


def test_an_offer_that_is_gone_is_followed_by_another_on_another_host() -> None:
    driver = Renter()
    rent = driver.rent(offer(), offer("same host", 0.31), offer("o3", 0.32, 3))

    effects = driver.not_rented(rent, Failure("offer_gone", "somebody else has it"))

    assert [it.offer.name for it in only(effects, Rent)] == ["o3"]
    assert only(effects, Forget)[0].tag == rent.tag
    assert "machines/1" not in driver.records


def test_after_five_that_came_to_nothing_there_is_a_pause() -> None:
    driver = Renter()
    job = driver.submit()
    offers = [offer(f"o{i}", 0.1 + i / 100, i) for i in range(8)]
    rents = driver.offers(*offers)
    for _ in range(5):
        (rent,) = rents
        driver.not_rented(rent, Failure("no_capacity", "it is full"))
        rents = driver.wanted(Rent)

    assert rents == []
    told = "5 machines came to nothing; there is a pause of 5 min; the last one: vast: it is full"
    assert told in driver.look(job).waiting
    assert not only(driver.pass_s(299), SeekOffers)
    assert only(driver.pass_s(2), SeekOffers)


def fail_five(driver: Renter, first: int, job: int = 1) -> str:
    """Five machines are made, cost more than they may, and are of no use; what is told then."""
    numbers = range(first, first + 5)
    rents = driver.offers(*[offer(f"o{it}", 0.1, it) for it in numbers])
    for number in numbers:
        (rent,) = rents
        driver.rented(rent, usd=0.5, number=number)
        rents = driver.wanted(Rent)
    return str(driver.look(job).waiting)


def test_pauses_grow_up_to_an_hour_while_machines_are_made_and_none_comes_up() -> None:
    driver = Renter(terms=TERMS.replace(max_usd_per_hour=1000.0))
    driver.submit()
    pauses_min: list[int] = []
    for first in range(10, 40, 5):
        told = fail_five(driver, first)
        pauses_min += [it for it in (5, 10, 20, 40, 60) if f"a pause of {it} min;" in told]
        driver.pass_s(pauses_min[-1] * 60 + 1)

    assert pauses_min == [5, 10, 20, 40, 60, 60]


def test_after_one_that_comes_up_the_next_pause_is_short_again() -> None:
    driver = Renter(terms=TERMS.replace(max_usd_per_hour=1000.0))
    driver.submit()
    fail_five(driver, 10)
    driver.pass_s(301)
    (rent,) = driver.offers(offer(host=50))
    driver.rented(rent, number=50)
    driver.comes_up(rent.tag, capacity=Capacity(1, 32_000))

    driver.submit()

    assert "a pause of 5 min;" in fail_five(driver, 60, job=2)


def test_who_is_blocked_is_not_asked_for_five_minutes() -> None:
    driver = Renter()
    rent = driver.rent(offer(), offer("o2", 0.3, 2))
    driver.not_rented(rent, Failure("cloud_blocked", "no credit is left"))

    assert driver.wanted(Rent) == []
    assert "no credit is left" in driver.look(1).waiting
    assert driver.cloud.providers[0].blocked == "no credit is left"
    other = driver.register("g")
    driver.submit(other)
    assert not driver.wanted(SeekOffers)
    assert "nothing can be rented: vast: no credit is left" in driver.look(2).waiting
    assert only(driver.pass_s(301), SeekOffers)
    assert driver.cloud.providers[0].blocked == ""


def test_who_waits_hears_of_one_that_is_blocked_from_the_others_that_have_nothing() -> None:
    driver = Renter(terms=TERMS.replace(providers=("vast", "fly")))
    driver.submit()
    driver.offers(failure=Failure("cloud_blocked", "the key was revoked"))
    driver.offers(provider="fly")
    driver.pass_s(61)

    driver.offers(provider="fly")

    told = "none of 0 offers will do; vast: the key was revoked; waits for"
    assert driver.look(1).waiting.startswith(told)


def test_what_was_offered_by_who_is_blocked_is_not_asked_for() -> None:
    driver = Renter(terms=TERMS.replace(providers=("vast", "fly")))
    driver.submit()
    driver.offers(offer(usd=0.1))

    blocked = Failure("cloud_blocked", "the key was revoked")
    (rent,) = driver.offers(offer(usd=0.5, host=None), provider="fly")
    driver.not_rented(rent, blocked)

    assert driver.wanted(Rent) == []
    driver.submit()
    driver.pass_s(61)
    driver.submit()
    assert not [it for it in driver.wanted(SeekOffers) if it.provider == rent.provider]


def test_who_is_busy_is_asked_when_it_wants_to_be() -> None:
    driver = Renter()
    rent = driver.rent()
    driver.not_rented(rent, Failure("provider_busy", "slow down", 30.0))

    assert "slow down" in driver.look(1).waiting
    driver.submit(driver.register("g"))
    assert "it wants to be asked later" in driver.look(2).waiting
    assert not only(driver.pass_s(29), SeekOffers)
    assert only(driver.pass_s(2), SeekOffers)


def test_a_provider_that_tells_nonsense_is_said_to() -> None:
    driver = Renter()
    job = driver.submit()
    driver.offers(failure=Failure("provider_error", "a page, and no offers"))

    assert "vast: a page, and no offers" in driver.look(job).waiting


def test_what_does_not_come_up_in_time_goes_and_its_host_is_avoided() -> None:
    driver = Renter()
    rent = driver.rent()
    driver.rented(rent)

    effects = driver.pass_s(601)

    assert only(effects, Destroy)[0].provider_id == "v1"
    assert "it has not come up within 600 s" in driver.look(1).waiting
    assert only(effects, SeekOffers)
    assert driver.offers(offer("o9", 0.1, 1)) == []
    assert "on a host that has" in driver.look(1).waiting
    driver.pass_s(61)
    assert [it.offer.name for it in driver.offers(offer("o9"), offer("o10", 0.4, 2))] == ["o10"]


def test_who_waits_hears_why_the_last_one_came_to_nothing_and_what_it_has_printed() -> None:
    driver = Renter()
    rent = driver.rent()
    driver.rented(rent)
    effects = driver.lists(driver.seen(rent.tag, state=FAILED))
    assert [it.has_failed for it in only(effects, Destroy)] == [True]

    driver.ask(MachineEnded(rent.machine, said="no module named apothic"))
    (other,) = driver.offers(offer("o2", 0.3, 2))

    told = "; the last one: vast: it has failed: ; it has printed: no module named apothic"
    assert told in driver.look(1).waiting
    driver.rented(other, number=2)
    driver.ask(MachineEnded(99, said="of another one"))
    assert told in driver.look(1).waiting
    assert "of another one" not in driver.look(1).waiting
    assert "of another one" not in driver.cloud.waiting["app/f"]
    driver.comes_up(other.tag)
    assert "app/f" not in driver.cloud.waiting


def test_one_that_is_coming_up_is_watched() -> None:
    driver = Renter()
    rent = driver.rent()
    driver.rented(rent)
    begun = driver.now

    driver.lists(driver.seen(rent.tag, state=BOOTING))
    driver.lists(driver.seen(rent.tag, state=FAILED))

    assert driver.now - begun <= 2 * LOOK_S
    assert driver.statuses == ["destroying"]


def test_one_that_was_gone_before_it_came_up_is_asked_what_it_has_printed() -> None:
    driver = Renter()
    rent = driver.rent()
    driver.rented(rent)
    driver.pass_s(130)
    driver.lists()  # which was asked for too early
    driver.lists()
    effects = driver.lists()

    assert [(it.provider_id, it.has_failed) for it in only(effects, Destroy)] == [("v1", True)]
    driver.ask(MachineEnded(rent.machine, said="exec format error"))
    assert "it has printed: exec format error" in driver.look(1).waiting


def test_who_comes_up_too_late_is_told_to_go() -> None:
    driver = Renter()
    rent = driver.rent()
    driver.rented(rent)
    driver.pass_s(601)

    with pytest.raises(MachineGivenUp, match=f"{rent.tag} is not wanted"):
        driver.comes_up(rent.tag)


def test_a_machine_that_is_there_twice_joins_once() -> None:
    driver = Renter()
    rent = driver.up()

    with pytest.raises(MachineGivenUp):
        driver.comes_up(rent.tag, "m2")
    assert driver.comes_up(rent.tag).agent == 1  # the same comes back


def test_who_joins_with_a_strange_tag_is_told_to_go_and_looked_for() -> None:
    driver = Renter()
    driver.rent()
    with pytest.raises(MachineGivenUp):
        driver.comes_up("apothic/another/1-e")
    assert not driver.wanted(ListRented)
    with pytest.raises(MachineGivenUp):
        driver.comes_up("apothic/e1/99-e1")

    assert only(driver.pass_s(16), ListRented)


def test_one_that_came_up_and_will_not_do_bars_others_for_an_hour() -> None:
    driver = Renter(gpu_count=1, max_containers=1)
    rent = driver.rent(offer(gpu_name="L4", num_gpus=1, gpu_ram=24_000))
    driver.rented(rent)
    driver.comes_up(rent.tag)  # and says nothing of its GPU
    driver.submit()
    assert not driver.wanted(SeekOffers)  # there is one, which may do yet

    effects = driver.pass_s(500)

    assert only(effects, Destroy)
    assert "has come up, and cannot run it" in driver.look(1).waiting
    assert not only(effects, SeekOffers)
    assert only(driver.pass_s(3600), SeekOffers)


def test_one_that_was_used_for_something_else_is_followed_by_another() -> None:
    driver = Renter()
    other = driver.register("g", cpu=8)
    rent = driver.rent()
    driver.rented(rent)
    driver.submit(other)
    driver.cancel(1)
    driver.comes_up(rent.tag)
    assert only(driver.effects, StartExecutor)[0].function == 2
    driver.submit()

    assert driver.wanted(SeekOffers)


def test_what_nobody_needs_any_more_and_does_not_come_up_is_not_followed() -> None:
    driver = Renter()
    driver.rented(driver.rent())
    driver.cancel(1)

    effects = driver.pass_s(700)

    assert driver.statuses == ["destroying"]
    assert not only(effects, SeekOffers)


def test_what_nobody_needs_any_more_and_comes_up_goes_after_a_while() -> None:
    driver = Renter()
    rent = driver.rent()
    driver.rented(rent)
    driver.cancel(1)
    driver.pass_s(1)
    driver.comes_up(rent.tag)
    assert driver.statuses == ["up"]

    assert only(driver.pass_s(500), Destroy)


def test_a_machine_of_no_known_host_bars_none() -> None:
    driver = Renter()
    rent = driver.rent(offer("small", 0.3, None))
    driver.ask(MachineRented(rent.machine, "vast", rent.tag, Rented("v1", 0.3)))
    driver.pass_s(601)

    assert [it.offer.name for it in driver.offers(offer("large", 0.3, None))] == ["large"]


# --- listings -------------------------------------------------------------------------------------


def test_what_may_have_been_made_is_found_and_comes_up() -> None:
    driver = Renter()
    rent = driver.rent()
    driver.not_rented(rent, UNCLEAR)
    assert driver.statuses == ["unclear"]

    driver.lists(driver.seen(rent.tag))

    assert driver.statuses == ["booting"]
    driver.comes_up(rent.tag)
    assert driver.statuses == ["up"]


def test_what_may_have_been_made_joins_before_it_is_found() -> None:
    driver = Renter()
    rent = driver.rent()
    driver.comes_up(rent.tag)
    driver.not_rented(rent, UNCLEAR)
    assert driver.statuses == ["up"]

    driver.lists(driver.seen(rent.tag))

    assert [(it.status, it.provider_id) for it in driver.machines] == [("up", "v1")]


def test_what_may_have_been_made_was_not_once_two_late_listings_do_not_show_it() -> None:
    driver = Renter()
    rent = driver.rent()
    driver.not_rented(rent, UNCLEAR)
    began, effects = driver.now, driver.effects
    while driver.statuses == ["unclear"]:
        effects = driver.lists()

    assert only(effects, SeekOffers)
    assert 120 < driver.now - began < 180
    assert driver.cloud.usd_per_hour == 0


def test_a_listing_that_is_not_whole_proves_nothing() -> None:
    driver = Renter()
    driver.not_rented(driver.rent(), UNCLEAR)
    for _ in range(30):
        driver.lists(whole=False)

    assert driver.statuses == ["unclear"]


def test_what_is_listed_before_its_provider_has_answered_is_there() -> None:
    driver = Renter()
    driver.up()
    driver.submit()
    (rent,) = driver.offers(offer("o2", 0.3, 2))
    driver.lists(driver.seen("apothic/e1/1-e1"), driver.seen(rent.tag, "v2"))
    assert driver.statuses == ["up", "creating"]

    driver.not_rented(rent, Failure("offer_gone", "it says so, and there it is"))

    assert driver.statuses == ["up", "unclear"]
    driver.lists(driver.seen("apothic/e1/1-e1"), driver.seen(rent.tag, "v2"))
    assert driver.statuses == ["up", "booting"]


def test_what_has_our_tags_and_no_record_is_destroyed() -> None:
    driver = Renter()
    rent = driver.up()

    effects = driver.lists(
        driver.seen(rent.tag),
        driver.seen(rent.tag, "its double"),
        driver.seen("apothic/e1/77-e1", "v9"),
        driver.seen("apothic/another/1-e", "v10"),
        driver.seen("apothic/e1/77-e1", "v9"),
    )

    assert [it.provider_id for it in only(effects, Destroy)] == ["its double", "v9"]
    assert driver.statuses == ["up", "destroying", "destroying"]
    while len(driver.statuses) > 1:
        driver.lists(driver.seen(rent.tag))
    assert driver.statuses == ["up"]


def test_a_tag_of_ours_at_another_provider_is_nobodys() -> None:
    driver = Renter(terms=TERMS.replace(providers=("vast", "fly")))
    driver.submit()
    driver.offers(offer())
    (rent,) = driver.offers(provider="fly")
    driver.rented(rent)
    driver.restart()

    effects = driver.lists(driver.seen(rent.tag, "f1"), provider="fly")

    assert [(it.provider, it.provider_id) for it in only(effects, Destroy)] == [("fly", "f1")]
    assert driver.statuses == ["booting", "destroying"]


def test_what_is_made_after_all_is_looked_for_and_destroyed() -> None:
    driver = Renter()
    rent = driver.rent()
    driver.not_rented(rent, UNCLEAR)
    while driver.machines:
        driver.lists()
    driver.ask(MachineRented(rent.machine, "vast", rent.tag, Rented("v1", 0.3)))

    effects = driver.lists(driver.seen(rent.tag))

    assert only(effects, Destroy)[0].provider_id == "v1"


def test_answers_that_come_twice_or_from_nowhere_change_nothing() -> None:
    driver = Renter()
    rent = driver.rent()
    driver.rented(rent)
    before = driver.machines

    driver.rented(rent, 0.9, 7)
    driver.not_rented(rent, Failure("offer_gone", "again"))
    driver.ask(MachineRented(1, "vast", rent.tag))
    driver.ask(MachineEnded(99))
    driver.ask(MachinesSeen("vast", 1.0))
    driver.ask(MachinesSeen("nobody", 1.0))

    assert driver.machines == before


def test_what_cannot_be_listed_is_listed_again_and_that_is_said() -> None:
    driver = Renter()
    driver.not_rented(driver.rent(), UNCLEAR)
    asked = driver.listing_asked()
    driver.ask(MachinesSeen("vast", asked.asked_at, None, Failure("provider_error", "504", 90.0)))

    assert driver.cloud.providers[0].note == "504"
    assert not only(driver.pass_s(89), ListRented)
    assert only(driver.pass_s(2), ListRented)
    asked = driver.listing_asked()
    driver.ask(MachinesSeen("vast", asked.asked_at))
    assert driver.cloud.providers[0].note == "it has told nothing"


def test_what_has_broken_before_it_came_up_is_followed_by_another() -> None:
    driver = Renter()
    rent = driver.rent(offer(), offer("o2", 0.4, 2))
    driver.rented(rent)
    driver.now += 30

    effects = driver.lists(driver.seen(rent.tag, state=FAILED))

    assert only(effects, Destroy)
    assert driver.statuses[0] == "destroying"
    assert avoided(driver)


def test_what_breaks_while_it_is_up_is_destroyed_and_its_host_is_not_to_blame() -> None:
    driver = Renter()
    rent = driver.up()

    effects = driver.lists(driver.seen(rent.tag, state=FAILED))

    assert only(effects, Destroy)
    assert not avoided(driver)


def test_a_machine_that_is_given_to_somebody_else_costs_its_jobs_no_retry() -> None:
    driver = Renter(retries=1)
    rent = driver.up()
    driver.beat("m1")
    driver.loads()
    driver.accepts(1)
    driver.cut("m1")

    effects = driver.lists(driver.seen(rent.tag, preempted=True, state="stopped"))

    assert only(effects, Destroy)
    job = driver.job(1)
    assert (job.status, job.losses) == (JobStatus.QUEUED, 0)


def test_without_retries_a_job_is_lost_with_its_machine_and_says_so() -> None:
    driver = Renter()
    rent = driver.up()
    driver.beat("m1")
    driver.loads()
    driver.accepts(1)

    driver.lists(driver.seen(rent.tag, preempted=True))

    job = driver.job(1)
    assert job.status is JobStatus.LOST
    assert job.error is not None
    assert job.error.data["reason"] == "preempted"
    assert "gave to somebody who pays more" in job.error.message
