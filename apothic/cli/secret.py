"""`apothic secret`: the secrets of this user, which are never seen on a command line."""

from __future__ import annotations

from typing import Any

import click

from apothic.cli.command import does
from apothic.cli.wishes import everywhere, with_options


@click.group(short_help="Set, list and delete secrets.")
@with_options(everywhere)
@click.pass_context
def secret(context: click.Context, **given: Any) -> None:
    """Keep values that functions get as environment variables, and that nobody else sees.

    \b
    apothic secret set HF_TOKEN                    asks for the value
    apothic secret set HF_TOKEN - < token.txt
    apothic secret set db USER PASSWORD --from-env
    apothic secret import .env
    apothic secret list
    apothic secret delete HF_TOKEN

    They lie sealed in a file of yours below APOTHIC_HOME.
    """  # noqa: D301 - click reads \b as "do not wrap this paragraph"
    context.obj = context.obj.over(given)


@secret.command("set", short_help="Set a secret, or some of its keys.")
@click.argument("name")
@click.argument("keys", nargs=-1, metavar="[KEY]... [-]")
@click.option("--from-env", is_flag=True, help="Take the values from this environment.")
@does("secrets.put")
def set_() -> None:
    """Set the KEYs of the secret NAME, asking for each value without showing it.

    A KEY is the environment variable that a function will find the value in; without one, it is
    called NAME. "-" reads the value of one KEY from stdin, without the line break at its end. Keys
    that are not named stay as they are.
    """


@secret.command("list", short_help="Show names and keys.")
@does("secrets.show")
def list_() -> None:
    """Show the name of each secret, and its keys; never a value."""


@secret.command(short_help="Forget a secret, or some of its keys.")
@click.argument("name")
@click.argument("keys", nargs=-1, metavar="[KEY]...")
@does("secrets.delete")
def delete() -> None:
    """Forget the secret NAME, or only these KEYs of it."""


@secret.command("import", short_help="Take the variables of a .env file.")
@click.argument("path", type=click.Path(exists=True, dir_okay=False), default=".env")
@click.option("--name", help="Make them one secret of this name.")
@does("secrets.take")
def import_() -> None:
    """Take the variables of PATH (.env): each is a secret of its own name, or all are one."""


@secret.command(short_help="Print the values of a secret, with --reveal.")
@click.argument("name")
@click.option("--reveal", is_flag=True, required=True, help="Say that the values may be seen.")
@click.option("--yes", is_flag=True, help="Also where no person reads along.")
@does("secrets.get")
def get() -> None:
    """Print KEY=VALUE for each key of NAME: on a terminal, elsewhere only with --yes."""
