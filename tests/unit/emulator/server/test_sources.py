"""What must not stand in the source of the control plane."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import apothic_backends
import apothic_emulator

PARTS = ("server", "core", "host", "stores", "agent")
FILES = [
    *Path(apothic_backends.__file__).parent.rglob("*.py"),
    *(
        path
        for part in PARTS
        for path in (Path(apothic_emulator.__file__).parent / part).rglob("*.py")
    ),
]
LOADS = {"load", "loads", "Unpickler", "find_class"}


def attributes(path: Path) -> Iterator[tuple[str, str]]:
    """Each `module.attribute` that a file names."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield node.value.id, node.attr
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.module or "", alias.name) for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_the_control_plane_unpickles_nothing(path: Path) -> None:
    named = {(module, name) for module, name in attributes(path) if "pickle" in module}

    assert [name for _, name in named if name in LOADS] == []


@pytest.mark.parametrize(
    "path", [p for p in FILES if p.parent.name == "server"], ids=lambda p: p.name
)
def test_no_secret_is_compared_byte_by_byte(path: Path) -> None:
    compared = [
        operand.id if isinstance(operand, ast.Name) else operand.attr
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Compare)
        for operand in (node.left, *node.comparators)
        if isinstance(operand, ast.Name | ast.Attribute)
    ]

    assert [name for name in compared if name in ("token", "digest", "secret")] == []
