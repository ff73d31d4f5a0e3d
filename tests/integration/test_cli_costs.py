"""`apothic cost` where calls run on this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
from apothic import App

app = App("here")


@app.function
def double(x):
    return 2 * x


if __name__ == "__main__":
    print(double.spawn(21).wait())
    double.remote(1)
"""


def run(folder: Path, *words: str, state: str = "sqlite") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env={**os.environ, "APOTHIC_STATE": state, "APOTHIC_BACKEND": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose program has run, and which keeps its state."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "pyproject.toml").write_text("")
    (folder / "program.py").write_text(PROGRAM)
    ran = run(folder, "program.py")
    assert ran.stdout == "42\n", ran.stderr
    return folder


def cost(folder: Path, *words: str, state: str = "sqlite") -> subprocess.CompletedProcess[str]:
    return run(folder, "-m", "apothic.cli", "cost", *words, state=state)


def test_what_a_project_keeps_is_told_and_that_it_is_free(kept: Path) -> None:
    (kept / "pyproject.toml").write_text("")

    header, row, summary = cost(kept).stdout.splitlines()

    assert header.split() == ["APP", "FUNCTION", "KIND", "ATTEMPTS", "SECONDS"]
    assert row.split()[:4] == ["here", "double", "job", "2"]
    assert summary.endswith("free; no prices are set, so what it would cost elsewhere is not known")


def test_with_prices_it_is_told_what_it_would_cost(kept: Path) -> None:
    (kept / "pyproject.toml").write_text("[tool.apothic.prices]\ncpu = 1000\n")

    header, row, summary = cost(kept).stdout.splitlines()
    told = json.loads(cost(kept, "--json", "--app", "here", "--since", "1d").stdout)

    (line,) = told["lines"]
    assert header.endswith("ABOUT USD")
    assert told["estimate_nano_usd"] == line["estimate_nano_usd"] == line["microseconds"] * 10**6
    about = f"{told['estimate_nano_usd'] / 1e9:.6f}"
    assert row.endswith(about)
    assert summary.endswith(f"it would cost about {about} USD")
    assert told["nano_usd"] == 0


@pytest.mark.parametrize(
    ("words", "state", "code", "said"),
    [
        ((), "memory", 4, "apothic.cost()"),
        (("--since", "yesterday"), "sqlite", 2, "2026-11-01"),
        (("--since", "99999999999d"), "sqlite", 2, "2026-11-01"),
    ],
)
def test_what_cannot_be_told_is_said(
    kept: Path, words: tuple[str, ...], state: str, code: int, said: str
) -> None:
    ran = cost(kept, *words, state=state)

    assert (ran.returncode, said in ran.stderr) == (code, True)


def test_a_day_is_one_of_utc(kept: Path) -> None:
    assert len(json.loads(cost(kept, "--json", "--since", "2026-01-01").stdout)["lines"]) == 1
    assert json.loads(cost(kept, "--json", "--since", "2999-01-01").stdout)["lines"] == []
