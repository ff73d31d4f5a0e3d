"""Leases go by the control plane's clock, which stands still in tests unless it is moved."""

from __future__ import annotations

from typing import Any

from apothic import App, Dict

app = App("times")


@app.function
def hold(d: Dict[str, Any]) -> bool:
    with d.lock("l", lease_s=30) as lock:
        for event in d.watch("tick"):  # the clock flows while this runs
            if event.data["op"] == "expired":
                break
        d.put("held", True, fence=lock.fence)
    return lock.lost


def test_a_lease_ends_when_the_clock_gets_there(apothic_runtime: Any, apothic_clock: Any) -> None:
    with Dict.ephemeral() as d:
        d.put("a", 1, lease_s=60)
        apothic_clock.advance("59s")
        assert "a" in d
        apothic_clock.advance("1s")
        assert "a" not in d


def test_a_lock_is_renewed_however_far_the_clock_is_sent(
    apothic_runtime: Any, apothic_clock: Any
) -> None:
    with Dict.ephemeral() as d, d.lock("l", lease_s=30) as lock:
        apothic_clock.advance("10m")

        assert not lock.lost
        lock.check()
        d.put("a", 1, fence=lock.fence)


def test_a_function_holds_its_lock_while_the_clock_runs(
    apothic_runtime: Any, apothic_app: Any
) -> None:
    with Dict.ephemeral() as d:
        holds = hold.spawn(d)
        next(d.watch("l"))
        d.put("tick", 1, lease_s=5)

        assert holds.wait() is False
        assert d["held"]
