"""Sandboxes: a program in one in place of a function."""

from __future__ import annotations

import time

from apothic import App

workspace = App("sandboxes").sandbox("plain")


class Sandboxes:
    """One of them."""

    def __init__(self) -> None:
        self._box = workspace.create()

    def call(self) -> None:
        """Run a program that does nothing, and wait for it."""
        self._box.exec("true").wait()

    def create_s(self) -> float:
        """How long it takes to make another one; it is ended, then."""
        before = time.perf_counter()
        box = workspace.create()
        taken_s = time.perf_counter() - before
        box.terminate()
        return taken_s

    def close(self) -> None:
        """End it."""
        self._box.terminate()


def open_subject(workers: int) -> Sandboxes:
    """Make it, and what all others are made by."""
    del workers
    return Sandboxes()
