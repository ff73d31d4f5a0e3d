"""Calls of a function that is known by its names: the deployed one, else one of this program."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from apothic._calls import Calls
from apothic._connect import connect, connect_to
from apothic._drive import step
from apothic._targets import WAIT_S, not_declared
from apothic._values import seconds
from apothic.options import FunctionOptions
from apothic_backends.base import Backend
from apothic_backends.commands import Command
from apothic_backends.commands.deployments import FindFunction
from apothic_backends.model.errors import NotFound
from apothic_backends.model.functions import FunctionSpec
from apothic_backends.project import project, state_url
from apothic_backends.registry import is_worker, shared


class Named:
    """A function by its names, with whatever is known of it here."""

    def __init__(self, app_name: str, name: str, declared: Mapping[tuple[str, str], Any]) -> None:
        self.app_name = app_name
        self.name = name
        self._declared = declared
        self.found: FunctionSpec | None = None
        """What it was when it was looked up last."""
        self.calls = NamedCalls(self)

    @property
    def own(self) -> Any:
        """The handle of the function of these names in this program; None if there is none."""
        return self._declared.get((self.app_name, self.name))

    @property
    def options(self) -> FunctionOptions:
        """What it was declared with, where it is of this program."""
        own = self.own
        return {} if own is None else own.options

    @property
    def is_generator(self) -> bool | None:
        """Whether it gives items and no result; None until that is known."""
        return None if self.found is None else self.found.is_generator

    @property
    def freeze(self) -> Callable[[], object] | None:
        """What has its body generated, where it is of this program and that is asked for."""
        own = self.own
        return None if own is None else own.freeze

    def raw(self) -> Callable[..., Any]:
        """The function as it was written, where that is here; for messages."""
        own = self.own
        raw: Callable[..., Any] = self._elsewhere if own is None else own.raw()
        return raw

    def _elsewhere(self) -> None:
        """Stands for a function whose code is not here."""

    def spec(self) -> FunctionSpec:
        """What it was when it was looked up last."""
        return self.found or FunctionSpec(self.app_name, self.name)

    def introduction(self) -> list[Command[Any]]:
        """What makes it known, where it is not deployed.

        Raises:
            NotFound: it is not here, either.
        """
        own = self.own
        if own is None:
            raise not_declared(self.app_name, self.name, self._declared)
        commands: list[Command[Any]] = own.introduction()
        return commands

    def wait_s(self, timeout_s: float | None) -> float | None:
        """How long to wait: what the call says, else as long as all do."""
        return WAIT_S if timeout_s is WAIT_S else seconds("timeout_s", timeout_s)

    def take_wait(self, kwargs: dict[str, Any]) -> float | None:
        """Take the caller's `timeout_s` out of a call's keywords.

        Raises:
            UsageError: the function is of this program and has such a parameter.
        """
        own = self.own
        if own is not None:
            wait_s: float | None = own.take_wait(kwargs)
            return wait_s
        return self.wait_s(kwargs.pop("timeout_s", WAIT_S))

    def refuse_own(self, *names: str) -> None:
        """See to it that keywords of ours are none of the function's, as far as that is known.

        Raises:
            UsageError: one is.
        """
        own = self.own
        if own is not None:
            own.refuse_own(*names)


def shared_beside() -> str | None:
    """The control plane that has what others have deployed, if this program's own has nothing.

    That of the program has if the environment names it, or if it keeps its state.
    """
    is_said = is_worker() or os.environ.get("APOTHIC_BACKEND")
    return None if is_said or state_url(project()) != "memory" else shared()


class NamedCalls(Calls):
    """The calls of such a function: they go to whichever version is live when they are made."""

    def __init__(self, callee: Named) -> None:
        super().__init__(callee)
        self._named = callee
        self.connect = self._where
        self._shared: str | None = None

    def _where(self) -> Backend:
        """The backend that calls go to: what is not of this program is where programs share."""
        if self._named.own is None:
            self._shared = self._shared or shared_beside()
            if self._shared is not None:
                return connect_to(self._shared)
        return connect()

    async def _register(self, backend: Backend, deadline: float | None) -> None:
        """Look it up; while it is not deployed, again for each call."""
        named = self._named
        try:
            found = await step(backend.start(FindFunction(named.app_name, named.name)), deadline)
        except NotFound:
            await self._introduce(backend, deadline)
            own = named.own
            named.found = None if own is None else own.spec()
        else:
            named.found, self._function_id = found.spec, found.function_id
            self._backend = backend
        self._is_generator = bool(named.is_generator)
