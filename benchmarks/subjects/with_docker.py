"""`docker run` of the same image, as its users write it."""

from __future__ import annotations

import subprocess
import time

from subjects.with_containers import IMAGE


class Docker:
    """Containers that run a Python which does nothing."""

    def start_s(self) -> float:
        """How long one takes, from the command to its end."""
        before = time.perf_counter()
        command = ["docker", "run", "--rm", IMAGE, "python3", "-c", "pass"]
        subprocess.run(command, check=True)
        return time.perf_counter() - before

    def ready_s(self) -> float:
        """Finding the image is a part of it."""
        return 0.0

    def close(self) -> None:
        """Nothing is left."""


def open_subject(workers: int) -> Docker:
    """Nothing to open."""
    del workers
    return Docker()
