"""A job that says that it has begun, and stays until it is let go."""

from __future__ import annotations

import os
from pathlib import Path


class Gated:
    """Where it says so, and where it waits: what `functions.stay` and its like are given."""

    def __init__(self, folder: Path, name: str = "") -> None:
        self.folder = folder
        self.began, self.gate = folder / f"{name}began", folder / f"{name}gate"
        os.mkfifo(self.gate)

    @property
    def pids(self) -> list[int]:
        """Who has run user code."""
        return [int(pid) for pid in self.began.read_text().split()] if self.began.exists() else []

    def let_go(self) -> None:
        """Let one go on."""
        with self.gate.open("w") as gate:
            gate.write("x")
