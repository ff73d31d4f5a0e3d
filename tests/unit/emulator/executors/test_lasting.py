from __future__ import annotations

import threading
from typing import Any

import pytest

from apothic_emulator.executors import lasting
from apothic_emulator.executors.lasting import Lasting
from apothic_emulator.executors.volumes import Volumes

PATIENCE_S = 30.0


class Kept:
    """Something at a path."""

    name = "volume data"

    def __init__(self) -> None:
        self.saves = threading.Semaphore(0)
        self.has_begun = False
        self.error: Exception | None = None

    def begin(self) -> None:
        self.has_begun = True

    def save(self) -> None:
        self.saves.release()
        if self.error is not None:
            raise self.error


def kept_by(shown: Any) -> Lasting:
    return Lasting(Volumes([shown]))


def test_it_is_there_before_anything_is_saved() -> None:
    shown = Kept()

    kept_by(shown)

    assert shown.has_begun
    assert not shown.saves.acquire(blocking=False)


def test_what_is_written_is_saved_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lasting, "SAVE_S", 0.001)
    shown = Kept()
    kept = kept_by(shown)

    kept.begin()

    assert shown.saves.acquire(timeout=PATIENCE_S)
    assert shown.saves.acquire(timeout=PATIENCE_S)
    kept.end()


def test_the_last_of_it_is_saved_at_the_end() -> None:
    shown = Kept()
    kept = kept_by(shown)
    kept.begin()

    kept.end()

    assert shown.saves.acquire(blocking=False)
    assert not shown.saves.acquire(blocking=False)


def test_what_cannot_be_saved_is_told_and_tried_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(lasting, "SAVE_S", 0.001)
    shown = Kept()
    shown.error = OSError("the disk is full")
    kept = kept_by(shown)

    kept.begin()

    assert shown.saves.acquire(timeout=PATIENCE_S)
    assert shown.saves.acquire(timeout=PATIENCE_S)
    kept.end()
    told = "what was written to volume data could not be saved: the disk is full\n"
    assert capsys.readouterr().err.startswith(told)
