"""What the ways to call a function need of the function."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable, Sequence
from typing import Any, Protocol

from apothic.items import Link as ItemsLink
from apothic.jobs import Link
from apothic_backends.base import Backend
from apothic_backends.model.errors import NotFound

Inputs = Iterable[Any] | AsyncIterable[Any]

WAIT_S = 600.0
"""How long a call waits for its result where nothing else is said."""


def not_declared(app_name: str, name: str, declared: Iterable[tuple[str, str]]) -> NotFound:
    """What to say of a function that is nowhere."""
    known = sorted(f"{app}/{other}" for app, other in declared)
    return NotFound(
        f"no function {app_name}/{name} is declared in this process, or deployed; declared are: "
        f"{', '.join(known) or 'none'}",
        name=f"{app_name}/{name}",
        known=known,
    )


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
    def go_to(self, backend: Backend, function_id: str) -> None: ...


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
