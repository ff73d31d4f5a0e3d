"""`apothic sandbox` and `apothic shell`: sandboxes of a running control plane."""

from __future__ import annotations

from typing import Any

import click

from apothic.cli.command import does
from apothic.cli.wishes import everywhere, with_options

RAW = {"ignore_unknown_options": True, "allow_interspersed_args": False}
"""Options behind the name are those of the program in the sandbox."""


@click.group(short_help="Look at sandboxes, run programs in them, copy, stop.")
@with_options(everywhere)
@click.pass_context
def sandbox(context: click.Context, **given: Any) -> None:
    """Look after sandboxes of a running control plane: see `apothic deploy --help` for which.

    \b
    apothic sandbox list --tag run=1
    apothic sandbox exec coder -- pytest -q
    apothic sandbox cp ./src coder:/workspace/src
    apothic sandbox cp coder:report.txt .
    apothic sandbox stop coder

    NAME is the name of a sandbox, or its id.
    """  # noqa: D301 - click reads \b as "do not wrap this paragraph"
    context.obj = context.obj.over(given)


@sandbox.command("list", short_help="Show the sandboxes.")
@click.option("--tag", "tags", metavar="KEY=VALUE", multiple=True, help="Those with this tag only.")
@does("sandboxes.show")
def list_() -> None:
    """Show each sandbox that lives: its id, its name, what it is of, and its tags."""


@sandbox.command("exec", context_settings=RAW, short_help="Run a program in one.")
@click.option("--workdir", metavar="FOLDER", help="Where it begins.")
@click.option("--timeout", "timeout_s", type=click.FloatRange(min=0), help="Seconds it may take.")
@click.argument("name")
@click.argument("argv", nargs=-1, required=True, type=click.UNPROCESSED)
@does("sandboxes.execute")
def exec_() -> None:
    """Run a program in the sandbox NAME, with the input and the outputs of this one.

    The exit code is that of the program, 124 if its time was over.
    """


@sandbox.command(short_help="Copy into one, or out of it.")
@click.argument("source")
@click.argument("goal")
@does("sandboxes.copy")
def cp() -> None:
    """Copy a file or a folder SOURCE to GOAL, of which one is NAME:/path."""


@sandbox.command(short_help="End some, and all that is in them.")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@does("sandboxes.stop")
def stop() -> None:
    """End sandboxes, the programs that run in them, and their files."""


@click.command(context_settings=RAW, short_help="A shell in a sandbox.")
@click.argument("name")
@click.argument("argv", nargs=-1, type=click.UNPROCESSED)
@does("sandboxes.shell")
def shell() -> None:
    """Have this terminal be that of a shell in the sandbox NAME, or of the program ARGV."""
