"""What the ways to call a function need of the function."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable, Sequence
from typing import Any, Protocol

from apothic.items import Link as ItemsLink
from apothic.jobs import Link

Inputs = Iterable[Any] | AsyncIterable[Any]

WAIT_S = 600.0
"""How long a call waits for its result where nothing else is said."""


class Calls(Protocol):
    """What carries out the calls of a function: a `_calls.Calls`."""

    async def call(self, args: tuple[Any, ...], kwargs: dict[str, Any], *, owned: bool) -> Any: ...
    async def spawn(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], key: str | None = None
    ) -> Link: ...
    async def fan_out(
        self, items: Inputs, timeout_s: float | None, *, is_star: bool = False, **how: bool
    ) -> list[Any]: ...
    async def submit_all(self, items: Inputs, timeout_s: float | None) -> Sequence[Link]: ...
    def items(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ItemsLink: ...


class Target(Protocol):
    """A declared function."""

    name: str

    @property
    def calls(self) -> Calls: ...
    def wait_s(self, timeout_s: float | None) -> float | None: ...
    def refuse_own(self, *names: str) -> None: ...


class Source(Protocol):
    """What leads to a declared function: its handle, or its name."""

    name: str

    def target(self) -> Target: ...
