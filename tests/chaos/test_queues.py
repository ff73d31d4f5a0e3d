from __future__ import annotations

from tests.chaos.queues import run


def test_consumers_that_are_killed_lose_nothing() -> None:
    tally = run(messages=3000, consumers=4, kills=15, seed=1)

    assert (tally.lost, tally.unexpected, tally.unexplained) == (0, 0, 0)
    assert (tally.kills, tally.lapsed > 0) == (15, True)
