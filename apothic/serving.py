"""Services that are methods of classes: they answer on an object that their process makes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import update_wrapper
from typing import Any

from apothic.policies import MARKS
from apothic_backends.model.errors import UsageError


class Serving:
    """What `@app.endpoint()` and its like leave in a class, for `@app.cls` to find.

    On an object of the class it is the plain method.
    """

    def __init__(
        self, function: Callable[..., Any], make: Callable[..., Any], options: Any, waiting: Any
    ) -> None:
        update_wrapper(self, function)  # type: ignore[arg-type]
        self.__wrapped__ = function
        self._make = make
        self._options = options
        self._waiting = waiting
        waiting[function.__qualname__] = self

    def __get__(self, thing: object, kind: type | None = None) -> Any:
        """The method as it was written, bound to the object."""
        return self if thing is None else self.__wrapped__.__get__(thing)

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel as the function; what serves it needs no more."""
        return (_plain, (self.__wrapped__,))

    def declare(self, owner: Any, given: Mapping[str, Any]) -> Any:
        """The service of a class; what it says of itself goes before what its class does.

        Raises:
            InvalidOption: an option cannot be meant.
        """
        function = self.__wrapped__
        self._waiting.pop(function.__qualname__, None)
        marks = getattr(owner, MARKS, {}) | vars(self).get(MARKS, {})
        service = self._make(function, owner.app_name, {**given, **self._options}, marks={**marks})
        service.become_method(owner)
        return service


def _plain(function: Callable[..., Any]) -> Callable[..., Any]:
    return function


def services_of(owner: Any, given: Mapping[str, Any], refused: frozenset[str]) -> dict[str, Any]:
    """The services of a class by the names of its methods.

    Raises:
        UsageError: its constructor needs arguments, which nobody gives here.
        InvalidOption: an option cannot be meant.
    """
    raw = owner.raw()
    found = {name: it for name in dir(raw) if isinstance(it := getattr(raw, name), Serving)}
    needed = [name for name, default in owner.description.parameters if default is None]
    if found and needed:
        raise UsageError(
            f"{owner.name}.{next(iter(found))}() is a service, whose processes make {owner.name}() "
            f"without arguments: give {', '.join(needed)} a default"
        )
    given = {name: value for name, value in given.items() if name not in refused}
    return {name: it.declare(owner, given) for name, it in found.items()}


def check_all_declared(waiting: Mapping[str, object]) -> None:
    """See to it that no method waits for its class to be declared.

    Raises:
        UsageError: one does.
    """
    for name in waiting:
        kind, _, method = name.rpartition(".")
        raise UsageError(
            f"{name}() is to be a service, and its class does not live elsewhere: put @app.cls "
            f"above {kind.rpartition('.')[2]}, or take {method}() out of it"
        )
