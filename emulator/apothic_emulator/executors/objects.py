"""An instance of a class: made once, entered, called by the names of its methods, left at the end.

    class and arguments ──► __init__ ──► @enter hooks ──► calls ... ──► @exit hooks

Hooks that are `async def` come after those that are not. What makes an object may be stopped as a
call may; what ends it has a limited time, which the host keeps.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, Protocol

from apothic_emulator.executors import calls
from apothic_emulator.executors.stops import Stops
from apothic_emulator.executors.wire import Buffer

Method = Callable[..., Any]


class Executor(Protocol):
    """What an object needs of the process that it is in."""

    function: Method
    stops: Stops
    is_async: bool
    is_loaded: bool
    holder: Any
    lasting: Any

    def produce(self, function: Method, *, is_async: bool) -> Method:
        """In place of a generator function, what runs it to its end and sends its items."""
        ...


class Holder:
    """The object of a process. `runner` is its loop, if any of it is `async def`."""

    def __init__(
        self, thing: object, spec: Mapping[str, Any], runner: Any = None, volumes: Any = None
    ) -> None:
        self.object = thing
        self._spec = spec
        self.runner = runner
        self.slots: int = spec["slots"]
        self.in_threads: set[int] = set()
        """Calls that are no tasks, where others are."""
        self._volumes = volumes
        self._is_entered = False

    def enter(self) -> None:
        """Run what its class does before the first call."""
        for hook in self._hooks("enter"):
            self._call(hook)
        self._is_entered = True

    def leave(self) -> None:
        """Run what its class does after the last call; what that raises is printed."""
        if not self._is_entered:
            return
        self._is_entered = False
        with nullcontext() if self._volumes is None else self._volumes:
            for hook in self._hooks("exit"):
                try:
                    self._call(hook)
                except Exception:  # noqa: BLE001 - the others are run nevertheless
                    traceback.print_exc(file=sys.stderr)
        if self.runner is not None:
            self.runner.close()

    def _hooks(self, what: str) -> list[Method]:
        return [getattr(self.object, name) for name in self._spec[what]]

    def _call(self, hook: Method) -> None:
        if calls.is_async(hook):
            self.runner.run(hook())
        else:
            hook()


def _written(kind: type, name: str) -> Any:
    """What a class or one of its bases has under a name, as it stands there."""
    return next((vars(base)[name] for base in kind.__mro__ if name in vars(base)), None)


def method_of(thing: object, name: str) -> Method:
    """A method of an object, as it was written."""
    found = _written(type(thing), name)
    raw: Any = getattr(found, "__wrapped__", found)
    bound: Method = raw.__get__(thing)
    return bound


def class_of(head: Buffer, buffers: Sequence[Buffer]) -> tuple[type, calls.Arguments]:
    """The class, and the arguments of its constructor; the core has put them together so."""
    count, codec = bytes(head).decode().split(" ")
    arguments, code = buffers[: int(count)], buffers[int(count) :]
    kind: Any = calls.load(codec, code[0], tuple(code[1:]))
    return getattr(kind, "__wrapped__", kind), calls.arguments(arguments[0], [*arguments[1:]])


def load(executor: Executor, head: Buffer, buffers: Sequence[Buffer], spec: dict[str, Any]) -> None:
    """Make the object, and have the executor call its methods."""
    kind, (args, kwargs) = class_of(head, buffers)
    executor.is_loaded = True  # its hooks may ask for what its module may not while it is imported
    volumes, runner = executor.lasting, None
    if executor.is_async:
        from apothic_emulator.executors import tasks  # asyncio is slow to import  # noqa: PLC0415

        runner = tasks.new_runner()
    with nullcontext() if volumes is None else volumes:
        holder = Holder(kind(*args, **kwargs), spec, runner, volumes)
        holder.enter()
    known = {name: _prepared(executor, holder.object, name) for name in spec["methods"]}
    if spec["is_batched"]:
        [executor.function] = known.values()
    elif executor.is_async:
        from apothic_emulator.executors import tasks  # as above  # noqa: PLC0415

        executor.function = tasks.methods(holder, known, executor.stops)
    else:
        executor.function = _methods(known)
    executor.holder = holder


def _prepared(executor: Executor, thing: object, name: str) -> Method:
    """A method with all that is to happen around its calls."""
    method = method_of(thing, name)
    is_generator, is_async = calls.yields(method)
    is_async |= calls.is_async(method)
    if executor.lasting is not None:
        method = executor.lasting.around(method, is_async=is_async, is_generator=is_generator)
    return executor.produce(method, is_async=is_async) if is_generator else method


def _methods(known: Mapping[str, Method]) -> Method:
    """What calls a method by its name."""

    def call(_name: str, /, *args: Any, **kwargs: Any) -> Any:
        return known[_name](*args, **kwargs)

    calls.HIDDEN.add(call.__code__)
    return call
