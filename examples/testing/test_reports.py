"""Copy this: `pip install apothic pytest`, then `pytest`. Hours and months pass in a moment."""

from __future__ import annotations

from datetime import timedelta

import pytest

from reports import app, fetch, report

DAYS = 30


def test_a_source_that_stays_away_is_given_up_after_three_hours(apothic_clock):
    before = apothic_clock.now()

    with pytest.raises(ConnectionError):
        fetch.remote("the archive")

    assert timedelta(hours=3) <= apothic_clock.now() - before < timedelta(hours=4)


@pytest.mark.apothic(start="2026-03-15T00:00")  # the clocks change in this month
def test_a_report_is_sent_every_morning(apothic_app, apothic_clock, apothic_events):
    apothic_app(app)

    apothic_clock.advance(timedelta(days=DAYS))

    sent = apothic_events.of("job.end", fn=report, status="succeeded")
    assert len(sent) == DAYS


def test_a_report_survives_the_death_of_its_worker(apothic_faults, apothic_events):
    apothic_faults.kill_worker(report)

    assert report.remote() == "sent"

    apothic_events.assert_order(["job.running", "job.retry", "job.running", "job.end"])
