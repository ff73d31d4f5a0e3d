"""`apothic auth`: control planes that this user knows, and the keys for them."""

from __future__ import annotations

from typing import Any

import click

from apothic.cli.command import does
from apothic.cli.wishes import everywhere, with_options


@click.group(short_help="Keep keys for control planes, and choose one.")
@with_options(everywhere)
@click.pass_context
def auth(context: click.Context, **given: Any) -> None:
    """Keep API keys for control planes, each for its own server alone.

    \b
    apothic auth login https://apothic.example.com      asks for the key
    apothic auth login https://apothic.example.com - < file
    apothic auth list
    apothic auth use apothic.example.com
    APOTHIC_BACKEND=remote python report.py             runs on the one in use

    They lie in a file of yours below APOTHIC_HOME that nobody else may read. A key in
    APOTHIC_API_KEY belongs to the server that APOTHIC_BACKEND names, and goes before.
    """  # noqa: D301 - click reads \b as "do not wrap this paragraph"
    context.obj = context.obj.over(given)


@auth.command(short_help="Keep the key for a control plane.")
@click.argument("url")
@click.argument("source", required=False, metavar="[-]")
@click.option("--name", help="Call it so; else it is called as its host.")
@does("profiles.login")
def login() -> None:
    """Keep the API key for the control plane at URL, asking for it without showing it.

    "-" reads it from stdin. The server is asked whether the key holds before it is kept.
    """


@auth.command("list", short_help="Show what there is.")
@does("profiles.show")
def list_() -> None:
    """Show names and addresses, and which one is in use; never a key."""


@auth.command(short_help="Choose the one that `remote` means.")
@click.argument("name")
@does("profiles.choose")
def use() -> None:
    """Have commands that look after a control plane mean NAME, and so APOTHIC_BACKEND=remote."""


@auth.command(short_help="Forget a key.")
@click.argument("name")
@does("profiles.logout")
def logout() -> None:
    """Forget the control plane NAME and its key. The key itself holds until it is revoked."""
