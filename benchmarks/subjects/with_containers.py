"""Apothic, with executors in containers of an image that is here: `APOTHIC_BENCHMARK_IMAGE`."""

from __future__ import annotations

import os
import time
from typing import Any

from apothic import App
from apothic_backends.containers import building
from apothic_backends.model.images import ImageSpec

import work

IMAGE = os.environ.get("APOTHIC_BENCHMARK_IMAGE", "apothic-test-base:2")


class Containers:
    """A function in a container, and more of them, each in another one."""

    def __init__(self) -> None:
        self._app = App("containers")
        self._noop: Any = self._app.function()(work.noop)
        self._noop.remote()

    def call(self) -> None:
        """Run the no-op there and wait for it."""
        self._noop.remote()

    def start_s(self) -> float:
        """How long the first call of a function takes, which gets a container for it."""
        fresh: Any = App(f"containers-{time.monotonic_ns()}").function()(work.noop)
        before = time.perf_counter()
        fresh.remote()
        return time.perf_counter() - before

    def ready_s(self) -> float:
        """How long it takes to find an image that is here."""
        before = time.perf_counter()
        building.ready(ImageSpec(base=IMAGE))
        return time.perf_counter() - before

    def close(self) -> None:
        """They end with the program."""


def open_subject(workers: int) -> Containers:
    """Have a first one, and what all others are prepared by."""
    del workers
    os.environ["APOTHIC_EXECUTORS"] = f"docker:{IMAGE}"
    return Containers()
