"""Renting machines of the fake market, and seeing them go."""

from __future__ import annotations

import logging

import pytest

from apothic_backends.providers.base import (
    RUNNING,
    Blocked,
    Login,
    NoCapacity,
    OfferGone,
    ProviderError,
    Unclear,
)
from tests.fakes.vast import market
from tests.providers.rigs import found
from tests.providers.vast.account import TOKEN, Account


def test_what_was_rented_is_found_by_its_tag_at_its_price_and_on_its_host(
    account: Account,
) -> None:
    offer = account.offers()[0]

    rented = account.provider.create(account.order(offer=offer))

    seen = found(account.provider, "apothic/me/1")
    assert seen is not None
    assert (seen.provider_id, seen.state) == (rented.provider_id, RUNNING)
    assert rented.usd_per_hour == pytest.approx(offer.usd_per_hour)
    assert seen.usd_per_hour == rented.usd_per_hour
    assert seen.host == rented.host == str(offer.values["machine_id"])
    assert found(account.provider, "apothic/me") is None


def test_a_machine_is_asked_for_so_that_nothing_is_left_if_it_cannot_be_had(
    account: Account,
) -> None:
    account.rent()

    (made,) = account.fake.alive()
    assert made.body["cancel_unavail"] is True
    assert made.body["runtype"] == "args"
    assert made.body["args"] == ["sleep", "600"]
    assert made.body["env"] == {"APOTHIC_AGENT_TOKEN": TOKEN}
    assert "price" not in made.body


@pytest.mark.parametrize("attempt", range(3))
def test_an_offer_that_somebody_else_has_is_gone_in_whatever_words(
    account: Account, attempt: int
) -> None:
    order = account.order()
    account.fake.faults.chance.seed(attempt)
    account.fake.next("create", gone=True)

    with pytest.raises(OfferGone):
        account.provider.create(order)

    assert account.fake.alive() == []
    assert account.fake.calls.count("create") == 1


def test_an_answer_of_success_that_says_there_was_none_is_an_error(account: Account) -> None:
    order = account.order()
    account.fake.next("create", refused=True)

    with pytest.raises(NoCapacity):
        account.provider.create(order)


def test_what_a_refusal_has_made_all_the_same_is_destroyed(account: Account) -> None:
    order = account.order()
    account.fake.next("create", leaves=True)

    with pytest.raises(ProviderError, match="your bid is too low") as caught:
        account.provider.create(order)

    assert not isinstance(caught.value, Unclear)
    assert account.fake.alive() == []


def test_what_a_refusal_has_made_and_cannot_be_destroyed_is_unclear(account: Account) -> None:
    order = account.order()
    account.fake.next("create", leaves=True)
    account.fake.next("destroy", broken=True)

    with pytest.raises(Unclear, match="yet made machine"):
        account.provider.create(order)

    assert found(account.provider, order.tag) is not None


@pytest.mark.parametrize("fault", ["lose_reply", "drop", "broken", "garbage"])
def test_a_create_without_an_answer_is_unclear_and_not_sent_again(
    account: Account, fault: str
) -> None:
    order = account.order()
    account.fake.next("create", **{fault: True})

    with pytest.raises(Unclear):
        account.provider.create(order)

    assert account.fake.calls.count("create") == 1
    seen = found(account.provider, order.tag)
    assert (seen is not None) is (fault == "lose_reply")


def test_a_machine_that_came_dearer_is_told_at_what_it_really_costs(account: Account) -> None:
    order = account.order()
    account.fake.next("create", dearer=1.5)

    rented = account.provider.create(order)

    assert rented.usd_per_hour == pytest.approx((order.offer.usd_per_hour or 0) * 1.5)


def test_what_is_offered_for_more_than_may_be_paid_is_not_rented(account: Account) -> None:
    with pytest.raises(OfferGone, match="more than"):
        account.provider.create(account.order(most_usd_per_hour=0.1))

    assert "create" not in account.fake.calls


