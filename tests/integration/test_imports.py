"""Code that calls functions while its module is imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

MODULE = """
from apothic import App
app = App("eager")
@app.function()
def double(x): return 2 * x
FOUR = double.remote(2)
"""


def test_a_call_while_a_worker_imports_the_module_ends_at_once_and_says_what_to_do(
    tmp_path: Path,
) -> None:
    (tmp_path / "eager.py").write_text(MODULE)

    ran = subprocess.run(
        [sys.executable, "-c", "import eager"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )

    assert ran.returncode == 1
    assert "SetupFailed" in ran.stderr
    assert "if __name__ == '__main__'" in ran.stderr
