"""`apothic state`: what the programs of this project keep, side by side in namespaces."""

from __future__ import annotations

from typing import Any

import click

from apothic.cli.command import does
from apothic.cli.wishes import everywhere, with_options


@click.group(short_help="List, switch, copy and reset kept state.")
@with_options(everywhere)
@click.pass_context
def state(context: click.Context, **given: Any) -> None:
    """Handle what programs of this project keep with APOTHIC_STATE=sqlite.

    \b
    apothic state list
    apothic state switch -c trial      a new namespace, for programs from now on
    apothic state switch -             back to the one before
    apothic state fork before-upgrade  a copy, also while a program runs
    apothic state save today.apothic
    apothic state reset

    They lie in .apothic/state; APOTHIC_NAMESPACE chooses one for a single program.
    """  # noqa: D301 - click reads \b as "do not wrap this paragraph"
    context.obj = context.obj.over(given)


@state.command("list", short_help="Show the namespaces.")
@does("states.show")
def list_() -> None:
    """Show each namespace: which one is chosen, its size, and whether a program uses it."""


@state.command(short_help="Choose the namespace of later programs.")
@click.option("-c", "--create", is_flag=True, help="Make it; it must not be there.")
@click.argument("name")
@does("states.switch")
def switch() -> None:
    """Have later programs of this project use NAME; "-" is the one before."""


@state.command(short_help="Copy a namespace.")
@click.argument("name")
@click.option("--from", "source", metavar="NAME", help="Copy this one instead of the chosen one.")
@does("states.fork")
def fork() -> None:
    """Copy the chosen namespace to NAME, which must not be there; also while a program uses it."""


@state.command(short_help="Copy a namespace into a file.")
@click.argument("file", type=click.Path(dir_okay=False))
@click.option("--from", "source", metavar="NAME", help="Save this one instead of the chosen one.")
@does("states.save")
def save() -> None:
    """Copy the chosen namespace into FILE; also while a program uses it."""


@state.command(short_help="Put a saved file in the place of a namespace.")
@click.argument("file", type=click.Path(dir_okay=False))
@click.option("--into", metavar="NAME", help="Not the chosen one, but this.")
@click.option("--yes", is_flag=True, help="Replace what is there without asking.")
@does("states.load")
def load() -> None:
    """Put what FILE holds in the place of the chosen namespace, which no program may use."""


@state.command(short_help="Forget everything in a namespace.")
@click.argument("name", required=False)
@click.option("--yes", is_flag=True, help="Do not ask.")
@does("states.reset")
def reset() -> None:
    """Forget everything in the chosen namespace or in NAME, which no program may use."""


@state.command(short_help="Print where a namespace lies.")
@click.argument("name", required=False)
@does("states.path")
def path() -> None:
    """Print the folder of the chosen namespace or of NAME; it need not be there."""
