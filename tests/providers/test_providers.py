from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing

import pytest

from apothic_backends.placement.compiling import conditions_of
from apothic_backends.placement.offers import choose
from apothic_backends.providers.base import (
    BOOTING,
    FAILED,
    RUNNING,
    STOPPED,
    Blocked,
    Busy,
    NoCapacity,
    OfferGone,
    Order,
    ProviderError,
    Unclear,
)
from tests.providers.rigs import PREFIX, SLEEPER, Rig, found, order_of


def created(rig: Rig, number: int = 1) -> str:
    return rig.provider.create(order_of(rig, number)).provider_id


def test_offers_meet_all_that_a_function_asks_for_and_have_prices(rig: Rig) -> None:
    offers = rig.provider.offers(rig.spec, 8.0)
    choice = choose(conditions_of(rig.spec), offers)

    assert [*choice.candidates] != []
    assert all(not choice.why_not(it) for it in offers)
    assert all(it.usd_per_hour for it in offers)


def test_what_nobody_has_is_not_offered(rig: Rig) -> None:
    assert [*rig.provider.offers(rig.spec.replace(memory_mb=10_000_000), 8.0)] == []


def test_a_machine_is_found_by_its_tag_and_costs_what_it_was_offered_for(rig: Rig) -> None:
    order = order_of(rig)
    rented = rig.provider.create(order)
    seen = found(rig.provider, order.tag)

    assert seen is not None
    assert (seen.provider_id, seen.tag, seen.host) == (rented.provider_id, order.tag, rented.host)
    assert seen.state in (BOOTING, RUNNING)
    assert rented.usd_per_hour == pytest.approx(order.offer.usd_per_hour, rel=0.05)
    assert seen.usd_per_hour == pytest.approx(rented.usd_per_hour, rel=0.05)
    assert rig.tags == [order.tag]


def test_what_nobody_has_made_is_not_found(rig: Rig) -> None:
    assert found(rig.provider, f"{PREFIX}7-x") is None
    assert rig.provider.list(PREFIX).machines == ()

    created(rig)

    assert found(rig.provider, f"{PREFIX}7-x") is None


def test_a_list_has_all_whose_tags_begin_so_and_no_others(rig: Rig) -> None:
    ids = {created(rig, number) for number in (1, 2)}
    other = rig.provider.create(order_of(rig, tag="apothic/another-plane/1-x"))

    own, everybody = rig.provider.list(PREFIX), rig.provider.list("apothic/")

    assert own.whole
    assert everybody.whole
    assert {it.provider_id for it in own.machines} == ids
    assert {it.provider_id for it in everybody.machines} == {*ids, other.provider_id}


def test_a_machine_that_is_destroyed_is_gone_and_may_be_destroyed_again(rig: Rig) -> None:
    one, other = created(rig, 1), created(rig, 2)

    for _ in range(2):
        rig.provider.destroy(one)

    assert [it.provider_id for it in rig.provider.list(PREFIX).machines] == [other]
    assert rig.tags == [f"{PREFIX}2-x_Y"]


def test_a_create_whose_reply_is_lost_is_unclear_and_its_machine_is_found(rig: Rig) -> None:
    created(rig, 1)
    order = order_of(rig, 2)
    rig.next("create", lose_reply=True)

    with pytest.raises(Unclear):
        rig.provider.create(order)

    assert rig.tags == [f"{PREFIX}1-x_Y", order.tag]
    assert found(rig.provider, order.tag) is not None


@pytest.mark.parametrize("fault", ["drop", "broken", "garbage"])
def test_a_create_in_trouble_is_unclear_and_is_not_sent_again(rig: Rig, fault: str) -> None:
    created(rig, 1)
    rig.next("create", **{fault: True})

    with pytest.raises(Unclear):
        created(rig, 2)

    assert rig.tags == [f"{PREFIX}1-x_Y"]
    assert found(rig.provider, f"{PREFIX}2-x_Y") is None


def test_a_create_that_is_asked_to_wait_is_made_once_or_not_at_all(rig: Rig) -> None:
    rig.next("create", busy=True)
    order = order_of(rig)

    try:
        rig.provider.create(order)
    except Busy:
        assert rig.tags == []
    else:
        assert rig.tags == [order.tag]


def test_what_costs_more_than_may_be_paid_is_not_rented(rig: Rig) -> None:
    with pytest.raises((NoCapacity, OfferGone)):
        rig.provider.create(order_of(rig, most_usd_per_hour=0.000001))

    assert rig.tags == []


@pytest.mark.parametrize("fault", ["drop", "broken", "garbage", "busy"])
def test_a_list_in_trouble_is_asked_for_again(rig: Rig, fault: str) -> None:
    machine = created(rig)
    rig.next("list", **{fault: True})

    assert [it.provider_id for it in rig.provider.list(PREFIX).machines] == [machine]


def test_a_list_that_stays_in_trouble_is_an_error_and_not_an_empty_list(rig: Rig) -> None:
    created(rig)
    for _ in range(20):
        rig.next("list", broken=True)

    with pytest.raises(ProviderError) as caught:
        rig.provider.list(PREFIX)

    assert not isinstance(caught.value, Unclear)


@pytest.mark.parametrize(
    "ask",
    [
        lambda one, rig: one.create(order_of(rig)),
        lambda one, rig: one.list(PREFIX),
        lambda one, rig: one.destroy("1"),
    ],
    ids=["create", "list", "destroy"],
)
def test_without_a_good_key_nothing_is_had_until_somebody_acts(
    rig: Rig, ask: Callable[..., object]
) -> None:
    with closing(rig.stranger()) as stranger, pytest.raises(Blocked) as caught:
        ask(stranger, rig)

    assert rig.token not in f"{caught.value} {caught.value.data}"


def test_a_machine_whose_program_ends_costs_nothing_or_is_told_to_have_stopped(rig: Rig) -> None:
    order = order_of(rig, argv=(SLEEPER[0], "-c", "raise SystemExit(3)"))
    machine = rig.provider.create(order).provider_id
    seen = found(rig.provider, order.tag)
    for _ in range(3000):  # a process takes real time to end, and that of the provider is virtual
        if seen is None or seen.state in (STOPPED, FAILED):
            break
        threading.Event().wait(0.01)
        rig.time.sleep(5.0)
        seen = found(rig.provider, order.tag)

    assert seen is None or (seen.provider_id, seen.state) in [(machine, STOPPED), (machine, FAILED)]


def test_threads_may_create_at_once_and_each_gets_its_own(rig: Rig) -> None:
    orders = [order_of(rig, number) for number in range(4)]
    ids: list[str] = []

    def create(order: Order) -> None:
        ids.append(rig.provider.create(order).provider_id)

    threads = [threading.Thread(target=create, args=(order,)) for order in orders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(ids)) == 4
    assert sorted(rig.tags) == [order.tag for order in orders]


def test_what_a_machine_has_printed_is_text(rig: Rig) -> None:
    assert isinstance(rig.provider.logs(created(rig)), str)
    assert rig.provider.logs("1234567") == ""
