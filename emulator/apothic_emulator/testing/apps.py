"""Apps in a runtime: their functions are known there, and their schedules run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from apothic_backends.commands import RegisterFunction
from apothic_backends.model.functions import FunctionSpec
from apothic_backends.model.payloads import Payload
from apothic_emulator.testing.runtime import Runtime


class Handle(Protocol):
    """A function as the SDK declares it."""

    def spec(self) -> FunctionSpec:
        """What a backend must know of it."""
        ...

    def code(self) -> Payload:
        """What loads to it elsewhere."""
        ...


class AppLike(Protocol):
    """An app as the SDK declares it."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def functions(self) -> Mapping[str, Any]:
        """Its functions by name."""
        ...


class RunningApp(Mapping[str, Any]):
    """The functions of an app by name, in the runtime where it runs."""

    def __init__(self, runtime: Runtime, app: AppLike) -> None:
        self.name = app.name
        self._runtime = runtime
        self._handles = dict(app.functions)
        for handle in self._handles.values():
            self._register(handle)

    def _register(self, handle: Handle) -> str:
        backend = self._runtime.backend
        return backend.start(RegisterFunction(handle.spec(), handle.code())).wait()

    def stop(self) -> None:
        """Nothing of it starts by itself any more."""

    def __getitem__(self, name: str) -> Any:
        """The function of that name."""
        return self._handles[name]

    def __iter__(self) -> Iterator[str]:
        """The names."""
        return iter(self._handles)

    def __len__(self) -> int:
        """How many functions it has."""
        return len(self._handles)

    def __repr__(self) -> str:
        """Its name and its functions."""
        return f"<app {self.name}: {', '.join(self._handles)}>"
