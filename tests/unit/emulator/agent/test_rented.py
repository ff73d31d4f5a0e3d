"""How old a rented machine is: what its disk says, whatever was started again on it."""

from __future__ import annotations

from pathlib import Path

from apothic_emulator.agent.rented import age_s

TAG = "apothic/plane/1-abc"


def test_a_machine_is_as_old_as_the_first_program_that_ran_there(tmp_path: Path) -> None:
    first = age_s(TAG, tmp_path / "agents", 5000.0)
    later = [age_s(TAG, tmp_path / "agents", now) for now in (5100.5, 6000.0)]

    assert (first, later) == (0.0, [100.5, 1000.0])


def test_a_disk_that_another_machine_has_left_makes_none_old(tmp_path: Path) -> None:
    age_s("apothic/plane/1-ab", tmp_path, 1000.0)

    assert age_s(TAG, tmp_path, 5000.0) == 0.0
    assert age_s(TAG, tmp_path, 5001.0) == 1.0


def test_a_clock_that_was_put_back_makes_none_younger_than_new(tmp_path: Path) -> None:
    age_s(TAG, tmp_path, 5000.0)

    assert age_s(TAG, tmp_path, 4000.0) == 0.0


def test_what_is_damaged_is_made_anew(tmp_path: Path) -> None:
    age_s(TAG, tmp_path, 1000.0)
    (tmp_path / "born").write_bytes(TAG.encode() + b" \xff")

    assert age_s(TAG, tmp_path, 5000.0) == 0.0
    assert age_s(TAG, tmp_path, 5001.0) == 1.0


def test_without_a_disk_it_is_as_old_as_its_program(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    assert age_s(TAG, tmp_path / "file" / "agents", 5000.0) == 0.0
