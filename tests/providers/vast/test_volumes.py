"""Volumes of Vast's: made by themselves, mounted on their host alone, found by their labels."""

from __future__ import annotations

import pytest

from apothic_backends.model.functions import Condition, FunctionSpec
from apothic_backends.providers.base import (
    Mount,
    OfferGone,
    ProviderError,
    SeenVolume,
    Unclear,
    VolumeOrder,
)
from apothic_backends.providers.vast.volumes import VastVolumes
from tests.providers.vast.account import Account


@pytest.fixture
def volumes(account: Account) -> VastVolumes:
    found = account.provider.volumes
    assert found is not None
    return found


@pytest.fixture
def host(account: Account) -> str:
    return str(account.offers()[0].values["machine_id"])


def wish(
    host: str, label: str = "apothic_me_1", size_gb: int = 20, usd: float = 1.0
) -> VolumeOrder:
    return VolumeOrder(label, host, size_gb, usd)


def on(host: str) -> FunctionSpec:
    """A function that can run on that host alone."""
    condition = Condition("machine_id", "eq", int(host), "its volume")
    return FunctionSpec("app", "train", gpu=("RTX 4090",), gpu_count=1, placement=(condition,))


def test_a_volume_is_made_on_its_host_and_listed_by_its_label(
    volumes: VastVolumes, host: str
) -> None:
    made = volumes.rent(wish(host))

    assert made == SeenVolume(made.provider_id, "apothic_me_1", host, 20.0, made.usd_per_hour)
    assert made.usd_per_hour == pytest.approx(20 * 0.15 / 720)
    assert volumes.list("apothic_").volumes == (made,)
    assert volumes.list("apothic_other").volumes == ()


def test_a_machine_of_its_host_has_it_at_a_path(
    account: Account, volumes: VastVolumes, host: str
) -> None:
    made = volumes.rent(wish(host))
    (offer,) = account.provider.offers(on(host), 20)

    account.provider.create(account.order(offer=offer, volume=Mount(made.provider_id, "/data")))

    (machine,) = account.fake.alive()
    mounted = {"create_new": False, "volume_id": int(made.provider_id), "mount_path": "/data"}
    assert machine.body["volume_info"] == mounted
    assert [it.is_in_use for it in volumes.list("").volumes] == [True]


def test_a_machine_of_another_host_cannot_have_it(
    account: Account, volumes: VastVolumes, host: str
) -> None:
    made = volumes.rent(wish(host))
    offer = next(it for it in account.offers() if str(it.values["machine_id"]) != host)

    with pytest.raises(ProviderError, match=f"is on machine {host}"):
        account.provider.create(account.order(offer=offer, volume=Mount(made.provider_id, "/d")))

    assert account.fake.alive() == []


def test_one_that_a_machine_has_is_not_deleted_until_a_while_after_that_is_gone(
    account: Account, volumes: VastVolumes, host: str
) -> None:
    made = volumes.rent(wish(host))
    (offer,) = account.provider.offers(on(host), 20)
    order = account.order(offer=offer, volume=Mount(made.provider_id, "/data"))
    rented = account.provider.create(order)

    account.provider.destroy(rented.provider_id)
    with pytest.raises(ProviderError, match="in use"):
        volumes.delete(made.provider_id)
    account.wait(31)
    volumes.delete(made.provider_id)
    volumes.delete(made.provider_id)

    assert volumes.list("").volumes == ()


def test_nothing_is_rented_where_there_is_no_room_or_that_costs_more(
    account: Account, volumes: VastVolumes, host: str
) -> None:
    for order in (wish(host, size_gb=401), wish(host, usd=0.0041)):
        with pytest.raises(OfferGone, match=f"machine {host} has no room for a volume"):
            volumes.rent(order)

    assert account.fake.disks.made == {}


def test_what_is_unclear_is_found_by_its_label(
    account: Account, volumes: VastVolumes, host: str
) -> None:
    account.fake.next("create_volume", lose_reply=True)

    with pytest.raises(Unclear):
        volumes.rent(wish(host))

    assert [it.label for it in volumes.list("apothic_me_1").volumes] == ["apothic_me_1"]
    assert account.fake.disks.asked == ["apothic_me_1"]


def test_a_label_has_to_be_one(volumes: VastVolumes, host: str) -> None:
    with pytest.raises(ProviderError, match="letters, digits"):
        volumes.rent(wish(host, label="my data"))


def test_hosts_without_room_for_a_volume_are_known_by_their_offers(account: Account) -> None:
    first, *_ = account.fake.offers
    first["avail_vol_size"] = None

    those = account.offers(offer_filters={"avail_vol_size": {"gte": 20}}, gpu_count=1)

    assert str(first["ask_contract_id"]) not in {it.name for it in those}
    assert those


def test_who_names_a_machine_is_not_asked_how_reliable_it_is(account: Account, host: str) -> None:
    for row in account.fake.offers:
        row["reliability"], row["verification"] = 0.5, "unverified"

    assert [str(it.values["machine_id"]) for it in account.provider.offers(on(host), 20)] == [host]
