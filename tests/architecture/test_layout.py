"""The shape of the tree: small files, small functions, nothing of the machine it was written on."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("apothic", "backends/apothic_backends", "emulator/apothic_emulator")
FOLDERS = (*PACKAGES, "tests", "examples", "benchmarks")
MOST_LINES_OF_A_FILE = 400
MOST_LINES_OF_A_FUNCTION = 60

HOMES = re.compile(r"/(?:home|Users)/\w+/|/root/|[A-Z]:\\Users\\")
"""Where people keep their files; no file here may know."""


def modules(*folders: str) -> list[Path]:
    """Every Python file below the folders."""
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def texts() -> Iterator[Path]:
    """Every file that a person reads."""
    yield from modules(*FOLDERS)
    for pattern in ("*.md", "*.toml", "*.py", ".ci/*", "backends/*.md", "emulator/*.md"):
        yield from ROOT.glob(pattern)


def name_of(path: Path) -> str:
    """The path as shown in test ids and messages."""
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", modules(*PACKAGES), ids=name_of)
def test_a_file_is_read_in_one_sitting(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= MOST_LINES_OF_A_FILE


@pytest.mark.parametrize("path", modules(*PACKAGES), ids=name_of)
def test_a_function_fits_on_a_screen(path: Path) -> None:
    functions = (
        node
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )

    assert not [
        f"{function.name}: {lines} lines"
        for function in functions
        if (lines := (function.end_lineno or 0) - function.lineno + 1) > MOST_LINES_OF_A_FUNCTION
    ]


@pytest.mark.parametrize("path", modules(*PACKAGES), ids=name_of)
def test_a_module_says_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text("utf-8")))


def test_every_package_is_typed() -> None:
    assert [name for name in PACKAGES if not (ROOT / name / "py.typed").exists()] == []


def test_no_file_knows_the_machine_it_was_written_on() -> None:
    others = (path for path in texts() if path != Path(__file__))

    assert [name_of(path) for path in others if HOMES.search(path.read_text("utf-8"))] == []
