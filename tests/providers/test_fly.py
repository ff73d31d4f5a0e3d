from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest

from apothic_backends.providers.base import (
    BOOTING,
    FAILED,
    RUNNING,
    Blocked,
    NoCapacity,
    ProviderError,
    Unclear,
)
from apothic_backends.providers.fly.provider import FlyProvider
from tests.fakes.fly.fake import FakeFly
from tests.fakes.fly.faults import Faults
from tests.providers.fly import FlyRig, faked
from tests.providers.rigs import PREFIX, found, order_of

T = TypeVar("T")


@pytest.fixture
def rig() -> Iterator[FlyRig]:
    """A provider over a fake whose machines only seem to run."""
    with faked() as (fake, time):
        one = FlyRig(fake, time)
        yield one
        one.provider.close()
        assert fake.violations == []


def states(rig: FlyRig) -> list[str]:
    return [it.state for it in rig.provider.list(PREFIX).machines]


def test_an_app_that_is_not_known_everywhere_yet_is_waited_for(rig: FlyRig) -> None:
    rig.fake.state.app_unknown_for = 6

    rig.provider.create(order_of(rig))

    assert rig.fake.asked["app_create"] == 1
    assert len(rig.tags) == 1
    assert 2 <= rig.time.passed_s < 60


def test_an_app_that_never_comes_is_given_up_after_a_minute(rig: FlyRig) -> None:
    rig.fake.state.app_unknown_for = 1000

    with pytest.raises(Exception, match="60 s after it was made"):
        rig.provider.create(order_of(rig))

    assert 60 <= rig.time.passed_s < 80


def test_an_image_that_was_just_pushed_is_waited_for(rig: FlyRig) -> None:
    rig.fake.state.image_unknown_for = 5

    rig.provider.create(order_of(rig))

    assert len(rig.tags) == 1


def test_no_tag_has_two_machines(rig: FlyRig) -> None:
    rig.provider.create(order_of(rig))

    with pytest.raises(Unclear, match="has been made for"):
        rig.provider.create(order_of(rig))

    assert len(rig.tags) == 1


@pytest.mark.parametrize(
    ("code", "text", "kind"),
    [
        (401, "invalid token", Blocked),
        (403, "not authorized to create machines", Blocked),
        (403, "organization has no payment method", Blocked),
        (408, "timed out", Unclear),
        (409, "insufficient memory available", NoCapacity),
    ],
)
def test_a_refused_create_says_who_has_to_act(
    rig: FlyRig, code: int, text: str, kind: type[Exception]
) -> None:
    rig.provider.create(order_of(rig, 1))
    rig.next("create", refuse=(code, text))

    with pytest.raises(kind):
        rig.provider.create(order_of(rig, 2))

    assert len(rig.tags) == 1


def test_a_full_region_has_no_room_and_another_may(rig: FlyRig) -> None:
    rig.fake.state.full_regions.add("iad")
    offers = {it.name.partition("@")[2]: it for it in rig.provider.offers(rig.spec, 0)}

    with pytest.raises(NoCapacity):
        rig.provider.create(order_of(rig, offer=offers["iad"]))
    rented = rig.provider.create(order_of(rig, offer=offers["ams"], most_usd_per_hour=1.0))

    assert rented.host == "ams"


def test_the_quota_of_a_region_leaves_the_others(rig: FlyRig) -> None:
    rig.fake.state.quota_mb["iad"] = 1000
    rig.provider.create(order_of(rig, 1))

    with pytest.raises(NoCapacity, match="quota"):
        rig.provider.create(order_of(rig, 2))


def test_a_machine_boots_until_it_has_started(rig: FlyRig) -> None:
    rig.fake.state.start_s = 100
    rig.provider.create(order_of(rig))

    assert states(rig) == [BOOTING]
    rig.time.sleep(101)
    assert states(rig) == [RUNNING]


def test_a_machine_that_cannot_start_has_failed_and_one_that_hangs_goes_on_booting(
    rig: FlyRig,
) -> None:
    rig.provider.create(order_of(rig, 0))
    rig.next("create", fate="fails")
    rig.provider.create(order_of(rig, 1))
    rig.next("create", fate="hangs")
    rig.provider.create(order_of(rig, 2))
    rig.time.sleep(3600)

    assert sorted(states(rig)) == sorted([RUNNING, FAILED, BOOTING])


