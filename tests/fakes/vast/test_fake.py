"""The fake market: what it lets its machines do, and what it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.fakes.serving import served
from tests.fakes.vast import market
from tests.fakes.vast.fake import KEY, FakeVast
from tests.fakes.vast.faults import Faults
from tests.unit.backends.providers.clocks import Time

CREATE: dict[str, Any] = {
    "image": "registry.example.com/agent:1",
    "disk": 20,
    "env": {},
    "runtype": "args",
    "args": ["sleep", "600"],
    "label": "apothic/me/1",
    "cancel_unavail": True,
}


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def fake(time: Time) -> Iterator[FakeVast]:
    offers = [market.offer(0, dph_base=0.36, storage_cost=0.72)]
    with served(FakeVast(offers=offers, now=time.clock.now, boot_s=600)) as fake:
        yield fake


def ask(fake: FakeVast, method: str, path: str, body: Any = None, key: str = KEY) -> Any:
    """A request, and its answer."""
    headers = {"authorization": f"Bearer {key}"}
    return httpx2.request(method, f"{fake.url}{path}", json=body, headers=headers)


def test_what_no_document_allows_is_refused_and_remembered(fake: FakeVast) -> None:
    answers = [
        ask(fake, "PUT", "/api/v0/launch_instance/", {}),
        ask(fake, "GET", "/api/v1/instances/?page=1"),
        ask(fake, "PUT", "/api/v0/asks/21000000/", {**CREATE, "price": 0.2}),
    ]

    assert [it.status_code for it in answers] == [404, 400, 400]
    assert len(fake.violations) == 3
    assert fake.alive() == []


def test_a_machine_costs_its_disk_from_the_first_and_its_gpus_while_it_runs(
    fake: FakeVast, time: Time
) -> None:
    ask(fake, "PUT", "/api/v0/asks/21000000/", CREATE)
    disk_per_hour = 20 * 0.72 / 720

    time.passed_s += 600
    assert fake.spent() == pytest.approx(disk_per_hour / 6)
    time.passed_s += 1800
    assert fake.spent() == pytest.approx(disk_per_hour * 2 / 3 + 0.18)

    (it,) = fake.alive()
    ask(fake, "DELETE", f"/api/v0/instances/{it.number}/", {})
    spent = fake.spent()
    time.passed_s += 3600
    assert fake.spent() == spent


def test_a_machine_may_destroy_itself_and_nothing_else(fake: FakeVast, time: Time) -> None:
    fake.offers.append(market.offer(1))
    for number in (21000000, 21000001):
        ask(fake, "PUT", f"/api/v0/asks/{number}/", CREATE)
        time.passed_s += 5
    one, other = fake.alive()

    refused = [
        ask(fake, "DELETE", f"/api/v0/instances/{other.number}/", {}, one.key),
        ask(fake, "GET", "/api/v1/instances/", None, one.key),
    ]
    done = ask(fake, "DELETE", f"/api/v0/instances/{one.number}/", {}, one.key)

    assert [it.status_code for it in refused] == [401, 401]
    assert done.status_code == 200
    assert fake.alive() == [other]


def test_what_comes_too_fast_is_refused(fake: FakeVast, time: Time) -> None:
    codes = [ask(fake, "GET", "/api/v1/instances/").status_code for _ in range(2)]
    time.passed_s += 1
    codes.append(ask(fake, "GET", "/api/v1/instances/").status_code)

    assert codes == [200, 429, 200]
    assert fake.throttled == ["list"]


def test_the_same_seed_misbehaves_alike() -> None:
    one, other = (Faults(7, lose_reply=0.3, gone=0.3, fate=0.3, lag=0.2) for _ in range(2))

    drawn = [one.of("create") for _ in range(50)]
    assert drawn == [other.of("create") for _ in range(50)]
    assert {kind for fault in drawn for kind in fault} == {"lose_reply", "gone", "fate", "lag_s"}
