"""What the documents name is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    *("README.md", "ARCHITECTURE.md", "CLOUD.md", "CONTRIBUTING.md"),
    *("backends/README.md", "emulator/README.md"),
]
NAMED = re.compile(r"`([\w./]+(?:\.py|\.md|/))`")


def is_there(named: str) -> bool:
    """Whether some file or folder of the tree has a path that ends so."""
    return any(ROOT.glob(f"{pattern}{named}") for pattern in ("", "*/", "*/*/", "*/*/*/"))


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_file_that_a_document_names_exists(document: str) -> None:
    names = set(NAMED.findall((ROOT / document).read_text("utf-8")))

    assert [name for name in sorted(names) if not is_there(name)] == []
