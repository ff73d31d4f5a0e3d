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
