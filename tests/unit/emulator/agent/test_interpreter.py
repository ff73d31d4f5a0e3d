from __future__ import annotations

import sys
from pathlib import Path

import pytest

from apothic_emulator.agent import interpreter


def test_what_imports_pass_over_is_no_part_of_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [Path("/first"), "/second", b"/third"])

    assert interpreter.path() == ["/second"]


def test_an_interpreter_is_started_whatever_lies_in_the_path(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "path", [Path("/first"), *sys.path])

    assert interpreter.command("pass")[0] == sys.executable
