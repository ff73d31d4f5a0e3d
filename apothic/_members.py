"""What a class has, as far as instances that live elsewhere need it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from apothic._arguments import told_of
from apothic.functions import IS_ASYNC, IS_ASYNC_GENERATOR, IS_GENERATOR, flags_of
from apothic.methods import HOOK, Method
from apothic.policies import marks_of
from apothic.serving import Serving
from apothic_backends.model.errors import UsageError
from apothic_backends.model.instances import ClassSpec, MethodSpec

_VARIABLE = 0x04 | 0x08
"""Flags of code objects: it takes `*args`, or `**kwargs`."""


def describe(kind: Any) -> ClassSpec:
    """What a class has, as far as its instances need it.

    One without a constructor gets one of what it annotates, as a dataclass does.

    Raises:
        UsageError: it has no methods, or a constructor with `*args` or `**kwargs`.
    """
    if kind.__init__ is object.__init__ and any(map(_annotations, kind.__mro__)):
        from dataclasses import dataclass  # slow to import, and few need it  # noqa: PLC0415

        dataclass(eq=False, repr=False)(kind)
    names: dict[str, None] = {}
    bases: list[type] = [*reversed(kind.__mro__)]
    for base in bases:
        names |= dict.fromkeys([*vars(base)])
    members: dict[str, Any] = {name: getattr(kind, name) for name in names}
    methods = {name: it for name, it in members.items() if _is_method(it)}
    if not methods and not any(isinstance(it, Serving) for it in members.values()):
        raise UsageError(f"{kind.__name__} has no method that can be called: mark some @method()")
    for name, it in methods.items():
        if "liv" in marks_of(it):
            raise UsageError(f"{kind.__name__}.{name}: liv generates functions, and no methods")
        if marks_of(it.__wrapped__) and len(methods) > 1:
            raise UsageError(
                f"{kind.__name__}.{name}: a class whose method is @batched has no other; and "
                "@concurrent stands above the class"
            )
    return ClassSpec(
        methods=tuple(MethodSpec(name, _yields(it.__wrapped__)) for name, it in methods.items()),
        parameters=_parameters(kind),
        enter=_hooks(members, "enter"),
        exit=_hooks(members, "exit"),
    )


def _is_method(member: object) -> bool:
    return isinstance(member, Method)


def _annotations(kind: type) -> object:
    return vars(kind).get("__annotations__")


def _yields(function: Callable[..., Any]) -> bool:
    return bool(flags_of(function) & (IS_GENERATOR | IS_ASYNC_GENERATOR))


def _hooks(members: Mapping[str, Any], what: str) -> tuple[str, ...]:
    """The names of hooks of a kind, those of bases first; what is `async def` comes last."""
    names = [name for name, it in members.items() if getattr(it, HOOK, None) == what]
    return tuple(sorted(names, key=lambda name: bool(flags_of(members[name]) & IS_ASYNC)))


def _parameters(kind: Any) -> tuple[tuple[str, str | None], ...]:
    """Those of its constructor, each with what stands for its default value."""
    made: Any = kind.__init__
    code = getattr(made, "__code__", None)
    if code is None:
        return ()
    if code.co_flags & _VARIABLE:
        raise UsageError(
            f"the constructor of {kind.__name__} takes *args or **kwargs; name its parameters, so "
            "that the same arguments are the same instance"
        )
    count = code.co_argcount + code.co_kwonlyargcount
    names, placed = code.co_varnames[1:count], code.co_varnames[1 : code.co_argcount]
    by_place: Any = made.__defaults__ or ()
    defaults = dict(zip(reversed(placed), reversed(by_place), strict=False))
    defaults |= made.__kwdefaults__ or {}
    return tuple(
        (name, told_of(kind.__name__, name, defaults[name]) if name in defaults else None)
        for name in names
    )
