"""Ray's actors: a method in place of a task."""

from __future__ import annotations

from typing import Any

import ray

from subjects.with_ray import start


class Counter:
    """As `with_objects` has it."""

    def __init__(self) -> None:
        self.calls = 0

    def noop(self, item: object = None) -> None:
        """What functions do, and one addition."""
        self.calls += 1


class Actors:
    """One of them."""

    def __init__(self) -> None:
        self._counter: Any = ray.remote(Counter).remote()

    def call(self) -> None:
        """Call it and wait for it."""
        ray.get(self._counter.noop.remote())

    def close(self) -> None:
        """Stop the cluster."""
        ray.shutdown()


def open_subject(workers: int) -> Actors:
    """Start a cluster and an actor."""
    start(workers)
    return Actors()
