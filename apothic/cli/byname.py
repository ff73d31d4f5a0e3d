"""`apothic run NAME --app-name APP`: call a function that is deployed, by its name."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import click

from apothic.cli import payload, ways, wishes
from apothic.cli.calls import Calls
from apothic.cli.plane import control_plane
from apothic.functions import RemoteFunction
from apothic_backends.model.errors import UsageError


def is_name(target: str) -> bool:
    """Whether a target can be meant as the name of a function, and not as a file."""
    return target.isidentifier() and not Path(target).exists()


def run_by_name(name: str, arguments: list[str], how: ways.Ways, calls: Calls) -> int:
    """Read the options and call it; gives the exit code.

    Raises:
        click.UsageError: the command line cannot be meant.
        NoControlPlane: none runs that could have it.
    """
    asked = calls.talk.wishes
    own, shown = ways.options(), [*wishes.watching(), *wishes.showing()]

    def callback(**given: Any) -> int:
        said = {option.name: given.pop(str(option.name)) for option in shown}
        calls.talk.wishes = asked.over(said)
        return _call(name, ways.take(how, given, [*own]), calls)

    command = click.Command(name, params=[*own, *shown], callback=callback)
    return command.main(arguments, f"apothic run {name}", standalone_mode=False)


def _call(name: str, how: ways.Ways, calls: Calls) -> int:
    app_name = calls.talk.wishes.app_name
    if not app_name:
        raise UsageError(
            f"there is no file {name!r}; give path.py or path.py::{name}, or --app-name for a "
            "function that is deployed"
        )
    if how.inline or how.pdb:
        raise UsageError("--inline and --pdb run code that is here; give path.py::name")
    args, kwargs = payload.parse(how.payload or "{}")
    control_plane(f"{app_name}/{name}")
    calls.talk.prepare(how)
    return calls.of_job(partial(RemoteFunction.from_name(app_name, name).spawn, *args, **kwargs))
