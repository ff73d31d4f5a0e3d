"""The program inside a worker runs in any image with a Python: it may import next to nothing."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CHILD = ROOT / "emulator/apothic_emulator/executors"
OWN = "apothic_emulator.executors"
EXTRA: dict[str, str] = dict.fromkeys(
    (
        *("archives.py", "buckets.py", "builder.py", "fuse.py", "secrets.py", "session.py"),
        *("shown.py", "trees.py", "venvs.py", "volumes.py"),
    ),
    "apothic_backends",
)
"""The session is the backend inside a worker, so it speaks the contract, as does what fetches an
archive; what hides secrets in text hides them there as everywhere, and volumes are the same on both
sides."""


WEB = frozenset({"anyio", "fastapi", "msgspec", "psutil", "starlette", "uvicorn", "uvloop"})
"""What serves the web; only the folder `web` may import it, which few functions need."""


def imported(path: Path) -> Iterator[str]:
    """Every module that the file names in an import, wherever the import stands."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or "."


def is_allowed(module: str, path: Path) -> bool:
    """Whether this file of the child may import the module."""
    top = module.partition(".")[0]
    return (
        top in sys.stdlib_module_names
        or top in {"cloudpickle", EXTRA.get(path.name)}
        or (path.parent.name == "web" and top in WEB)
        or module == OWN
        or module.startswith(f"{OWN}.")
    )


@pytest.mark.parametrize("path", sorted(CHILD.rglob("*.py")), ids=lambda path: path.name)
def test_a_file_of_the_child_imports_the_standard_library_and_cloudpickle(path: Path) -> None:
    assert [module for module in imported(path) if not is_allowed(module, path)] == []
