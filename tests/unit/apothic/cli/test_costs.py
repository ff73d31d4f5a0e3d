"""What `apothic cost` says below its table."""

from __future__ import annotations

from apothic.cli.costs import summary
from apothic_backends.model.costs import CostReport, Prices
from apothic_backends.model.machines import CloudSnapshot

RENTED = CloudSnapshot("apothic/p/", 0.3, 1.0, 0.51239, 1_795_000_000.0, False)
TOLD = "about 0.5124 USD since 2026-11-18, and 0.3000 USD an hour now"


def test_what_was_rented_is_never_said_to_be_free() -> None:
    report = CostReport((), has_prices=False)

    assert "free" in summary(report, None, None)
    for prices in (None, Prices(cpu=1)):
        told = summary(report, prices, RENTED)
        assert TOLD in told
        assert "free" not in told


def test_what_was_rented_is_told_beside_what_is_charged() -> None:
    told = summary(CostReport((), has_prices=True, balance_nano_usd=None), None, RENTED)

    assert TOLD in told
    assert told.endswith("no limit")
