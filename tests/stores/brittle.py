"""An engine that can be made to wait and to fail."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence

from apothic_emulator.stores.base import Change, Found
from apothic_emulator.stores.memory import MemoryEngine


class BrittleEngine(MemoryEngine):
    """Keeps records for as long as it lives; `gate` holds commits up, `error` fails them."""

    durability = "disk"

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.gate.set()
        self.begun = threading.Event()
        """Some commit has got as far as the gate."""
        self.error: Exception | None = None
        self.is_torn = False
        self.commits: list[Sequence[Change]] = []
        self.is_open = False

    def open(self) -> int:
        self.is_open = True
        return super().open()

    def load(self) -> Iterable[Found]:
        if self.is_torn and self.error is not None:
            raise self.error
        return super().load()

    def commit(self, changes: Sequence[Change]) -> None:
        self.begun.set()
        assert self.gate.wait(60.0)
        if self.error is not None:
            raise self.error
        self.commits.append(changes)
        super().commit(changes)

    def close(self) -> None:
        self.is_open = False
