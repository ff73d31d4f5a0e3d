"""Instances in the caller's own process: the object, and what calls its methods."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any

from apothic_backends.model.functions import FunctionSpec
from apothic_backends.model.payloads import Payload
from apothic_emulator.executors import calls
from apothic_emulator.executors.objects import Holder, class_of, method_of


class Runner:
    """The loop of an executor, for hooks that are `async def`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def run(self, hook: Coroutine[Any, Any, Any]) -> None:
        """Run one to its end."""
        self._loop.run_until_complete(hook)

    def close(self) -> None:
        """Its executor closes the loop."""


def load(code: Payload, spec: FunctionSpec, loop: asyncio.AbstractEventLoop | None) -> Holder:
    """Make an object and enter it."""
    cls = spec.cls
    assert cls is not None, "an instance has a class"
    kind, (args, kwargs) = class_of(code.data, [bytearray(buffer) for buffer in code.buffers])
    told = {"slots": spec.concurrent_requests, "enter": cls.enter, "exit": cls.exit}
    holder = Holder(kind(*args, **kwargs), told, None if loop is None else Runner(loop))
    holder.enter()
    return holder


def calling(holder: Holder, spec: FunctionSpec, *, on_loop: bool) -> Callable[..., Any]:
    """What calls a method by its name; on a loop, what gives something to be awaited."""
    names = () if spec.cls is None else tuple(it.name for it in spec.cls.methods)
    known = {name: method_of(holder.object, name) for name in names}
    if spec.batch is not None:
        [method] = known.values()
        return method

    def call(_name: str, /, *args: Any, **kwargs: Any) -> Any:
        made = known[_name](*args, **kwargs)
        return _on_loop(made) if on_loop else made

    calls.HIDDEN.add(call.__code__)
    return call


def _on_loop(made: Any) -> Any:
    if hasattr(made, "__await__") or hasattr(made, "__anext__"):
        return made
    return _over(made) if inspect.isgenerator(made) else _ready(made)


async def _over(items: Any) -> AsyncGenerator[Any]:
    for item in items:
        yield item


async def _ready(value: Any) -> Any:
    return value
