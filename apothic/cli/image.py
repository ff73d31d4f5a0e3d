"""`apothic image`: what images of functions are made of, and what was built of them here."""

from __future__ import annotations

from typing import Any

import click

from apothic.cli.command import does
from apothic.cli.wishes import everywhere, with_options


@click.group(short_help="Look into the images of functions.")
@with_options(everywhere)
@click.pass_context
def image(context: click.Context, **given: Any) -> None:
    """Look into the images of functions, and look after what was built of them on this machine.

    \b
    apothic image explain app.py::train > Dockerfile
    apothic image build app.py
    apothic image publish app.py
    apothic image list
    apothic image prune --unused-for 7
    """  # noqa: D301 - click reads \b as "do not wrap this paragraph"
    context.obj = context.obj.over(given)


@image.command(short_help="Show what an image is made of, and what would be built.")
@click.argument("target")
@does("images.explain")
def explain() -> None:
    """Show the Dockerfile of the image of TARGET: path.py::function, or path.py if all have one.

    Each layer has its key above it: it can be reused where the same key was built, and what is not
    reused has the reason beside it, by what was built last on this machine. It also says how the
    image is run: as a virtual environment, or by Docker, and why. Nothing is built.
    """


@image.command(short_help="Build images before they are needed.")
@click.argument("target")
@does("building.build")
def build() -> None:
    """Build the images of TARGET, path.py or path.py::function, here; print their digests.

    What is there already is not built again. Calls would build them, too; machines that have joined
    a server build theirs themselves.
    """


@image.command(short_help="Have rented machines made of images.")
@click.argument("target")
@click.option(
    "--registry",
    envvar="APOTHIC_REGISTRY",
    metavar="HOST/NAME",
    help="Where machines load them from, such as ghcr.io/me/apothic.",
)
@click.option("--again", is_flag=True, help="Also those that are there already.")
@does("publishing.publish")
def publish() -> None:
    """Have machines that are rented run what needs Docker: build, push, tell the control plane.

    A rented machine has no Docker. Of each image of TARGET that needs one, another is made here, by
    Docker, with an agent in it; it goes into a registry, and from then on machines are made of it
    for the functions of that image. They wait for that until it is done. It prints what machines
    are made of. Images that are published already, with this very agent, are left as they are.

    For a control plane that `apothic cloud up` has made the registry is Fly's, which FLY_API_TOKEN
    opens and only machines on Fly can load from. Others are opened by what `docker login` has
    stored, or APOTHIC_REGISTRY_USER and APOTHIC_REGISTRY_PASSWORD.
    """


@image.command("list", short_help="Show what was built here.")
@does("building.show")
def list_() -> None:
    """Show the images that were built on this machine, the latest first, and their last use."""


@image.command(short_help="Remove what was built here and is not used.")
@click.option(
    "--unused-for",
    "days",
    type=click.FloatRange(min=0),
    default=30.0,
    show_default=True,
    metavar="DAYS",
    help="Those that were not used for so long; 0 for all.",
)
@does("building.prune")
def prune() -> None:
    """Remove images that were built on this machine and were not used for long; print which.

    One that something runs in stays.
    """
