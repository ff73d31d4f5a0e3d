"""What the commands of `apothic state` do."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from apothic.cli import output
from apothic.cli.command import say
from apothic.cli.wishes import Wishes
from apothic_backends.model.errors import UsageError
from apothic_backends.project import namespace, project, state_folder, state_url

SCHEMA = "apothic.state.v1"
_KIB = 1024


def _namespaces() -> Any:
    """What keeps state is the emulator's, which is found by name."""
    return import_module("apothic_emulator.stores.namespaces")


def show(asked: Wishes) -> None:
    """Print every namespace."""
    found = _namespaces().listed(project())
    if asked.is_json():
        told = [{field: getattr(one, field) for field in one.fields} for one in found]
        output.put(output.line_of({"schema": SCHEMA, "namespaces": told}))
        return
    width = max(len(one.name) for one in found)
    for one in found:
        mark, use = "*" if one.is_current else " ", "in use" if one.is_in_use else ""
        size = f"{-(-one.nbytes // _KIB)} KiB"
        output.put(f"{mark} {one.name:{width}}  {size:>12}  {use}".rstrip())


def switch(asked: Wishes, name: str, *, create: bool) -> None:
    """Choose a namespace."""
    say(asked, f"programs use {_namespaces().switch(project(), name, create=create)} now")


def fork(asked: Wishes, name: str, source: str | None) -> None:
    """Copy a namespace."""
    root = _project_of_files()
    made = _namespaces().fork(root, source or namespace(root), name)
    say(asked, f"copied to {made}; `apothic state switch {name}` uses it")


def save(asked: Wishes, file: str, source: str | None) -> None:
    """Copy a namespace into a file."""
    root = _project_of_files()
    say(asked, f"saved in {_namespaces().save(root, source or namespace(root), Path(file))}")


def load(asked: Wishes, file: str, into: str | None, *, yes: bool) -> None:
    """Put a saved file in the place of a namespace."""
    root = _project_of_files()
    name = into or namespace(root)
    if _namespaces().holds_something(root, name):
        _confirm(f"Replace all that is kept in {name!r}?", yes=yes)
    say(asked, f"{_namespaces().load(root, Path(file), name)} holds what {file} does")


def reset(asked: Wishes, name: str | None, *, yes: bool) -> None:
    """Forget everything in a namespace."""
    root = _project_of_files()
    which = name or namespace(root)
    _confirm(f"Forget all that is kept in {which!r}?", yes=yes)
    _namespaces().reset(root, which)
    say(asked, f"{which} is empty")


def path(_asked: Wishes, name: str | None) -> None:
    """Print where a namespace lies."""
    root = project()
    output.put(str(state_folder(root, name or namespace(root))))


def _project_of_files() -> Path:
    """The project, if its state lies in files of namespaces.

    Raises:
        UsageError: it lies elsewhere.
    """
    root = project()
    url = state_url(root)
    if url not in ("memory", "sqlite"):
        kind = url.partition(":")[0]
        raise UsageError(
            f"this project keeps its state in {kind}, at a place of its own: copy it with that "
            "database's own tools, or set APOTHIC_STATE=sqlite for what lies in .apothic/state"
        )
    return root


def _confirm(question: str, *, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(f"{question} Nobody can be asked here: say --yes")
    click.confirm(question, abort=True, err=True)
