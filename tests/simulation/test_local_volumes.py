"""Volumes that lie on one host, under a provider that lies: see `local_volumes.py`."""

from __future__ import annotations

import pytest

from tests.simulation.local_volumes import FAULTS, VolumeWorld, failure_of


@pytest.mark.parametrize("first", range(0, 60, 20))
def test_each_is_rented_once_and_none_is_left_behind(first: int) -> None:
    assert [told for seed in range(first, first + 20) if (told := failure_of(seed))] == []


def test_every_lie_about_volumes_is_told() -> None:
    reached = VolumeWorld(1).reached
    for seed in range(15):
        world = VolumeWorld(seed)
        world.run()
        reached += world.reached

    assert {*FAULTS, "with a volume", "volumes", "restarted"} <= reached.keys()
