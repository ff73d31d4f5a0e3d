"""`apothic cost`: what calls and services have taken, and what that costs."""

from __future__ import annotations

import click

from apothic.cli.command import does


@click.command(short_help="Show what calls and services have cost.")
@click.option("--app", metavar="APP", help="Of this app only.")
@click.option("--function", metavar="NAME", help="Of functions of this name only.")
@click.option("--since", metavar="DAY", help="From this day (UTC) on: 2026-11-01, or 7d.")
@does("costs.show")
def cost() -> None:
    """Show for how long calls have held workers, and services were up, and what that costs.

    \b
    apothic cost --since 7d
    apothic cost --app demo --json          day by day

    The control plane is that of APOTHIC_BACKEND, and its balance is told where there is one; else
    it is what this project keeps (APOTHIC_STATE). What runs here is free; what it would cost is
    told by the prices in [tool.apothic.prices] of pyproject.toml.
    """  # noqa: D301 - click reads \b as "do not wrap this paragraph"
