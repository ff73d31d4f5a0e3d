"""Trials of generated code where only Docker can lock it in."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.containers.image import NAME
from tests.sandboxes.test_refusals import REFUSE

pytestmark = pytest.mark.docker

TRY = f"""
from apothic.generation import trials
from apothic.generation.examples import Example

trials.IMAGE = {NAME!r}
code = "import os, platform\\ndef f(x):\\n    print(platform.node(), os.getuid())\\n    return x"
examples = [Example((1,), {{}}, 1, True), Example((2,), {{}}, 1, True)]
print(*trials.tried(code, "f", examples, timeout_s=60))
"""


def test_without_namespaces_examples_are_tried_in_a_container(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", f"{REFUSE}\nguest.close()\n{TRY}", str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )

    said = "it returned 2, but 1 is expected\\nIt printed:\\nsandbox "
    assert ran.stdout.startswith(f"Failure(example='f(2)', error='{said}"), ran.stderr
