from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from apothic_emulator.core import clearing

ROOT = Path(__file__).parents[2]
MACHINES, JOBS = 32, 2_000
LONGEST_CALL_S = 10.0


def waits() -> tuple[float, float]:
    """The longest of a job that needs little, and of one that needs a whole machine."""
    fleet = runpy.run_path(str(ROOT / "benchmarks/scale.py"))["Fleet"](MACHINES)
    found = fleet.run(JOBS)
    return found["longest_s"], found["whole_s"]


def test_nobody_starves_where_nine_tenths_of_all_cores_are_needed() -> None:
    longest_s, whole_s = waits()

    assert longest_s < LONGEST_CALL_S
    assert whole_s < clearing.PATIENCE_S + LONGEST_CALL_S


def test_what_needs_a_whole_machine_starves_where_none_is_cleared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(clearing, "PATIENCE_S", 1e9)

    assert waits()[1] > 2 * LONGEST_CALL_S + 30.0
