"""How a target is to be run: options of `apothic run` itself, before the target or behind it.

Behind the target an option belongs to the function if it has a parameter of that name.
"""

from __future__ import annotations

import os
from typing import Any

import click

from apothic._connect import connected
from apothic_backends.model.errors import UsageError
from apothic_backends.model.record import Record

INLINE = "APOTHIC_BACKEND"
PDB = "APOTHIC_PDB"
ON_MISSING_GPU = "APOTHIC_ON_MISSING_GPU"


class Ways(Record):
    """What `apothic run` was told beside the target and its arguments."""

    inline: bool = False
    pdb: bool = False
    payload: str | None = None
    on_missing_gpu: str | None = None


def options() -> list[click.Option]:
    """The options, for a command to have."""
    return [
        click.Option(["--inline"], is_flag=True, help="run calls in this process, without workers"),
        click.Option(["--pdb"], is_flag=True, help="--inline, with a debugger where a call raises"),
        click.Option(["--payload"], metavar="JSON|@FILE|-", help="all arguments at once"),
        click.Option(
            ["--on-missing-gpu"],
            type=click.Choice(["error", "cpu", "fake"]),
            help="what to do where no machine has the GPUs",
        ),
    ]


def options_beside(parameters: list[click.Parameter]) -> list[click.Parameter]:
    """Those of the options that no parameter of the function hides."""
    taken = {parameter.name for parameter in parameters}
    spelled = {opt for parameter in parameters for opt in parameter.opts}
    return [
        option
        for option in options()
        if option.name not in taken and not spelled.intersection(option.opts)
    ]


def take(before: Ways, given: dict[str, Any], beside: list[click.Parameter]) -> Ways:
    """Take the options of ours out of what was given behind the target."""
    behind = {str(option.name): given.pop(str(option.name)) for option in beside}
    return before.replace(**{name: value for name, value in behind.items() if value})


def prepare(ways: Ways) -> None:
    """See to it that calls are run that way.

    Raises:
        UsageError: a backend of another kind is open already.
    """
    if ways.on_missing_gpu:
        os.environ[ON_MISSING_GPU] = ways.on_missing_gpu
    if not (ways.inline or ways.pdb):
        return
    if connected() is not None and not is_inline():
        raise UsageError("the file makes calls when it is loaded; put --inline before the target")
    os.environ[INLINE] = "inline"
    if ways.pdb:
        os.environ[PDB] = "1"


def is_inline() -> bool:
    """Whether calls run in this process, so that what they print is seen already."""
    return os.environ.get(INLINE) == "inline"
