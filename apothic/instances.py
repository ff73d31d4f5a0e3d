"""Handles of objects that live elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from apothic._targets import Calls
from apothic.methods import BoundMethod
from apothic_backends.model.errors import UsageError
from apothic_backends.model.functions import FunctionSpec
from apothic_backends.model.instances import ClassSpec


class Instance:
    """The handle of an object that lives elsewhere: it has the methods of that, and no more.

    It may travel, and means the same object anywhere.
    """

    def __init__(
        self,
        kind: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        name: str | None = None,
        *,
        must_exist: bool = False,
    ) -> None:
        self.__reference = Reference(kind, (args, kwargs), name, must_exist=must_exist)

    def __getattr__(self, name: str) -> Any:
        """A method of it, or a service."""
        if name.startswith("__"):
            raise AttributeError(name)
        reference = self.__reference
        service = reference.kind.services.get(name)
        if service is not None:
            return reference.service(service)
        found: BoundMethod[..., Any] = BoundMethod(reference, name, reference.kind.raw_method(name))
        vars(self)[name] = found
        return found

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel as its class, and what tells it from others."""
        it = self.__reference
        return (_remade, (it.kind, *it.arguments, it.name, it.must_exist))

    def __repr__(self) -> str:
        """Which object it is."""
        return f"<Instance {self.__reference.app_name}/{self.__reference.shown}>"


def _remade(kind: Any, args: Any, kwargs: Any, name: str | None, must_exist: bool) -> Instance:  # noqa: FBT001 - pickle gives them by place
    return Instance(kind, args, kwargs, name, must_exist=must_exist)


class Reference:
    """Which object is meant, and what is known of it here."""

    def __init__(
        self,
        kind: Any,
        arguments: tuple[tuple[Any, ...], dict[str, Any]],
        name: str | None,
        *,
        must_exist: bool,
    ) -> None:
        self.kind = kind
        self.arguments = arguments
        self.name = name
        self.must_exist = must_exist
        self.app_name: str = kind.app_name
        self.shown: str = kind.name if name is None else f"{kind.name}[{name}]"
        self._link: Any = None
        self._object: Any = None

    def spec(self) -> FunctionSpec:
        """What a backend must know of its class."""
        spec: FunctionSpec = self.kind.spec()
        return spec

    def calls_of(self, method: BoundMethod[..., Any]) -> Calls:
        """What carries out the calls of one of its methods."""
        from apothic import _classes  # at the first call  # noqa: PLC0415

        if self._link is None:
            self._link = _classes.InstanceLink(self.kind, self)
        calls: Calls = _classes.MethodCalls(method, self._link, method.method)
        return calls

    def service(self, found: Any) -> Any:
        """A service of its class, if its processes make such objects.

        Raises:
            UsageError: they make others.
        """
        if self.name is not None or any(self.arguments):
            raise UsageError(
                f"{found.name} is a service, whose processes have objects of their own, made "
                f"without arguments: {self.kind.name}().{found.raw().__name__}"
            )
        return found

    def local_method(self, name: str) -> Callable[..., Any]:
        """The method of an object in this process, which is made now, and entered."""
        if self._object is None:
            self._object = _entered(self.kind, *self.arguments)
        method: Callable[..., Any] = getattr(self._object, name)
        return method


def _entered(kind: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> object:
    """An object in this process; its exit hooks are not run.

    Raises:
        UsageError: its class is not here, or has an `async def` hook, which needs a loop.
    """
    description: ClassSpec | None = getattr(kind, "description", None)
    if description is None:
        raise UsageError(f"{kind.name} is not declared in this program, so it cannot run here")
    thing = kind.raw()(*args, **kwargs)
    for name in description.enter:
        made = getattr(thing, name)()
        if hasattr(made, "__await__"):
            made.close()
            raise UsageError(
                f"{kind.name}.{name}() is async def: an object of it can be entered elsewhere only"
            )
    return thing
