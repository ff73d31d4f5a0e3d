"""The blocks of the spec that have functions whose bodies a model writes, as files of a project."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.chat.fake import Chat, chatting, says
from tests.spec.blocks import BLOCKS, Block

GENERATED = {f"{block.spec} {block.title}": block for block in BLOCKS if block.is_generated}
NORMALIZE = """```python
def normalize_status(status: str) -> str:
    return "status:" + status.strip().lower()
```"""
STATUS = """```python
def status() -> dict[str, str]:
    return {"status": "ready", "source": "liv"}
```"""
FETCH = """
from urllib.request import urlopen
app.deploy()
with urlopen(status.get_web_url()) as answer:
    print(answer.read().decode())
"""
BY_NAME = "003 a generated function by name"
BEFORE = {BY_NAME: GENERATED["003 a generated function"].code + "app.deploy()\n"}
AFTER = {BY_NAME: "", "000 a generated endpoint": FETCH}


@pytest.fixture
def chat() -> Iterator[Chat]:
    with chatting() as chat:
        yield chat


@pytest.mark.parametrize(("title", "block"), GENERATED.items(), ids=GENERATED)
def test_a_block_with_a_generated_function_runs(
    title: str, block: Block, chat: Chat, tmp_path: Path
) -> None:
    is_endpoint = "endpoint" in title
    chat.add(says(STATUS if is_endpoint else NORMALIZE))
    (tmp_path / "pyproject.toml").touch()
    after = AFTER.get(title, 'print(normalize_status.remote(" READY "))\n')
    text = f"{BEFORE.get(title, '')}{block.code}\n{after}"
    (tmp_path / "app.py").write_text(f"if __name__ == '__main__':\n{_indented(text)}")
    own = {
        "APOTHIC_HOME": str(tmp_path / "home"),
        "APOTHIC_LIV_MODEL": "any",
        "APOTHIC_LIV_BASE_URL": chat.base_url,
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    ran = subprocess.run(  # noqa: PLW1510 - its code is looked at
        [sys.executable, "app.py"],
        cwd=tmp_path,
        env=os.environ | own,
        capture_output=True,
        text=True,
        timeout=120,
    )

    wanted = '{"status":"ready","source":"liv"}' if is_endpoint else "status:ready"
    assert (ran.stdout.strip().replace(" ", ""), ran.returncode) == (wanted, 0), ran.stderr
    assert len(chat.requests) == 1


def _indented(text: str) -> str:
    return "".join(f"    {line}" for line in text.splitlines(keepends=True))
