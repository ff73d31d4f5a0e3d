"""Apothic's named objects: a method in place of a function."""

from __future__ import annotations

from apothic import App, method

app = App("objects")


@app.cls(max_pending_tasks=10_000)
class Counter:
    """Counts, so that each call reads and writes its state."""

    def __init__(self) -> None:
        self.calls = 0

    @method()
    def noop(self, item: object = None) -> None:
        """What functions do, and one addition."""
        self.calls += 1


class Objects:
    """One of them."""

    def __init__(self) -> None:
        self._noop = Counter.named("one").noop

    def call(self) -> None:
        """Call it and wait for it."""
        self._noop.remote()

    def close(self) -> None:
        """Stop it."""
        Counter.stop("one")


def open_subject(workers: int) -> Objects:
    """Make it with the first call."""
    del workers
    return Objects()
