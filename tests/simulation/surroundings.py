"""What a simulated process needs of the world around it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from apothic_emulator.core.facts import Ended, Input, Origin
from tests.simulation.history import History
from tests.simulation.plan import Plan

Reply = Callable[[object, BaseException | None], None]


class Peer(Protocol):
    """Another process."""

    running: dict[int, tuple[int, str]]


class Peers(Protocol):
    """All of them."""

    @property
    def processes(self) -> Mapping[int, Peer]: ...
    def gone(self, end: Ended) -> None: ...


class Surroundings(Protocol):
    """The world."""

    now: float
    plan: Plan
    history: History
    depth: dict[int, int]

    @property
    def fleet(self) -> Peers: ...
    @property
    def owned(self) -> dict[int, set[int]]: ...
    @property
    def is_healed(self) -> bool: ...
    def at(self, when: float, what: Callable[..., None], *args: Any) -> None: ...
    def send(self, item: Input) -> None: ...
    def ask(
        self, command: Any, reply: Reply, origin: Origin | None, client: int = -1
    ) -> object: ...
    def falls(self, kind: str) -> bool: ...
    def cancel_at(self, when: float, job: int) -> None: ...
