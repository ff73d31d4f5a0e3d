"""The functions of a file, for commands that look at what is declared and run nothing of it."""

from __future__ import annotations

from contextlib import redirect_stdout
from sys import stderr

from apothic.apps import App
from apothic.cli.load import find_file, load
from apothic.functions import Declared, as_declared
from apothic_backends.model.errors import NotFound

Functions = dict[str, Declared[..., object]]
"""Handles of functions, services and classes, by `app/name`."""


def functions_of(target: str) -> Functions:
    """What `path.py` declares, or of that what `path.py::name` says.

    Raises:
        NotFound: there is no such file, or nothing of that name in it.
    """
    path, _, name = target.partition("::")
    file = find_file(path)
    with redirect_stdout(stderr):
        module = load(file)
    apps = {id(it): it for it in vars(module).values() if isinstance(it, App)}.values()
    known = {key: it for app in apps for key, it in declared_by(app).items()}
    meant = {key: it for key, it in known.items() if name in ("", key, key.partition("/")[2])}
    if not meant:
        listed = ", ".join(sorted(known)) or "none; declare some with @app.function"
        what = f"no function {name!r}" if name else "no functions"
        raise NotFound(f"{path} has {what}; there are: {listed}", name=name or path)
    return meant


def declared_by(app: App) -> Functions:
    """What an app declares."""
    found = {f"{app.name}/{key}": as_declared(it) for key, it in app.functions.items()}
    return {key: it for key, it in found.items() if it is not None}
