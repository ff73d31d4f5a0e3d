"""Where a function's code can be found by another process, and what that process may preload."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any

from apothic_backends.model.errors import UsageError

_PACKAGES = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")
_importable: dict[str, bool] = {}


def is_importable(name: str) -> bool:
    """Whether another process finds the same module under that name on `sys.path`."""
    known = _importable.get(name)
    if known is None:
        known = _importable[name] = name != "__main__" and _finds(name)
    return known


def _finds(name: str) -> bool:
    """Look the module up afresh: that it is loaded says nothing about how it got here."""
    module = sys.modules.get(name)
    path: str | None = getattr(module, "__file__", None)
    parent, _, _ = name.rpartition(".")
    if module is None or (parent and not is_importable(parent)):
        return False
    where = getattr(sys.modules.get(parent), "__path__", None) if parent else None
    for finder in sys.meta_path:
        find = getattr(finder, "find_spec", None)
        spec = find(name, where, None) if find else None
        if spec is not None:
            if path is None or spec.origin is None or not spec.has_location:
                return True
            return os.path.realpath(spec.origin) == os.path.realpath(path)
    return False


def reference(function: Callable[..., Any]) -> str | None:
    """The `module:qualname` under which a worker finds this very function, if it does.

    Behind a handle it is `module:qualname.__wrapped__`.
    """
    module, path = function.__module__, function.__qualname__
    if not module or not is_importable(module):
        return None
    found = lookup(module, path)
    while found is not function and hasattr(found, "__wrapped__"):
        found, path = found.__wrapped__, f"{path}.__wrapped__"
    return f"{module}:{path}" if found is function else None


def lookup(module: str, qualname: str) -> Any:
    """What a module that is loaded has under a dotted name; None if nothing."""
    found: Any = sys.modules.get(module)
    for name in qualname.split("."):
        found = getattr(found, name, None)
    return found


def preload(function: Callable[..., Any]) -> tuple[str, ...]:
    """Top-level modules that the function's module uses and that are nobody's work in progress.

    A fresh process may import these before the code arrives. Only what is installed is worth a
    process of its own; the project's own modules are never among them, because they change.
    """
    names: set[str] = set()
    for value in [*getattr(function, "__globals__", {}).values()]:
        name = value.__name__ if isinstance(value, ModuleType) else _home(value)
        names.add(name.partition(".")[0])
    return tuple(sorted(name for name in names if _is_settled(name)))


def _home(value: object) -> str:
    """The module that a class or a function comes from."""
    home = value.__module__ if isinstance(value, type | FunctionType) else None
    return home if isinstance(home, str) else ""


def _is_settled(name: str) -> bool:
    path = getattr(sys.modules.get(name), "__file__", None)
    if not isinstance(path, str) or name in ("apothic", "apothic_backends", "__main__"):
        return False
    return any(part in path for part in _PACKAGES)


def check_function(thing: object, decorator: str) -> None:
    """Refuse what a decorator of functions cannot be put on.

    Raises:
        UsageError: it has no name, or is a class, or cannot be called at all.
    """
    if isinstance(thing, type) or not callable(thing) or not hasattr(thing, "__name__"):
        raise UsageError(f"{decorator} needs a function, not {thing!r}")
