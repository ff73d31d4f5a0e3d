"""Many machines of a market that misbehaves: none is rented twice, and none is left behind."""

from __future__ import annotations

from contextlib import suppress

import pytest

from apothic_backends.placement.offers import Offer
from apothic_backends.providers.base import ProviderError
from tests.fakes.vast import market
from tests.fakes.vast.faults import Faults
from tests.providers.vast.account import Account, opened

RATES = {
    "drop": 0.05,
    "broken": 0.05,
    "garbage": 0.05,
    "busy": 0.1,
    "lose_reply": 0.1,
    "gone": 0.1,
    "refused": 0.1,
    "leaves": 0.1,
    "lag": 0.3,
    "fate": 0.3,
    "stubborn": 0.2,
    "stale": 0.2,
}


@pytest.mark.parametrize("seed", range(8))
def test_each_tag_has_one_machine_at_most_and_a_sweep_leaves_none(seed: int) -> None:
    offers = [market.offer(place) for place in range(30)]
    with opened(offers=offers, faults=Faults(seed, **RATES), boot_s=60) as account:
        for place in range(10):
            with suppress(ProviderError):
                account.provider.create(account.order(f"apothic/me/{place}", offer=_free(account)))
        made = [it.label for it in account.fake.instances.values()]
        assert len(made) == len(set(made))

        account.wait(120)
        _sweep(account)
        assert account.fake.alive() == []


def _free(account: Account) -> Offer:
    """An offer that is left."""
    while True:
        with suppress(ProviderError):
            return account.offers()[0]
        account.wait(60)


def _sweep(account: Account) -> None:
    """Destroy whatever is listed, until nothing was for some lists, which may be stale."""
    quiet = 0
    while quiet < 6:
        account.wait(60)
        with suppress(ProviderError):
            listing = account.provider.list("apothic/me/")
            quiet = quiet + 1 if listing.whole and not listing.machines else 0
            for it in listing.machines:
                with suppress(ProviderError):
                    account.provider.destroy(it.provider_id)