def test_a_machine_whose_host_is_silent_is_there_still(rig: FlyRig) -> None:
    rig.provider.create(order_of(rig))
    (machine,) = rig.fake.machines
    rig.fake.lose_host(machine.id)
    seen = found(rig.provider, order_of(rig).tag)

    assert seen is not None
    assert "unreachable" in seen.detail
    assert [it.tag for it in rig.provider.list(PREFIX).machines] == [order_of(rig).tag]


def test_where_a_machine_tells_nothing_the_list_is_not_whole(rig: FlyRig) -> None:
    rig.provider.create(order_of(rig, 1))
    rig.provider.create(order_of(rig, 2))
    assert rig.provider.list(PREFIX).whole
    rig.fake.lose_host(rig.fake.machines[0].id, is_dark=True)

    found = rig.provider.list(PREFIX)

    assert not found.whole
    assert len(found.machines) == 1


def test_a_destroy_that_did_nothing_is_seen_in_the_next_list(rig: FlyRig) -> None:
    machine = rig.provider.create(order_of(rig)).provider_id
    rig.next("destroy", stubborn=True)

    rig.provider.destroy(machine)
    assert len(states(rig)) == 1
    rig.provider.destroy(machine)
    assert states(rig) == []


def test_a_destroy_whose_reply_is_lost_is_sent_again(rig: FlyRig) -> None:
    machine = rig.provider.create(order_of(rig)).provider_id
    rig.next("destroy", lose_reply=True)

    rig.provider.destroy(machine)

    assert rig.tags == []


def test_the_limits_of_fly_are_kept_so_that_it_never_has_to_refuse() -> None:
    with faked(is_limited=True) as (fake, time):
        rig = FlyRig(fake, time)
        for number in range(12):
            rig.provider.create(order_of(rig, number))
            rig.provider.list(PREFIX)
        rig.provider.close()

        assert fake.too_many == 0
        assert len(fake.machines) == 12
        assert time.passed_s >= 9  # one a second after the first three


@pytest.mark.parametrize("seed", range(15))
def test_whatever_goes_wrong_each_tag_has_one_machine_at_most_and_all_of_them_go(
    seed: int,
) -> None:
    trouble = dict.fromkeys(("drop", "broken", "garbage", "busy", "lose_reply", "garble"), 0.08)
    faults = Faults(seed, **trouble, fate=0.2, stubborn=0.2)
    with faked(faults=faults) as (fake, time):
        rig = FlyRig(fake, time)
        for number in range(6):
            for _ in range(3):  # as nobody should, who keeps books
                _try(lambda number=number: rig.provider.create(order_of(rig, number)))
        assert len(rig.tags) == len(set(rig.tags))

        for _ in range(100):
            listing = _try(lambda: rig.provider.list(PREFIX))
            if listing is not None and listing.whole and not listing.machines:
                break
            for machine in [] if listing is None else listing.machines:
                _try(lambda its=machine: rig.provider.destroy(its.provider_id))
        assert rig.tags == []
        assert fake.violations == []
        rig.provider.close()


def _try(ask: Callable[[], T]) -> T | None:
    try:
        return ask()
    except ProviderError:
        return None


def test_what_a_machine_costs_is_metered_as_it_was_told(rig: FlyRig) -> None:
    rented = rig.provider.create(order_of(rig))
    assert [it.state for it in rig.fake.machines] == ["started"]
    rig.time.sleep(7200)
    rig.provider.destroy(rented.provider_id)
    rig.time.sleep(7200)

    assert rig.fake.usd == pytest.approx(2 * rented.usd_per_hour, rel=0.01)
    assert rig.fake.usd_per_hour == 0


def test_logs_of_nowhere_are_empty(rig: FlyRig) -> None:
    rig.next("logs", times=9, broken=True)
    machine = rig.provider.create(order_of(rig)).provider_id

    assert rig.provider.logs(machine) == ""


def test_the_token_may_have_its_word_before_it(rig: FlyRig) -> None:
    other = FlyProvider(
        f"FlyV1 {FakeFly.token}", FakeFly.org, url=rig.fake.url, clock=rig.time.clock
    )

    assert other.list(PREFIX).machines == ()
    other.close()
