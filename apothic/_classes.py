"""What carries out the calls of instances, and the wishes for them: procedures, for `_drive`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from apothic._arguments import bound, key_of
from apothic._calls import Calls, JobLink
from apothic._drive import step
from apothic._serialize import encode_arguments
from apothic_backends.base import Backend
from apothic_backends.commands.instances import (
    ListInstances,
    OpenInstance,
    RestartInstance,
    StopInstance,
)
from apothic_backends.model.errors import UsageError
from apothic_backends.model.functions import FunctionSpec
from apothic_backends.model.instances import ClassSpec, InstanceGone, InstanceSnapshot


class Wish(Protocol):
    """Which instance is meant."""

    arguments: tuple[tuple[Any, ...], dict[str, Any]]
    name: str | None
    must_exist: bool


class Class(Protocol):
    """A class that instances are made of."""

    app_name: str
    name: str

    @property
    def link(self) -> Calls:
        """What makes it known."""
        ...

    def spec(self) -> FunctionSpec:
        """What a backend must know of it."""
        ...

    def raw(self) -> Callable[..., Any]:
        """The class as it was written, where that is here; for messages."""
        ...

    def check_arguments(self, given: Mapping[str, Any]) -> None:
        """See to it that a constructor's arguments are of the types that it says."""
        ...


class InstanceLink:
    """One instance, as it is known to the backend that was asked last."""

    def __init__(self, kind: Class, wish: Wish) -> None:
        self._kind = kind
        self._wish = wish
        self._opened: tuple[Backend, str] | None = None

    @property
    def connect(self) -> Callable[[], Backend]:
        """Gives the backend that calls go to."""
        return self._kind.link.connect

    def forget(self, instance_id: str) -> None:
        """There is no such instance any more."""
        if self._opened is not None and self._opened[1] == instance_id:
            self._opened = None

    async def open(self, backend: Backend, deadline: float | None) -> str:
        """The instance's id, once it is there."""
        if self._opened is not None and self._opened[0] is backend:
            return self._opened[1]
        kind, wish = self._kind, self._wish
        class_id = await kind.link.function_on(backend, deadline)
        args, kwargs = wish.arguments
        command = OpenInstance(class_id, name=wish.name, whichever=wish.must_exist)
        if not wish.must_exist:
            given = bound(kind.name, _class_of(kind), args, kwargs)
            kind.check_arguments(given)
            command.key = key_of(kind.name, _class_of(kind), given)
            if args or kwargs:
                command.arguments = encode_arguments(kind.raw, args, kwargs)
                command.arguments.own()
        instance_id = await step(backend.start(command), deadline)
        self._opened = backend, instance_id
        return instance_id


def _class_of(kind: Class) -> ClassSpec:
    spec = kind.spec()
    if spec.cls is None:
        raise UsageError(
            f"{spec.app_name}/{spec.name} is a function, and no class: call it by "
            f"RemoteFunction.from_name({spec.app_name!r}, {spec.name!r})"
        )
    return spec.cls


class MethodCalls(Calls):
    """The calls of one method of an instance.

    An instance that is gone is made once more: it was stopped, or nobody had called it for long.
    """

    def __init__(self, callee: Any, link: InstanceLink, method: str) -> None:
        super().__init__(callee)
        self._link = link
        self.method = method
        self.first = (method,)
        self.connect = link.connect

    async def _register(self, backend: Backend, deadline: float | None) -> None:
        self._function_id = await self._link.open(backend, deadline)
        self._backend = backend
        if self._callee.spec().batch is not None:
            self.first = ()

    async def call(self, args: tuple[Any, ...], kwargs: dict[str, Any], *, owned: bool) -> Any:
        """Run one call and give its result."""
        if self._backend is None:
            await self._prepare()
        try:
            return await super().call(args, kwargs.copy(), owned=owned)
        except InstanceGone as gone:
            if not self._is_own(gone):
                raise
        return await super().call(args, kwargs, owned=owned)

    async def spawn(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], key: str | None = None
    ) -> JobLink:
        """Queue one call; the link to its job."""
        if self._backend is None:
            await self._prepare()
        try:
            return await super().spawn(args, kwargs, key)
        except InstanceGone as gone:
            if not self._is_own(gone):
                raise
        return await super().spawn(args, kwargs, key)

    async def _prepare(self) -> None:
        """Find out before the first call what it has to look like."""
        await self._register(self.connect(), None)

    def _is_own(self, gone: InstanceGone) -> bool:
        """Whether it is this instance that is gone; it is opened anew with the next call."""
        if gone.data.get("instance_id") != self._function_id:
            return False
        self._link.forget(self._function_id)
        self._backend = None
        return True


# --- wishes -------------------------------------------------------------------------------------


async def listed(backend: Backend, app_name: str, name: str) -> list[InstanceSnapshot]:
    """All instances of a class."""
    return [*await step(backend.start(ListInstances(app_name, name)))]


async def stop(backend: Backend, instance: str, *, wait: bool) -> InstanceSnapshot:
    """End an instance."""
    return await step(backend.start(StopInstance(instance, wait=wait)))


async def restart(backend: Backend, instance: str) -> InstanceSnapshot:
    """Have an instance made again."""
    return await step(backend.start(RestartInstance(instance)))
