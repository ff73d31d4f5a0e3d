"""What functions of services look like, and need."""

from __future__ import annotations

from typing import Any

TAKES_ANY = 0x04
"""The flag of code objects that take `*args`."""

NEEDED = ("anyio", "httptools", "psutil", "uvicorn", "websockets")
NEEDS = {
    "endpoint": (*NEEDED, "msgspec", "starlette"),
    "fastapi": (*NEEDED, "msgspec", "starlette", "fastapi"),
}
"""What has to be installed where a service of a shape runs."""


def remade(state: Any) -> Any:
    """How the state of a Starlette application is pickled: its own way it cannot be loaded."""
    return type(state), (vars(state)["_state"],)


def innermost(function: Any) -> Any:
    """The function that others are wrapped around."""
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    return function


def needed(function: Any) -> list[str]:
    """The parameters that have to be given, as far as that can be seen."""
    code = getattr(function, "__code__", None)
    if code is None:
        return []
    count = code.co_argcount - len(function.__defaults__ or ())
    end = code.co_argcount + code.co_kwonlyargcount
    by_name = code.co_varnames[code.co_argcount : end]
    defaults: Any = function.__kwdefaults__ or ()
    return [*code.co_varnames[:count], *(name for name in by_name if name not in defaults)]


def in_class(function: Any) -> bool:
    """Whether a function stands in the body of a class."""
    where = function.__qualname__.rpartition(".")[0]
    return bool(where) and not where.endswith("<locals>")
