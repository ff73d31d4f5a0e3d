"""Find what `path.py::name` means."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from apothic._code import is_importable
from apothic.apps import App
from apothic_backends.model.errors import NotFound, UsageError

Target = Callable[..., Any]
"""A local entrypoint, or the handle of a function."""


def find_file(path: str) -> Path:
    """The file of that path.

    Raises:
        NotFound: there is none.
    """
    file = Path(path)
    if not file.is_file():
        raise NotFound(f"there is no file {path!r}; give path.py or path.py::function", name=path)
    return file.resolve()


def load(file: Path) -> ModuleType:
    """Import a file under its own name, its directory first on `sys.path`, as Python runs it.

    Not as `__main__`: workers import it too, so its functions travel by address. Where its name is
    taken by another module it gets one of its own, and its functions travel by value.

    Raises:
        UsageError: it is not a Python file.
    """
    sys.path.insert(0, str(file.parent))
    is_module = file.suffix == ".py" and file.stem.isidentifier()
    if is_module and file.stem not in sys.modules:
        module = __import__(file.stem)
        if is_importable(file.stem) and getattr(module, "__file__", None) == str(file):
            return module
    name = f"apothic_run_{file.stem}"
    spec = spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise UsageError(f"{file} is not a Python file: its name does not end in .py")
    module = sys.modules[name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def choose(module: ModuleType, name: str) -> Target:
    """What to run: what `name` says; else the one local entrypoint; else the one function.

    Raises:
        NotFound: there is nothing of that name, or nothing at all.
        UsageError: there are several.
    """
    apps = {id(value): value for value in vars(module).values() if isinstance(value, App)}.values()
    entrypoints = {k: fn for app in apps for k, fn in app.entrypoints.items()}
    functions = {k: cast(Target, fn) for app in apps for k, fn in app.functions.items()}
    known: dict[str, Target] = {**functions, **entrypoints}
    listed = ", ".join(sorted(known)) or "none; decorate one with @app.function"
    if name:
        if name not in known:
            raise NotFound(f"{module.__file__} has no {name!r}; there are: {listed}", name=name)
        return known[name]
    choices: list[Target] = list(entrypoints.values()) or list(functions.values())
    if not choices:
        raise NotFound(f"{module.__file__} has nothing to run: {listed}", name=module.__name__)
    if len(choices) > 1:
        raise UsageError(f"say which one with path.py::name; there are: {listed}")
    return choices[0]
