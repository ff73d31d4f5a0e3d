"""A program whose user presses Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.integration.support import descendants, is_alive, wait_until

ENDS = {130, -signal.SIGINT}
"""What a shell calls 130 either way."""


class Interrupted:
    """A program in a process group of its own, and what became of it."""

    def __init__(self, script: Path, text: str) -> None:
        script.write_text(text)
        self.process = subprocess.Popen(
            [sys.executable, str(script)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.below: set[int] = set()

    def wait_ready(self) -> None:
        """Wait until it says that it has come so far."""
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def interrupt(self) -> float:
        """Press Ctrl-C; how long the program takes to end."""
        self.below = descendants(self.process.pid)
        began = time.monotonic()
        os.killpg(self.process.pid, signal.SIGINT)
        _, self.stderr = self.process.communicate(timeout=30)
        return time.monotonic() - began

    def check(self, moment: str) -> None:
        """Hold it against what is promised."""
        told = f"{moment}: exit code {self.process.returncode}\n{self.stderr}"
        for word in ("EmulatorDead", "InternalError", "Exception ignored", "Error in"):
            assert word not in self.stderr, told
        wait_until(lambda: not any(map(is_alive, self.below)), f"for all to end; {told}")
