"""What `apothic cloud status` says beside its table."""

from __future__ import annotations

import pytest

from apothic.cli.cloud.status import notes, summary, volumes
from apothic_backends.model.machines import (
    DESTROYING,
    THERE,
    UP,
    CloudSnapshot,
    MachineSnapshot,
    VolumeSnapshot,
)

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


def test_each_volume_is_named_with_its_host_its_cost_and_how_it_goes() -> None:
    its = VolumeSnapshot(
        *("data", "vast", "apothic_p_1", THERE, NOW, 0.00416, NOW, "31", 20), note="it is odd"
    )

    (told,) = volumes(cloud().replace(volumes=(its,)))

    assert told.startswith("volume data: 20 GB on vast's machine 31, there, about 3.00 USD a month")
    assert told.endswith("until `apothic volume rm -r data`; it is odd")
