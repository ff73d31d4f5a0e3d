"""What a host asks of whoever makes its steps durable; imported without a store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from apothic_emulator.core.effects import Outcome
from apothic_emulator.core.facts import Input

Decide = Callable[[Sequence[Input], float], Outcome]


class Durable(Protocol):
    """Holds steps back until what they have changed is durable."""

    @property
    def durability(self) -> str:
        """What an acknowledged change outlives."""
        ...

    @property
    def place(self) -> str:
        """Where the state is, for people."""
        ...

    @property
    def archives(self) -> Path | None:
        """Where archives of code are to lie that must be there as long as the state is."""
        ...

    def attach(self, host: Any) -> Decide:
        """Serve this host, whose core has been given what was kept: what its steps go through.

        A step that has to wait for a commit comes later, and not as the outcome.

        Raises:
            StoreError: the store cannot be read.
        """
        ...

    def tokens(self) -> list[object]:
        """Those whose reply is held."""
        ...

    def finish(self, *, in_order: bool) -> None:
        """Commit what is held, and let the store go."""
        ...
