"""A person at a shell of this machine, to whom nothing is set but a home."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

APOTHIC = [sys.executable, "-m", "apothic.cli"]

PROGRAM = """
from apothic import App

app = App("demo")

@app.function()
def infer(value: str) -> str:
    print("inferring")
    return value.upper()

@app.function()
def fail() -> None:
    raise ValueError("no luck")

@app.function()
def hold(gate: str) -> str:
    print("holding", flush=True)
    with open(gate) as file:
        return file.read()
"""


class Shell:
    """What is typed in a folder, and what comes of it."""

    def __init__(self, home: Path, folder: Path, **settings: str) -> None:
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("APOTHIC_") and name != "PYTEST_CURRENT_TEST"
        }
        self.env = {**kept, "APOTHIC_HOME": str(home), **settings}
        self.folder = folder
        self.err = ""

    def begin(self, *words: str) -> subprocess.Popen[str]:
        """Type a command that takes its time."""
        pipe = subprocess.PIPE
        return subprocess.Popen(
            [*APOTHIC, *words], cwd=self.folder, env=self.env, stdout=pipe, stderr=pipe, text=True
        )

    def __call__(self, *words: str, code: int = 0) -> str:
        """Type a command; what it prints on stdout."""
        return self.run(*APOTHIC, *words, code=code)

    def run(self, *command: str, code: int = 0) -> str:
        """Run a program; what it prints on stdout."""
        ran = subprocess.run(
            command,
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        self.err = ran.stderr
        assert ran.returncode == code, (command, ran.returncode, ran.stdout, ran.stderr)
        return ran.stdout.strip()

    def json(self, *words: str, code: int = 0) -> Any:
        """The document that it prints; of a command that fails, the error on stderr."""
        out = self(*words, "--json", code=code)
        return json.loads(self.err)["error"] if code else json.loads(out)

    def events(self, *words: str, code: int = 0) -> list[dict[str, Any]]:
        """The events that it prints."""
        return [json.loads(line) for line in self(*words, code=code).splitlines()]

    def write(self, text: str, name: str = "demo.py") -> str:
        """A file of the project; its name."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return name


def project(folder: Path) -> Path:
    """A new project there."""
    folder.mkdir()
    (folder / "pyproject.toml").touch()
    return folder
