"""`apothic offer`: machines that could be rented now."""

from __future__ import annotations

import click

from apothic.cli.command import does
from apothic.cli.wishes import everywhere, with_options


@click.group(short_help="Look for machines that could be rented.")
@with_options(everywhere)
@click.pass_context
def offer(context: click.Context, **given: object) -> None:
    """Look for machines that could be rented now; nothing is.

    \b
    apothic offer search --gpu RTX_4090 --gpu H100 --min-vram-gb 24
    apothic offer search --gpu A100 --gpu-count 2 --max-cost-per-hour-usd 3
    """  # noqa: D301 - click reads \b as "do not wrap this paragraph"
    context.obj = context.obj.over(given)


@offer.command(short_help="Show offers, the cheapest first.")
@click.option("--gpu", metavar="NAME", multiple=True, help="Of this model; or another one.")
@click.option("--gpu-count", type=click.IntRange(min=1), help="GPUs of a machine.")
@click.option("--min-vram-gb", type=click.IntRange(min=1), help="Memory of each GPU.")
@click.option("--max-cost-per-hour-usd", type=click.FloatRange(min=0, min_open=True))
@click.option("--disk-gb", type=click.FloatRange(min=1), default=16, show_default=True)
@click.option("--provider", metavar="NAME", help="There only.")
@click.option("--most", type=click.IntRange(1, 1000), default=20, show_default=True)
@does("cloud.offers.search")
def search() -> None:
    """Ask those providers whose keys are in the environment, and show what they would rent.

    VAST_API_KEY opens Vast, FLY_API_TOKEN with FLY_ORG opens Fly.
    """
