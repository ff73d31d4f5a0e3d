from __future__ import annotations

from typing import Any

import pytest

from apothic_backends.providers.base import NoCapacity, Unclear
from apothic_backends.providers.fly.api import FlyApi
from apothic_emulator.core.avoided import Avoided
from tests.simulation.fly_cloud import failure_of

SEEDS = range(60)
"""`python -m tests.simulation.fly_cloud 0 200` runs more."""


@pytest.mark.parametrize("first", SEEDS[::10])
def test_machines_of_fly_are_those_that_are_wanted_whatever_goes_wrong(first: int) -> None:
    assert [told for seed in SEEDS[first : first + 10] if (told := failure_of(seed))] == []


def test_a_machine_that_is_taken_for_not_made_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    create = FlyApi.create_machine

    def hasty(self: FlyApi, app: str, body: Any, hidden: Any = ()) -> Any:
        try:
            return create(self, app, body, hidden)
        except Unclear as error:  # as if that said that there is none
            raise NoCapacity(error.message) from None

    monkeypatch.setattr(FlyApi, "create_machine", hasty)

    assert any(failure_of(seed) for seed in SEEDS)


def test_a_region_that_has_failed_and_is_tried_again_at_once_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Avoided, "fails", lambda *rest: None)

    assert any("C10" in failure_of(seed) for seed in SEEDS)
