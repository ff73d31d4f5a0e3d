from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from apothic_backends.placement.offers import Offer
from apothic_backends.providers.base import BOOTING, FAILED, RUNNING, STOPPED, Order
from apothic_backends.providers.fly.api import authorization
from apothic_backends.providers.fly.machines import (
    TAG,
    app_of,
    asked_for,
    machine_of,
    machines_of,
    name_of,
    seen,
)
from apothic_backends.providers.reading import Nonsense

CONFIG = {
    "guest": {"cpu_kind": "shared", "cpus": 1, "memory_mb": 512},
    "metadata": {TAG: "apothic/p/1-x", "apothic_disk_gb": "8"},
}


def told(**changes: Any) -> dict[str, Any]:
    its = {"id": "148e21c6b9e089", "name": "w-1", "state": "started", "region": "iad"}
    its |= {"instance_id": "01J", "created_at": "2026-10-03T09:59:55Z"}
    return {**its, "config": CONFIG, **changes}


def shown(**changes: Any) -> Any:
    return seen("apothic-w", machine_of(told(**changes)), "apothic/p/1-x")


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        *((state, BOOTING) for state in ("created", "creating", "starting")),
        *((state, RUNNING) for state in ("started", "restarting", "updating", "new_in_2030")),
        *((state, STOPPED) for state in ("stopping", "stopped", "suspended", "destroying")),
        *((state, FAILED) for state in ("failed", "launch_failed")),
    ],
)
def test_each_state_is_one_of_four(state: str, kind: str) -> None:
    assert shown(state=state).state == kind


@pytest.mark.parametrize("state", ["destroyed", "replaced"])
def test_what_is_destroyed_is_gone(state: str) -> None:
    assert machine_of(told(state=state)).is_gone


def test_a_machine_is_told_of_with_its_price_and_its_age() -> None:
    its = shown()

    assert its.provider_id == "apothic-w/148e21c6b9e089"
    assert its.usd_per_hour == pytest.approx(0.00000123 * 3600, rel=0.01)
    assert its.created_at == datetime(2026, 10, 3, 9, 59, 55, tzinfo=UTC).timestamp()
    assert its.host == "iad"


ENDED = {"exit_code": 137, "guest_exit_code": 9, "oom_killed": False}


@pytest.mark.parametrize(
    ("request_", "detail"),
    [
        ({"exit_event": ENDED}, "stopped, exit code 9"),
        ({"MonitorEvent": {"exit_event": ENDED}}, "stopped, exit code 9"),
        ({"exit_event": {**ENDED, "oom_killed": True}}, "stopped, out of memory"),
        (None, "stopped"),
        ("nonsense", "stopped"),
        ({"exit_event": "nonsense"}, "stopped"),
    ],
)
def test_why_it_has_ended_is_in_the_newest_event_that_tells(request_: Any, detail: str) -> None:
    events = [{"type": "stop"}, {"type": "exit", "request": request_}]

    assert shown(state="stopped", events=events).detail == detail


def test_a_machine_whose_host_is_silent_is_there_and_its_price_is_not_known() -> None:
    its = shown(host_status="unreachable", config=None, incomplete_config={})

    assert (its.state, its.detail) == (RUNNING, "its host is unreachable")


def test_the_tag_is_not_known_where_the_config_is_not() -> None:
    silent = told(host_status="unknown", config=None)
    assert machine_of(silent).tag is None
    assert machine_of({**silent, "incomplete_config": CONFIG}).tag == "apothic/p/1-x"
    assert machine_of(told()).tag == "apothic/p/1-x"
    assert machine_of(told(config={"guest": {}})).tag == ""


@pytest.mark.parametrize(
    "nonsense",
    [None, [], "x", {}, {"id": 7}, told(config=[]), told(events={}), told(events=[7])],
    ids=lambda it: str(it)[:20],
)
def test_what_is_no_machine_makes_no_sense(nonsense: Any) -> None:
    with pytest.raises(Nonsense):
        machine_of(nonsense)
    with pytest.raises(Nonsense):
        machines_of([nonsense])


@pytest.mark.parametrize("guest", [None, [], {"cpus": "1"}, {"cpus": 1, "memory_mb": 1}])
def test_a_machine_of_no_known_size_has_no_price(guest: Any) -> None:
    assert shown(config={**CONFIG, "guest": guest}).usd_per_hour == 0


def order(**changes: Any) -> Order:
    its: dict[str, Any] = {
        "tag": "apothic/p/1-x_Y",
        "offer": Offer("shared-1x-512@lhr", {}),
        "image": "registry.example/a:1",
        "argv": ("apothic", "agent"),
        "most_usd_per_hour": 1.0,
        "disk_gb": 8.0,
        "env": {"KEY": "value"},
    }
    return Order(**its | changes)


def test_what_is_asked_for_ends_with_its_program() -> None:
    body = asked_for(order())

    assert body["region"] == "lhr"
    assert body["config"]["init"] == {"exec": ["apothic", "agent"]}
    assert body["config"]["restart"] == {"policy": "no"}
    assert body["config"]["auto_destroy"] is True
    assert body["config"]["env"] == {"KEY": "value"}
    assert body["config"]["metadata"][TAG] == "apothic/p/1-x_Y"
    assert "rootfs" not in body["config"]
    assert "services" not in body["config"]


def test_a_larger_disk_is_asked_for() -> None:
    assert asked_for(order(disk_gb=20.5))["config"]["rootfs"] == {"persist": "never", "size_gb": 21}


def test_names_are_of_letters_that_fly_allows_and_one_tag_has_one() -> None:
    assert name_of("apothic/p/1") != name_of("apothic/p/2")
    assert name_of("apothic/p/1").replace("-", "").isalnum()
    assert name_of("apothic/P/1").islower()
    assert len(app_of("personal", "apothic/p/1")) <= 30
    assert app_of("personal", "apothic/p/1") == app_of("personal", "apothic/p/")
    assert app_of("personal", "apothic/p/1") != app_of("personal", "apothic/q/1")
    assert app_of("personal", "apothic/p/1") != app_of("others", "apothic/p/1")


@pytest.mark.parametrize(
    ("token", "header"),
    [
        ("FlyV1 fm2_a,fm2_b", "FlyV1 fm2_a,fm2_b"),
        ("fm2_a, fm1r_b", "FlyV1 fm2_a,fm1r_b"),
        ("Bearer fo1_x", "Bearer fo1_x"),
        ("fo1_x\n", "Bearer fo1_x"),
        ("fm2_a,fo1_x", "FlyV1 fm2_a"),  # one header has no two kinds
    ],
)
def test_tokens_are_sent_by_the_word_of_their_kind(token: str, header: str) -> None:
    assert authorization(token) == header
