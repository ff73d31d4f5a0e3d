"""`apothic cloud`: machines that cost money, and giving them back."""

from __future__ import annotations

import click

from apothic.cli.command import does
from apothic.cli.wishes import everywhere, with_options


@click.group(short_help="Look after machines that are rented.")
@with_options(everywhere)
@click.pass_context
def cloud(context: click.Context, **given: object) -> None:
    """Look after machines that cost money.

    \b
    apothic cloud status                    what is rented, and what that costs
    apothic cloud sweep                     find and destroy whatever is left at the providers

    VAST_API_KEY opens Vast: in the environment, never on a command line.
    """  # noqa: D301 - click reads \b as "do not wrap this paragraph"
    context.obj = context.obj.over(given)


@cloud.command(short_help="What is rented now, and what it costs.")
@does("clouds.status")
def status() -> None:
    """Show the machines of a control plane, why others are not rented, and what all of it costs."""


@cloud.command(short_help="Destroy whatever is left at the providers.")
@click.option("--provider", metavar="NAME", help="There only.")
@click.option("--prefix", default="apothic/", show_default=True, help="Of the tags of machines.")
@click.option("--dry-run", is_flag=True, help="Show what there is, and leave it there.")
@click.option("--yes", is_flag=True, help="Destroy without asking.")
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=0),
    default=300.0,
    show_default=True,
    help="Seconds to wait for it to be gone.",
)
@does("sweeping.sweep")
def sweep() -> None:
    """Find every machine whose tag begins with `apothic/`, and destroy it once you have said so.

    It asks the providers themselves and no control plane, so it works from anywhere, with nothing
    but their keys: also when the control plane is gone. Machines are gone when a listing shows them
    no more; what is left then is named, and the exit code is 6.
    """
