"""What `apothic cloud status` says beside its table."""

from __future__ import annotations

import pytest

from apothic.cli.cloud.status import notes, summary
from apothic_backends.model.machines import DESTROYING, UP, CloudSnapshot, MachineSnapshot

NOW = 10_000.0


def cloud(*machines: MachineSnapshot, is_paused: bool = False) -> CloudSnapshot:
    return CloudSnapshot("apothic/p/", 0.3, 1.0, 0.5, 0.0, is_paused, machines=machines)


def machine(status: str, for_s: float, provider_id: str = "v7") -> MachineSnapshot:
    since = NOW - for_s
    return MachineSnapshot(
        "machines:1", "vast", "apothic/p/1-e", status, since, 0.3, since, provider_id
    )


@pytest.mark.parametrize(("provider_id", "named"), [("v7", "v7"), ("", "apothic/p/1-e")])
def test_a_machine_that_should_have_been_gone_for_ten_minutes_is_told_of(
    provider_id: str, named: str
) -> None:
    assert notes(cloud(machine(DESTROYING, 599), machine(UP, 9999)), NOW) == []
    (note,) = notes(cloud(machine(DESTROYING, 660, provider_id)), NOW)
    told = "machines:1: it should have been gone for 11 min, and may cost still: destroy"
    assert note == f"{told} {named} on the page of vast"


def test_who_rents_nothing_says_what_would_change_that() -> None:
    assert summary(cloud(is_paused=True)).endswith("nothing new is rented until `apothic cloud up`")
    assert "nothing new" not in summary(cloud())
