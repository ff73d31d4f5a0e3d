"""What is seen of machines at the fake market, as they come up, fail, and are lost."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from apothic_backends.providers.base import BOOTING, FAILED, RUNNING, STOPPED, ProviderError, Seen
from apothic_backends.providers.vast import renting
from tests.fakes.vast import market
from tests.fakes.vast.fake import KEY
from tests.fakes.vast.instance import OFFLINE_S
from tests.providers.rigs import found
from tests.providers.vast.account import TOKEN, Account, opened

BOOT_S = 300


@pytest.fixture
def account() -> Iterator[Account]:
    """One whose machines take their time to boot."""
    with opened(boot_s=BOOT_S) as account:
        yield account


def state(account: Account) -> str:
    """How the machine is; "" if there is none."""
    seen = look(account)
    return seen.state if seen is not None else ""


def look(account: Account) -> Seen | None:
    """The machine."""
    return found(account.provider, "apothic/me/1")


def test_a_machine_boots_and_runs(account: Account) -> None:
    account.rent()
    assert state(account) == BOOTING

    account.wait(BOOT_S / 2)
    assert state(account) == BOOTING

    account.wait(BOOT_S / 2)
    assert state(account) == RUNNING


def test_a_machine_that_hangs_is_booting_for_ever(account: Account) -> None:
    order = account.order()
    account.fake.next("create", fate="hangs")
    account.provider.create(order)

    account.wait(86_400)

    assert state(account) == BOOTING


def test_a_machine_whose_image_cannot_be_run_has_failed_and_says_why(account: Account) -> None:
    order = account.order()
    account.fake.next("create", fate="fails")
    account.provider.create(order)

    account.wait(BOOT_S)

    seen = look(account)
    assert seen is not None
    assert seen.state == FAILED
    assert "OCI runtime create failed" in seen.detail


def test_a_host_that_is_not_heard_of_for_long_is_lost(account: Account) -> None:
    rented = account.rent()
    account.wait(BOOT_S)
    account.fake.lose_host(int(rented.provider_id))

    assert state(account) == BOOTING  # it may be back
    account.wait(61)
    assert state(account) == FAILED
    account.wait(OFFLINE_S)
    assert state(account) == ""


def test_a_host_that_is_not_heard_of_for_a_moment_has_not_failed(account: Account) -> None:
    rented = account.rent()
    account.wait(BOOT_S)

    account.fake.silence(int(rented.provider_id), 50)
    assert state(account) == BOOTING
    account.wait(50)
    assert state(account) == RUNNING
    account.wait(50)
    account.fake.silence(int(rented.provider_id), 50)
    assert state(account) == BOOTING


def test_without_credit_machines_are_stopped(account: Account) -> None:
    account.rent()
    account.wait(BOOT_S)
    account.fake.credit = account.fake.spent()

    seen = look(account)

    assert seen is not None
    assert (seen.state, seen.preempted) == (STOPPED, False)
    assert "no credit" in seen.detail


def test_a_machine_whose_contract_has_ended_is_stopped(account: Account) -> None:
    rented = account.rent()
    account.fake.end_contract(int(rented.provider_id))

    seen = look(account)

    assert seen is not None
    assert (seen.state, seen.preempted) == (STOPPED, False)
    assert "contract has ended" in seen.detail


def test_a_machine_that_was_outbid_was_preempted(account: Account) -> None:
    rented = account.rent()
    account.fake.outbid(int(rented.provider_id))

    seen = look(account)

    assert seen is not None
    assert (seen.state, seen.preempted) == (STOPPED, True)


def test_a_machine_may_be_listed_only_some_time_after_it_was_made(account: Account) -> None:
    order = account.order()
    account.fake.next("create", lag_s=30)
    rented = account.provider.create(order)

    assert rented.usd_per_hour == order.offer.usd_per_hour  # what was offered: it cannot be read
    assert state(account) == ""
    account.wait(30)
    assert state(account) == BOOTING


@pytest.fixture
def crowd(account: Account) -> Account:
    """One with 60 machines of our own, and one of somebody else's."""
    body = renting.body_of(account.order())
    tags = [*(f"apothic/me/{place}" for place in range(60)), "another's"]
    for place, tag in enumerate(tags):
        account.fake.make(market.offer(place), {**body, "label": tag})
    return account


def test_all_pages_of_a_list_are_read(crowd: Account) -> None:
    crowd.fake.calls.clear()

    listing = crowd.provider.list("apothic/me/")

    assert listing.whole
    assert {it.tag for it in listing.machines} == {f"apothic/me/{place}" for place in range(60)}
    assert crowd.fake.calls == ["list"] * 3


def test_a_list_that_breaks_off_or_leaves_some_out_is_not_whole(crowd: Account) -> None:
    crowd.fake.next("list")
    for _ in range(5):
        crowd.fake.next("list", broken=True)
    broken = crowd.provider.list("apothic/")
    crowd.fake.next("list", short=True)
    short = crowd.provider.list("apothic/")
    crowd.fake.next("list", odd=True)
    odd = crowd.provider.list("apothic/")

    assert (len(broken.machines), broken.whole) == (25, False)
    assert (len(short.machines), short.whole) == (59, False)
    assert (len(odd.machines), odd.whole) == (59, False)


def test_no_list_at_all_is_an_error(account: Account) -> None:
    for _ in range(5):
        account.fake.next("list", garbage=True)

    with pytest.raises(ProviderError, match="502"):
        account.provider.list("apothic/")


def test_nobody_sees_keys_and_tokens(account: Account, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    account.rent()
    account.provider.list("")
    account.provider.credit()
    order = account.order("apothic/me/2")
    account.fake.next("create", garbage=True)
    with pytest.raises(ProviderError) as caught:
        account.provider.create(order)

    shown = [caplog.text, repr(account.provider), repr(order), str(caught.value), str(vars(caught))]
    for secret in (KEY, TOKEN, "instance-key", "a-session", "somebody@example.com"):
        assert not [text for text in shown if secret in text]


def test_logs_are_what_a_machine_and_its_host_say_and_the_key_is_not_sent_for_them(
    account: Account,
) -> None:
    order = account.order()
    account.fake.next("create", fate="fails")
    rented = account.provider.create(order)
    account.wait(BOOT_S)

    assert "OCI runtime create failed" in account.provider.logs(rented.provider_id)
    assert account.provider.logs("1") == ""
