from __future__ import annotations

from apothic_backends.placement.offers import Offer
from apothic_backends.providers.base import FAILED
from apothic_emulator.core.avoided import HOST_S, LONGEST_REGION_S, REGION_S, Avoided
from apothic_emulator.core.renting import Failure, Rent, SeekOffers
from tests.unit.emulator.core.driving import only
from tests.unit.emulator.core.renting import TERMS, Renter, avoided, offer


def there(region: str, usd: float, **more: float) -> Offer:
    """Machines of which it is told where they are, and not on which computers."""
    return offer(f"{usd}@{region}", usd, None, region=region, **more)


BOTH = there("ams", 0.2), there("iad", 0.21)


def rented(driver: Renter, *offers: Offer, number: int = 1) -> Rent:
    """A machine is made, for whoever waits."""
    (rent,) = driver.offers(*(offers or BOTH))
    driver.rented(rent, rent.offer.values["dph_base"], number)
    return rent


def fails(driver: Renter, *offers: Offer, number: int = 1) -> Rent:
    """That does not come up, and others are sought."""
    rent = rented(driver, *offers, number=number)
    assert only(driver.pass_s(TERMS.boot_s + 1), SeekOffers)
    return rent


def regions(*rents: Rent) -> list[str]:
    return [it.offer.values["region"] for it in rents]


# --- regions --------------------------------------------------------------------------------------


def test_where_a_machine_has_not_come_up_the_next_is_not_made() -> None:
    driver = Renter()
    driver.submit()

    assert regions(fails(driver), rented(driver, number=2)) == ["ams", "iad"]


def test_no_other_function_gets_one_there_either() -> None:
    driver = Renter()
    other = driver.register("g", cpu=8)
    driver.submit()
    fails(driver)
    driver.submit(other)

    assert regions(*driver.offers(*BOTH, function=2)) == ["iad"]


def test_a_region_is_tried_again_after_minutes() -> None:
    driver = Renter()
    driver.submit()
    fails(driver)
    assert avoided(driver) == {"ams": REGION_S - 1}
    driver.pass_s(REGION_S)

    assert avoided(driver) == {}
    assert regions(rented(driver, number=2)) == ["ams"]


def test_a_region_that_fails_again_and_again_is_left_alone_for_longer_each_time() -> None:
    places, unix, left_s = Avoided(), 1000.0, list[float]()
    for _ in range(6):
        places.fails("", "ams", unix)
        places.fails("", "ams", unix + 1)  # was asked for before that, too
        left_s.append(places.at(unix)["ams"] - unix)
        unix += left_s[-1]

    assert left_s == [REGION_S, 2 * REGION_S, 4 * REGION_S, 8 * REGION_S, *[LONGEST_REGION_S] * 2]


def test_a_region_that_has_failed_long_ago_begins_anew() -> None:
    places = Avoided()
    places.fails("", "ams", 0.0)
    places.fails("", "ams", REGION_S + LONGEST_REGION_S)

    assert places.at(REGION_S + LONGEST_REGION_S) == {"ams": 2 * REGION_S + LONGEST_REGION_S}


def test_where_a_machine_comes_up_others_may_be_made() -> None:
    driver = Renter(cpu=8)
    driver.submit()
    driver.submit()
    first, second = driver.offers(*BOTH)
    assert regions(first, second) == ["ams", "ams"]
    driver.rented(first, 0.2, 1)
    driver.now += 1
    driver.rented(second, 0.2, 2)
    driver.wait_until(driver.now + TERMS.boot_s - 0.5)
    assert [*avoided(driver)] == ["ams"]

    driver.comes_up(second.tag)

    assert avoided(driver) == {}


def test_where_all_regions_have_failed_the_first_is_tried_again_and_that_is_told() -> None:
    driver = Renter()
    job = driver.submit()
    dearer = there("ams", 0.3)  # which is no reason to take it
    fails(driver, *BOTH, dearer)
    second = rented(driver, *BOTH, dearer, number=2)
    (third,) = only(driver.lists(driver.seen(second.tag, "v2", state=FAILED)), Rent)

    assert [*avoided(driver)] == ["ams", "iad"]
    assert (second.offer.name, third.offer.name) == ("0.21@iad", "0.2@ams")
    assert "tried in ams again, as all that will do has failed" in driver.look(job).waiting
    assert driver.machines[-1].note.startswith("it is tried in ams again")


def test_the_only_region_that_will_do_is_tried_again_until_there_is_a_pause() -> None:
    driver = Renter()
    job = driver.submit()
    ams = there("ams", 0.2)
    for number in range(4):
        fails(driver, ams, number=number)
    rented(driver, ams, number=5)

    assert not only(driver.pass_s(TERMS.boot_s + 1), SeekOffers)
    told = "5 machines came to nothing; there is a pause of 5 min; the last one: vast: it has not"
    assert told in driver.look(job).waiting


def test_where_there_is_no_room_the_same_size_is_not_asked_for_again_at_once() -> None:
    driver = Renter()
    driver.submit()
    (rent,) = driver.offers(there("ams", 0.2))
    driver.not_rented(rent, Failure("no_capacity", "full"))
    assert driver.offers(there("ams", 0.2)) == []
    driver.pass_s(301)

    assert avoided(driver) == {}
    assert driver.offers(there("ams", 0.2))


def test_where_machines_fail_is_known_after_a_restart() -> None:
    driver = Renter()
    driver.submit()
    fails(driver)
    rented(driver, number=2)
    driver.restart()

    assert avoided(driver) == {"ams": REGION_S - 1}
    driver.lists(driver.seen(driver.machines[-1].tag, "v2", 0.21))
    driver.pass_s(TERMS.boot_s + 1)
    assert [*avoided(driver)] == ["iad"]  # where it was made is known, too


# --- computers ------------------------------------------------------------------------------------


def test_a_computer_is_left_alone_for_hours() -> None:
    driver = Renter()
    driver.rented(driver.rent(offer(region="ams")))
    driver.pass_s(TERMS.boot_s)

    assert avoided(driver) == {"1": HOST_S}


def test_what_is_gone_before_it_has_come_up_has_not_come_up() -> None:
    driver = Renter()
    rent = driver.rent()
    driver.rented(rent)
    driver.pass_s(150)
    driver.lists()  # which was asked for too early
    for _ in range(2):
        driver.lists()

    assert [*avoided(driver)] == ["1"]
    assert "vast: it is gone" in driver.look(1).waiting


def test_an_offer_that_was_taken_is_not_tried_again_for_some_minutes() -> None:
    driver = Renter()
    driver.not_rented(driver.rent(), Failure("offer_gone", "somebody else has it"))
    driver.pass_s(61)
    assert driver.offers(offer()) == []
    driver.pass_s(300)

    assert driver.offers(offer())