def test_nothing_is_rented_without_credit_for_two_hours(account: Account) -> None:
    order = account.order()
    account.fake.credit = 1.5

    with pytest.raises(Blocked, match=r"\$1\.50 of credit"):
        account.provider.create(order)

    assert "create" not in account.fake.calls


def test_an_account_is_blocked_whose_credit_could_not_be_asked_and_is_used_up(
    account: Account,
) -> None:
    order = account.order()
    account.fake.credit = 0.05
    for _ in range(5):
        account.fake.next("user", broken=True)

    with pytest.raises(Blocked, match="credit"):
        account.provider.create(order)


def test_a_key_that_was_revoked_blocks_everything(account: Account) -> None:
    order = account.order()
    account.fake.keys.clear()
    account.wait(10)

    for call in (
        account.offers,
        lambda: account.provider.create(order),
        lambda: found(account.provider, "x"),
        lambda: account.provider.destroy("1"),
    ):
        with pytest.raises(Blocked):
            call()


def test_what_vast_would_not_take_is_not_sent(account: Account) -> None:
    long = "s3cr3t" * 50

    with pytest.raises(ProviderError, match="variable TOKEN") as caught:
        account.provider.create(account.order(env={"TOKEN": long}))
    with pytest.raises(ProviderError, match="arguments"):
        account.provider.create(account.order(argv=("x" * 5000,)))
    with pytest.raises(ProviderError, match="tag"):
        account.provider.create(account.order("apothic/" + "x" * 60))
    with pytest.raises(ProviderError, match="no offer of Vast"):
        account.provider.create(account.order(offer=account.offers()[0].replace(name="../1")))

    assert "s3cr3t" not in str(caught.value)
    assert "create" not in account.fake.calls


def test_a_machine_that_is_gone_is_destroyed_already(account: Account) -> None:
    rented = account.rent()

    account.provider.destroy(rented.provider_id)
    account.provider.destroy(rented.provider_id)

    assert found(account.provider, "apothic/me/1") is None
    assert account.fake.alive() == []
    with pytest.raises(ProviderError, match="no machine of Vast"):
        account.provider.destroy("1/../2")


def test_what_says_that_it_destroys_and_does_not_is_there_still(account: Account) -> None:
    rented = account.rent()
    account.fake.next("destroy", stubborn=True)

    account.provider.destroy(rented.provider_id)
    assert found(account.provider, "apothic/me/1") is not None

    account.provider.destroy(rented.provider_id)
    assert found(account.provider, "apothic/me/1") is None


def test_calls_come_no_faster_than_the_market_allows(account: Account) -> None:
    account.fake.offers = [market.offer(place, machine_id=place) for place in range(8)]
    offers = account.offers()
    account.fake.offers += [market.offer(100)]

    for place, offer in enumerate(offers):
        rented = account.provider.create(account.order(f"apothic/me/{place}", offer=offer))
        account.provider.list("apothic/")
        account.provider.destroy(rented.provider_id)

    assert account.fake.throttled == []
    assert account.time.passed_s >= 7 * 4.5


def test_a_market_that_is_busy_is_asked_again_later(account: Account) -> None:
    order = account.order()
    for _ in range(3):
        account.fake.next("create", busy=True)

    account.provider.create(order)

    assert len(account.fake.alive()) == 1
    assert account.fake.calls.count("create") == 4


def test_the_password_of_a_registry_is_told_and_shown_nowhere(
    account: Account, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    login = Login("ghcr.io", "me", "sesame")
    account.provider.create(account.order(login=login))

    (made,) = account.fake.alive()
    assert made.body["image_login"] == "-u me -p sesame ghcr.io"
    assert "sesame" not in caplog.text


@pytest.mark.parametrize("wrong", ["a b", "-p", "a;b", ""])
def test_a_password_that_would_be_taken_for_something_else_is_refused(
    account: Account, wrong: str
) -> None:
    with pytest.raises(ProviderError, match="nothing was rented") as refused:
        account.provider.create(account.order(login=Login("ghcr.io", "me", wrong)))
    assert not wrong or wrong not in refused.value.message
    assert account.fake.alive() == []
