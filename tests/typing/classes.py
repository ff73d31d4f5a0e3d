"""What type checkers see of classes: read by pyright and mypy, never run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import assert_type

from apothic import App, AsyncItems, Cls, InstanceSnapshot, Items, Job, enter, exit, method  # noqa: A004

MYPY = False
"""What mypy takes for true: to it a class stays what it was, whatever decorates it."""

app = App("types")


@app.cls(max_containers=2, keep_warm_s=5, max_restarts=1)
class Counter:
    def __init__(self, start: int, *, step: int = 1) -> None:
        self.value = start * step

    @enter()
    def load(self) -> None: ...

    @exit()
    async def close(self) -> None: ...

    @method()
    def add(self, by: int) -> int:
        return self.value + by

    @method()
    async def later(self, by: int) -> str:
        return str(by)

    @method()
    def items(self, most: int) -> Iterator[int]:
        yield most

    @method()
    async def items_later(self) -> AsyncIterator[str]:
        yield "a"


@app.cls
@dataclass
class Settings:
    name: str

    @method()
    def show(self) -> str:
        return self.name


def calls() -> None:
    counter = Counter(1, step=2)
    assert_type(counter.add.remote(1), int)
    assert_type(counter.add.spawn(1), Job[int])
    assert_type(counter.add(1), int)
    assert_type(counter.add.local(1), int)
    assert_type(counter.later.remote(1), str)
    assert_type(counter.items.remote_gen(1), Items[int])
    assert_type(counter.add.map([1, 2]), list[int])
    assert_type(Settings("a").show.remote(), str)
    if not MYPY:
        assert_type(Counter.named("a", 1).add.map([1, 2]), list[int])
        assert_type(Counter.get("a").add.remote(1), int)
        assert_type(Counter.instances(), list[InstanceSnapshot])
        Counter.stop("a")


async def awaited() -> None:
    counter = Counter(1)
    assert_type(await counter.add.remote.aio(1), int)
    assert_type(await counter.later(1), str)
    assert_type(counter.items_later.remote_gen.aio(), AsyncItems[str])
    if not MYPY:
        await Counter.aio.restart("a")


def by_name() -> None:
    Cls.from_name("types", "Counter")(1).add.remote(1)


def mistakes() -> None:
    Counter("one")  # type: ignore[arg-type]
    Counter(1).add.remote("one")  # type: ignore[call-overload]
