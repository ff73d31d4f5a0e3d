"""`apothic plan`: where functions would run, and what that costs, before anything runs."""

from __future__ import annotations

import click

from apothic.cli.command import does


@click.command(short_help="Show where functions would run, and for how much.")
@click.argument("target")
@click.option(
    "--for",
    "market",
    type=click.Choice(["catalogue", "cloud"]),
    default="catalogue",
    help="cloud: what the providers offer now whose keys are in the environment.",
)
@does("plans.show")
def plan() -> None:
    """Show where what TARGET declares would run, here and rented: path.py, or path.py::function.

    \b
    apothic plan app.py
    apothic plan app.py::train --json
    apothic plan app.py --for cloud         asks providers, see `apothic offer --help`

    Of each it tells the machine that would be rented for one worker process: of those that meet all
    that it asks for the first in the order of its `gpu` list, then the cheapest; what that costs an
    hour, and what a process without requests costs until keep_warm_s has passed. Below are the
    limits that rule others out, and those that do not count on this machine. The machines are those
    of a list that comes with apothic, and their prices estimates; or with `--for cloud` those that
    could be rented now. Nothing is rented, and no function is run.
    """  # noqa: D301 - click reads \b as "do not wrap this paragraph"
