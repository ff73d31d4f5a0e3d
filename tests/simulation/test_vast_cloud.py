from __future__ import annotations

from typing import Any

import pytest

from apothic_backends.providers.vast.calls import Api
from tests.simulation.vast_cloud import failure_of

SEEDS = range(60)
"""`python -m tests.simulation.vast_cloud 0 200` runs more."""


@pytest.mark.parametrize("first", SEEDS[::10])
def test_machines_of_vast_are_those_that_are_wanted_whatever_goes_wrong(first: int) -> None:
    assert [told for seed in SEEDS[first : first + 10] if (told := failure_of(seed))] == []


def test_a_create_that_is_sent_again_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    call = Api.call

    def again(self: Any, *args: Any, **how: Any) -> Any:
        return call(self, *args, **{**how, "changes": False})  # as if it had only read

    monkeypatch.setattr(Api, "call", again)

    assert any("C4" in failure_of(seed) for seed in SEEDS)
