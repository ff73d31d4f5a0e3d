"""What is told of a machine at Vast, and what it means."""

from __future__ import annotations

from math import isfinite
from typing import Any

import pytest
from hypothesis import given, strategies as st

from apothic_backends.providers.base import BOOTING, FAILED, RUNNING, STOPPED
from apothic_backends.providers.vast.instances import seen_of

GOOD = "success, running image/args\n"


def row(actual: str | None, message: str | None = None, **more: Any) -> dict[str, Any]:
    """A row of a list."""
    wants = {"intended_status": "running", "cur_state": "running", "next_state": "running"}
    its = {"id": 5, "label": "apothic/x/1 ", "machine_id": 31, "dph_total": 0.4, "start_date": 9.5}
    return {**its, **wants, "actual_status": actual, "status_msg": message, **more}


@pytest.mark.parametrize(
    ("told", "state"),
    [
        (row(None), BOOTING),
        (row("created", "creating\n"), BOOTING),
        (row("loading", "Pulling fs layer"), BOOTING),
        (row("scheduling"), BOOTING),
        (row("something new"), BOOTING),
        (row("running", GOOD), RUNNING),
        (row("running", "Error: of an earlier time"), RUNNING),
        (row("created", "Error: OCI runtime create failed: no such file\n"), FAILED),
        (row("loading", "pull access denied for image"), FAILED),
        (row(None, "toomanyrequests: You have reached your limit"), FAILED),
        (row("exited", GOOD), FAILED),
        (row("offline", GOOD), FAILED),
        (row("unknown", GOOD), FAILED),
        (row("stopped", GOOD), STOPPED),
        (row("running", GOOD, intended_status="stopped"), STOPPED),
        (row("exited", GOOD, cur_state="stopped"), STOPPED),
    ],
)
def test_a_machine_is_what_its_status_says(told: dict[str, Any], state: str) -> None:
    seen = seen_of(told)

    assert seen is not None
    assert seen.state == state
    assert (seen.provider_id, seen.tag, seen.host, seen.usd_per_hour, seen.created_at) == (
        "5",
        "apothic/x/1",
        "31",
        0.4,
        9.5,
    )


def test_a_machine_that_was_bid_for_and_is_stopped_was_preempted() -> None:
    outbid = seen_of(row("stopped", GOOD, cur_state="stopped", is_bid=True))
    broke = seen_of(row("stopped", GOOD, cur_state="stopped", is_bid=False))

    assert outbid is not None
    assert (outbid.preempted, outbid.detail) == (True, "somebody pays more")
    assert broke is not None
    assert not broke.preempted
    assert "no credit" in broke.detail


def test_what_is_left_out_or_odd_is_not_known() -> None:
    seen = seen_of({"id": 5, "label": None, "start_date": "soon", "dph_total": "dear"})

    assert seen is not None
    assert (seen.tag, seen.created_at, seen.usd_per_hour, seen.host) == ("", None, 0.0, "")
    assert seen_of({"id": None}) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=4,
)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(row(None, is_bid=True), JSON)))
def test_whatever_is_told_of_a_machine_is_read_or_passed_over(told: dict[str, Any]) -> None:
    seen = seen_of(told)

    assert seen is None or isfinite(seen.usd_per_hour + (seen.created_at or 0))


def test_a_price_that_no_float_can_be_is_not_known() -> None:
    for price in (10**400, float("inf"), float("nan"), True):
        seen = seen_of(row("running", GOOD, dph_total=price))

        assert seen is not None
        assert seen.usd_per_hour == 0.0
