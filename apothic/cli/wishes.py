"""How a command is to show what it does: options of ours, wherever they stand on the line.

Behind the target of `apothic run` an option belongs to the function if that has a parameter of this
name; before the target it is ours in any case.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from apothic.cli.look import COLORS, Look, is_json_default, look_of
from apothic_backends.model.record import Record

F = TypeVar("F", bound=Callable[..., Any])


class Wishes(Record):
    """What was asked for; None where nothing was said."""

    json: bool | None = None
    plain: bool | None = None
    quiet: bool | None = None
    verbose: bool | None = None
    color: str | None = None
    watch: bool | None = None
    snapshot: bool | None = None
    app_name: str | None = None

    def over(self, given: Mapping[str, Any]) -> Wishes:
        """These, and what was given later on the line."""
        said = {name: given.get(name) for name in self.fields}
        return self.replace(**{name: value for name, value in said.items() if value is not None})

    def is_json(self) -> bool:
        """Whether output is JSON.

        Raises:
            UsageError: `APOTHIC_OUTPUT` is neither "json" nor "text".
        """
        return is_json_default(os.environ) if self.json is None else self.json

    def look(self) -> Look:
        """How stderr is to look."""
        found = look_of(
            os.environ,
            is_terminal=sys.stderr.isatty(),
            color=self.color or "auto",
            is_plain=bool(self.plain),
        )
        return found.replace(is_quiet=bool(self.quiet), is_verbose=bool(self.verbose))


def everywhere() -> list[click.Parameter]:
    """The same for the program itself, whose help has no room for them."""
    options = showing()
    for option in options:
        if isinstance(option, click.Option):
            option.hidden = True
    return options


def _flag(names: list[str], help_text: str, **more: Any) -> click.Option:
    return click.Option(names, is_flag=True, default=None, help=help_text, **more)


def showing() -> list[click.Parameter]:
    """Options of every command."""
    return [
        _flag(["--json"], "One JSON document; streams: one event a line."),
        _flag(["-q", "--quiet"], "Results and errors only."),
        _flag(["-v", "--verbose"], "Also when jobs are queued, begin and end."),
        _flag(["--plain"], "Lines only: no colour, nothing that moves."),
        click.Option(["--color"], type=click.Choice(COLORS), help="Colours.  [default: auto]"),
    ]


def watching() -> list[click.Parameter]:
    """Options of commands that run something."""
    return [
        _flag(["--watch"], "Show what happens to the job, as it happens."),
        _flag(["--snapshot"], "With --watch: begin with the state of the job."),
        click.Option(["--app-name"], metavar="APP", help="Run a deployed function by its name."),
    ]


def beside(own: list[click.Parameter], ours: list[click.Parameter]) -> list[click.Parameter]:
    """Those of our options that no parameter of the function hides."""
    spelled = {opt for parameter in own for opt in (*parameter.opts, *parameter.secondary_opts)}
    return [option for option in ours if not spelled.intersection(option.opts)]


def with_options(*groups: Callable[[], list[click.Parameter]]) -> Callable[[F], F]:
    """Give a command options; they come to it as one `given`."""

    def decorate(function: F) -> F:
        parameters: list[click.Parameter] = getattr(function, "__click_params__", [])
        ours = [option for group in groups for option in group()]
        function.__click_params__ = [*parameters, *reversed(ours)]  # type: ignore[attr-defined]
        return function

    return decorate
