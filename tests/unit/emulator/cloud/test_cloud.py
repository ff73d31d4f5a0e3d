"""What the core wants of providers is done, and answered once."""

from __future__ import annotations

from collections.abc import Iterator
from queue import SimpleQueue
from typing import Any

import pytest

from apothic_backends.model.functions import FunctionSpec
from apothic_backends.placement.offers import Offer
from apothic_backends.providers.base import Blocked, Busy, OfferGone, Order, Rented, Unclear
from apothic_emulator.cloud.cloud import Cloud
from apothic_emulator.core.renting import (
    Destroy,
    Failure,
    Forget,
    ListRented,
    MachineEnded,
    MachineRented,
    MachinesSeen,
    OffersFound,
    Rent,
    RentVolume,
    SeekOffers,
)
from tests.fakes.provider import MemoryProvider, offer, order

TAG = "apothic/p/1"
RENT = Rent(1, "memory", TAG, Offer("one", {}), 1.0, 16.0, 3600.0)


class Papers:
    """Remembers which tokens hold."""

    def __init__(self) -> None:
        self.valid: SimpleQueue[str] = SimpleQueue()
        self.revoked: SimpleQueue[str] = SimpleQueue()
        self.error: Exception | None = None

    def order(self, rent: Rent) -> Order:
        if self.error is not None:
            raise self.error
        self.valid.put(rent.tag)
        return order(rent.tag, most_usd_per_hour=rent.most_usd_per_hour)

    def check_volume(self, rent: RentVolume) -> None:
        if self.error is not None:
            raise self.error

    def veiled(self, text: str) -> str:
        return text.replace("token", "***")

    def revoke(self, tag: str) -> None:
        self.revoked.put(tag)


class Setting:
    """A provider, and what the core hears of it."""

    def __init__(self) -> None:
        self.provider, self.papers = MemoryProvider(), Papers()
        self.heard: SimpleQueue[Any] = SimpleQueue()
        self.cloud = Cloud({"memory": self.provider}, self.papers, self.heard.put)

    def do(self, errand: Any) -> Any:
        self.cloud.carry_out(errand)
        return self.next()

    def next(self) -> Any:
        return self.heard.get(timeout=30).command


@pytest.fixture
def it() -> Iterator[Setting]:
    setting = Setting()
    yield setting
    setting.cloud.close()


def test_offers_are_found(it: Setting) -> None:
    found = it.do(SeekOffers(7, "memory", FunctionSpec("app", "f"), 16.0))

    assert found == OffersFound(7, "memory", (offer(),))


def test_a_machine_is_rented_with_a_token_of_its_own(it: Setting) -> None:
    assert it.do(RENT) == MachineRented(1, "memory", TAG, Rented("m1", 0.5, "host"))
    assert it.papers.valid.get(timeout=0) == TAG
    assert it.papers.revoked.empty()


@pytest.mark.parametrize(
    "error", [OfferGone("gone"), Blocked("no money"), Busy("later", after_s=40.0)]
)
def test_what_was_not_rented_has_no_token_any_more(error: Any, it: Setting) -> None:
    it.provider.fail("create", error)

    after_s = 40.0 if isinstance(error, Busy) else 0.0
    failure = Failure(error.code, error.message, after_s)
    assert it.do(RENT) == MachineRented(1, "memory", TAG, failure=failure)
    assert it.papers.revoked.get(timeout=0) == TAG


@pytest.mark.parametrize("error", [Unclear("who knows"), RuntimeError("a bug")])
def test_what_may_have_been_rented_keeps_its_token(error: Exception, it: Setting) -> None:
    it.provider.fail("create", error)

    assert it.do(RENT).failure.code == "provider_unclear"
    assert it.papers.revoked.empty()


def test_a_machine_whose_token_cannot_be_kept_is_not_rented(it: Setting) -> None:
    it.papers.error = RuntimeError("the disk is full")

    assert it.do(RENT).failure == Failure("provider_error", "RuntimeError: the disk is full")
    assert it.provider.orders == []


