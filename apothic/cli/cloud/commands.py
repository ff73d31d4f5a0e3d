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
    apothic cloud up --registry ghcr.io/me/apothic --max-usd-per-hour 2
    APOTHIC_BACKEND=cloud apothic deploy app.py
    apothic cloud status                    what is rented, and what that costs
    apothic cloud down                      everything goes
    apothic cloud sweep                     find and destroy whatever is left at the providers

    VAST_API_KEY opens Vast, FLY_API_TOKEN with FLY_ORG opens Fly: in the environment, never on a
    command line.
    """  # noqa: D301 - click reads \b as "do not wrap this paragraph"
    context.obj = context.obj.over(given)


@cloud.command(short_help="Have a control plane on Fly.")
@click.option(
    "--image",
    envvar="APOTHIC_AGENT_IMAGE",
    metavar="REF",
    help="Of a registry, or FILE.tar by `docker save`; built by Docker without.",
)
@click.option(
    "--base", metavar="REF", help="What it is built on; python:X.Y-slim of this Python without."
)
@click.option(
    "--registry",
    envvar="APOTHIC_REGISTRY",
    metavar="HOST/NAME",
    help="Where it goes when it is built, such as ghcr.io/me/apothic; Fly's without.",
)
@click.option(
    "--max-usd-per-hour",
    type=click.FloatRange(min=0, min_open=True),
    required=True,
    help="What all machines that it rents may cost an hour.",
)
@click.option("--app", metavar="NAME", help="Of the app on Fly; begins with apothic-.")
@click.option("--region", metavar="CODE", help="Where on Fly, if it is new.  [default: iad]")
@click.option("--provider", "providers", metavar="NAME", multiple=True, help="Rent there.")
@click.option("--memory-mb", type=click.IntRange(512, 2048), default=1024, show_default=True)
@click.option("--volume-gb", type=click.IntRange(1, 500), default=10, show_default=True)
@click.option(
    "--volume-bucket",
    default="",
    metavar="BUCKET[/PREFIX]",
    help="Keep what volumes hold in a bucket of S3 or the like, by the keys of AWS_... variables.",
)
@click.option(
    "--services",
    type=click.IntRange(1, 100),
    default=20,
    show_default=True,
    help="How many services may be deployed there: each has a port.",
)
@click.option(
    "--own-ipv4",
    is_flag=True,
    help="An IPv4 address that nobody else has, for 2 USD a month; given back without.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.argument("more", nargs=-1, type=click.UNPROCESSED, metavar="[-- OPTION...]")
@does("cloud.up.up")
def up() -> None:
    """Have `apothic serve` run on Fly, with its state on a volume, and rent machines for calls.

    It prints its address, and the first time its operator's key, and keeps both as `cloud`. It
    needs FLY_API_TOKEN and FLY_ORG; with VAST_API_KEY it rents there, too. The image is
    what rented machines run, too: without --image, Docker builds it here, with this apothic in it.
    Run again, it changes what is to be different, and only then starts the control plane anew.
    OPTIONs are those of `apothic serve`. APOTHIC_CLOUD_STATE has the address of a database that is
    to keep the state, in place of the volume. --volume-bucket needs AWS_ACCESS_KEY_ID and
    AWS_SECRET_ACCESS_KEY; AWS_ENDPOINT_URL_S3 and AWS_REGION say where it is, if not at AWS.
    """


@cloud.command(short_help="Give everything back.")
@click.option("--app", metavar="NAME", help="Of the app on Fly, if it is not the one of `up`.")
@click.option("--force", is_flag=True, help="Also if the control plane does not answer.")
@click.option("--keep-volumes", is_flag=True, help="Volumes at Vast stay, and cost on.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=0),
    default=600.0,
    show_default=True,
    help="Seconds that machines have to be gone.",
)
@does("cloud.down.down")
def down() -> None:
    """Have all machines destroyed, then the control plane with all that it keeps, and look.

    What is left is named, and the exit code is 6. A bucket of volumes stays. Volumes at Vast go,
    with all that is in them, unless --keep-volumes is said.
    """


@cloud.command(short_help="What is rented now, and what it costs.")
@does("cloud.status.status")
def status() -> None:
    """Show the machines of a control plane, why others are not rented, and what all of it costs."""


@cloud.command(short_help="Destroy whatever is left at the providers.")
@click.option("--provider", metavar="NAME", help="There only.")
@click.option("--prefix", default="apothic/", show_default=True, help="Of the tags of machines.")
@click.option("--dry-run", is_flag=True, help="Show what there is, and leave it there.")
@click.option("--keep-volumes", is_flag=True, help="Volumes at Vast stay, and cost on.")
@click.option("--yes", is_flag=True, help="Destroy without asking.")
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=0),
    default=300.0,
    show_default=True,
    help="Seconds to wait for it to be gone.",
)
@does("cloud.sweep.sweep")
def sweep() -> None:
    """Find every machine and volume of ours, and destroy them once you have said so.

    Tags of machines begin with `apothic/`, labels of volumes with `apothic_`. What is in volumes is
    lost, unless --keep-volumes is said.

    It asks the providers themselves and no control plane, so it works from anywhere, with nothing
    but their keys: also when the control plane is gone. Machines are gone when listings show them
    no more; what is left then is named, and the exit code is 6. Control planes on Fly are named,
    and left alone.
    """
