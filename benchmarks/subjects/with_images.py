"""Functions with images whose environments are there: how soon the first call is done."""

from __future__ import annotations

import itertools
import os
import tempfile
import time
from collections.abc import Callable
from typing import Any

from apothic import App, Image
from apothic._connect import connected
from apothic_backends.images.making import make

MOST = 60
"""Environments that are made beforehand, for those that nobody runs in yet."""

_numbers = itertools.count()


class Images:
    """A program beside the environments that another one has left."""

    def __init__(self) -> None:
        self._home = tempfile.TemporaryDirectory()
        os.environ["APOTHIC_HOME"] = self._home.name
        self._left = [Image.debian_slim().env(NUMBER=str(number)) for number in range(MOST)]
        for image in self._left:
            make(image.spec(), None)
        self._warm = self._left.pop()
        self.first_ms({"image": self._warm})

    @staticmethod
    def first_ms(options: dict[str, Any]) -> float:
        """A function that was never called before, and its first call."""
        number = next(_numbers)

        def same(value: int) -> int:
            return value + number

        function: Callable[..., Any] = App(f"first-{number}").function(**options)(same)
        before = time.perf_counter()
        function.remote(1)
        return (time.perf_counter() - before) * 1e3

    def plain_ms(self) -> float:
        """One without an image."""
        return self.first_ms({})

    def warm_ms(self) -> float:
        """One whose image another function has run in."""
        return self.first_ms({"image": self._warm})

    def cold_ms(self) -> float:
        """One whose image no function of this program has run in."""
        return self.first_ms({"image": self._left.pop()})

    def close(self) -> None:
        """End what runs, and remove the environments."""
        backend = connected()
        if backend is not None:
            backend.close()
        self._home.cleanup()


def open_subject(workers: int) -> Images:
    """Make the environments."""
    del workers
    return Images()
