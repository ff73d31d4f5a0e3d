"""`apothic state`: what the programs of this project keep, side by side in namespaces."""

from __future__ import annotations

import sys
from typing import Any

import click

from apothic.cli.wishes import Wishes, everywhere, with_options


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
@with_options(everywhere)
@click.pass_obj
def list_(asked: Wishes, **given: Any) -> None:
    """Show each namespace: which one is chosen, its size, and whether a program uses it."""
    from apothic.cli import states  # noqa: PLC0415 - so that --help starts fast

    sys.exit(states.show(asked.over(given)))


@state.command(short_help="Choose the namespace of later programs.")
@click.option("-c", "--create", is_flag=True, help="Make it; it must not be there.")
@click.argument("name")
@with_options(everywhere)
@click.pass_obj
def switch(asked: Wishes, name: str, *, create: bool, **given: Any) -> None:
    """Have later programs of this project use NAME; "-" is the one before."""
    from apothic.cli import states  # noqa: PLC0415 - as above

    sys.exit(states.switch(asked.over(given), name, create=create))


@state.command(short_help="Copy a namespace.")
@click.argument("name")
@click.option("--from", "source", metavar="NAME", help="Copy this one instead of the chosen one.")
@with_options(everywhere)
@click.pass_obj
def fork(asked: Wishes, name: str, source: str | None, **given: Any) -> None:
    """Copy the chosen namespace to NAME, which must not be there; also while a program uses it."""
    from apothic.cli import states  # noqa: PLC0415 - as above

    sys.exit(states.fork(asked.over(given), name, source))


@state.command(short_help="Copy a namespace into a file.")
@click.argument("file", type=click.Path(dir_okay=False))
@click.option("--from", "source", metavar="NAME", help="Save this one instead of the chosen one.")
@with_options(everywhere)
@click.pass_obj
def save(asked: Wishes, file: str, source: str | None, **given: Any) -> None:
    """Copy the chosen namespace into FILE; also while a program uses it."""
    from apothic.cli import states  # noqa: PLC0415 - as above

    sys.exit(states.save(asked.over(given), file, source))


@state.command(short_help="Put a saved file in the place of a namespace.")
@click.argument("file", type=click.Path(dir_okay=False))
@click.option("--into", metavar="NAME", help="Not the chosen one, but this.")
@click.option("--yes", is_flag=True, help="Replace what is there without asking.")
@with_options(everywhere)
@click.pass_obj
def load(asked: Wishes, file: str, into: str | None, *, yes: bool, **given: Any) -> None:
    """Put what FILE holds in the place of the chosen namespace, which no program may use."""
    from apothic.cli import states  # noqa: PLC0415 - as above

    sys.exit(states.load(asked.over(given), file, into, yes=yes))


@state.command(short_help="Forget everything in a namespace.")
@click.argument("name", required=False)
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_options(everywhere)
@click.pass_obj
def reset(asked: Wishes, name: str | None, *, yes: bool, **given: Any) -> None:
    """Forget everything in the chosen namespace or in NAME, which no program may use."""
    from apothic.cli import states  # noqa: PLC0415 - as above

    sys.exit(states.reset(asked.over(given), name, yes=yes))


@state.command(short_help="Print where a namespace lies.")
@click.argument("name", required=False)
@with_options(everywhere)
@click.pass_obj
def path(asked: Wishes, name: str | None, **given: Any) -> None:
    """Print the folder of the chosen namespace or of NAME; it need not be there."""
    from apothic.cli import states  # noqa: PLC0415 - as above

    sys.exit(states.path(asked.over(given), name))