def test_a_machine_is_destroyed(it: Setting) -> None:
    it.do(RENT)

    assert it.do(Destroy(1, "memory", "m1", TAG)) == MachineEnded(1)
    assert it.provider.machines == {}


def test_a_machine_that_cannot_be_destroyed_is_told_of(it: Setting) -> None:
    it.provider.fail("destroy", ValueError("what?"))

    ended = it.do(Destroy(1, "memory", "m1", TAG))

    assert ended == MachineEnded(1, Failure("provider_error", "ValueError: what?"))


def test_a_machine_that_has_failed_is_asked_what_it_has_printed_before_it_goes(
    it: Setting, caplog: pytest.LogCaptureFixture
) -> None:
    it.do(RENT)
    it.provider.printed = "line 1\nno module named apothic, token\n"

    ended = it.do(Destroy(1, "memory", "m1", TAG, has_failed=True))

    assert ended == MachineEnded(1, said="line 1 no module named apothic, ***")
    assert it.provider.machines == {}
    assert (
        f"memory: machine m1 ({TAG}) has not come up; what it has printed:\nline 1" in caplog.text
    )


def test_a_machine_whose_log_cannot_be_had_goes_all_the_same(
    it: Setting, caplog: pytest.LogCaptureFixture
) -> None:
    it.do(RENT)
    it.provider.fail("logs", RuntimeError("no log"))

    assert it.do(Destroy(1, "memory", "m1", TAG, has_failed=True)) == MachineEnded(1)
    assert it.provider.machines == {}
    assert "(nothing is known)" in caplog.text


def test_a_machine_that_should_have_been_gone_for_long_is_an_error_in_the_log(
    it: Setting, caplog: pytest.LogCaptureFixture
) -> None:
    it.do(Destroy(1, "memory", "m1", TAG))
    assert not caplog.records

    it.do(Destroy(1, "memory", "m1", TAG, late_s=660.0))

    (record,) = caplog.records
    assert record.levelname == "ERROR"
    assert f"machine m1 ({TAG}) should have been gone for 11 min" in record.getMessage()


def test_who_blocks_an_account_is_an_error_in_the_log(
    it: Setting, caplog: pytest.LogCaptureFixture
) -> None:
    it.provider.fail("create", Blocked("the key was revoked"))

    it.do(RENT)

    assert [(its.levelname, its.getMessage()) for its in caplog.records] == [
        ("ERROR", "memory: the key was revoked")
    ]


def test_machines_are_listed_with_the_time_that_was_asked_at(it: Setting) -> None:
    it.do(RENT)

    seen = it.do(ListRented("memory", "apothic/p/", 12.0))

    assert (seen.asked_at, [machine.tag for machine in seen.listing.machines]) == (12.0, [TAG])
    assert it.do(ListRented("memory", "apothic/q/", 13.0)).listing.machines == ()


def test_a_listing_that_fails_is_answered_too(it: Setting) -> None:
    it.provider.fail("list", Busy("later", after_s=3.0))

    failure = Failure("provider_busy", "later", 3.0)
    assert it.do(ListRented("memory", "a", 1.0)) == MachinesSeen("memory", 1.0, failure=failure)


def test_a_machine_that_is_gone_has_its_token_revoked(it: Setting) -> None:
    it.cloud.carry_out(Forget(1, "memory", TAG))

    assert it.papers.revoked.get(timeout=30) == TAG


def test_nothing_waits_for_a_slow_search(it: Setting) -> None:
    it.provider.may_go_on.clear()
    it.cloud.carry_out(SeekOffers(7, "memory", FunctionSpec("app", "f"), 16.0))

    assert isinstance(it.do(Destroy(1, "memory", "m1", TAG)), MachineEnded)
    it.provider.may_go_on.set()
    assert isinstance(it.next(), OffersFound)
