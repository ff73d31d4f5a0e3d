"""The standard library's `subprocess.run`, which keeps nothing apart."""

from __future__ import annotations

import subprocess


class Programs:
    """Programs of this machine."""

    def call(self) -> None:
        """Run a program that does nothing, and wait for it."""
        subprocess.run(["true"], check=True)  # noqa: S607 - wherever it is

    def close(self) -> None:
        """Nothing is left."""


def open_subject(workers: int) -> Programs:
    """Nothing to open."""
    del workers
    return Programs()
