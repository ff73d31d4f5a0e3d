"""What the fake market offers, and what is left of it."""

from __future__ import annotations

from typing import Any

import pytest

from apothic_backends.providers.base import Blocked
from tests.fakes.vast import market
from tests.providers.vast.account import Account


def test_offers_are_those_that_meet_everything_even_if_the_market_does_not_keep_to_it(
    account: Account,
) -> None:
    wanted: dict[str, Any] = {
        "gpu": "RTX 4090",
        "max_cost_per_hour_usd": 0.5,
        "geolocation": ["US", "CA"],
    }
    careful = account.offers(**wanted)
    account.wait(10)
    account.fake.ignored = frozenset({"gpu_name", "dph_total", "geolocation", "gpu_ram"})

    assert account.offers(**wanted) == careful
    assert careful
    assert all(it.values["gpu_name"] == "RTX 4090" for it in careful)
    assert all((it.usd_per_hour or 9) <= 0.5 for it in careful)


def test_more_offers_than_come_at_once_are_got_by_their_price(account: Account) -> None:
    account.fake.offers = [market.offer(i, dph_base=0.2 + i / 1000) for i in range(150)]

    assert len(account.offers()) == 150
    assert account.fake.calls == ["search"] * 3


def test_the_same_is_not_asked_again_for_some_seconds(account: Account) -> None:
    before = account.offers()
    assert account.offers() == before
    assert account.fake.calls == ["search"]

    account.wait(6)
    account.offers()
    assert account.fake.calls == ["search"] * 2


def test_searches_come_no_faster_than_the_market_allows(account: Account) -> None:
    for disk_gb in range(10, 30):
        account.offers(disk_gb=disk_gb)

    assert account.fake.throttled == []
    assert account.fake.calls == ["search"] * 20


def test_after_a_days_searches_nobody_asks_until_the_next(account: Account) -> None:
    account.fake.next("search", quota=True)

    for _ in range(2):
        with pytest.raises(Blocked, match="search"):
            account.offers()
    assert account.fake.calls == ["search"]

    account.wait(6 * 3600 + 1)
    assert account.offers()


def test_functions_without_gpus_are_offered_nothing(account: Account) -> None:
    assert account.offers(min_cpu_cores=2) == []
    assert account.fake.calls == []
