"""`apothic volume`: the volumes of this user, and what is in them."""

from __future__ import annotations

from typing import Any

import click

from apothic.cli.command import does
from apothic.cli.wishes import everywhere, with_options


@click.group(short_help="Make, look into, fill and delete volumes.")
@with_options(everywhere)
@click.pass_context
def volume(context: click.Context, **given: Any) -> None:
    """Look after named files that functions mount and that outlive them.

    \b
    apothic volume create models
    apothic volume cp weights.bin models:/v1/       a file into it
    apothic volume cp -r models:/v1 ./v1            a folder out of it
    apothic volume ls models:/v1
    apothic volume rm models:/v1/weights.bin
    apothic volume rm models                        all of it
    apothic volume export models > models.tar
    apothic volume du

    What is inside of a volume is NAME:/path.
    """  # noqa: D301 - click reads \b as "do not wrap this paragraph"
    context.obj = context.obj.over(given)


@volume.command(short_help="Make an empty volume.")
@click.argument("name")
@click.option("--backend", type=click.Choice(["portable", "vast_local"]), default="portable")
@does("volumes.create")
def create() -> None:
    """Make the volume NAME, unless there is one."""


@volume.command("list", short_help="Show the volumes.")
@does("volumes.show")
def list_() -> None:
    """Show each volume, its version, and how many files it has."""


@volume.command(short_help="Show what is in a folder.")
@click.argument("place", metavar="NAME[:/PATH]")
@click.option("-r", "--recursive", is_flag=True, help="And all that is below it.")
@does("volumes.ls")
def ls() -> None:
    """Show what is in a folder of a volume."""


@volume.command(short_help="Copy into a volume, out of it, or within it.")
@click.argument("source")
@click.argument("goal")
@click.option("-r", "--recursive", is_flag=True, help="Folders, too.")
@click.option("-f", "--force", is_flag=True, help="Replace files that are there.")
@does("volumes.cp")
def cp() -> None:
    """Copy SOURCE to GOAL, of which at least one is NAME:/PATH; - is stdin or stdout."""


@volume.command(short_help="Remove files, or a whole volume.")
@click.argument("place", metavar="NAME[:/PATH]")
@click.option("-r", "--recursive", is_flag=True, help="Folders, too.")
@does("volumes.rm")
def rm() -> None:
    """Remove a file of a volume, or with NAME alone and --recursive the volume."""


@volume.command("export", short_help="Write a volume as a tar.")
@click.argument("name")
@click.argument("path", type=click.Path(allow_dash=True), default="-")
@does("volumes.export")
def export() -> None:
    """Write the newest version of NAME to PATH, or to stdout."""


@volume.command("import", short_help="Put what a tar has into a volume.")
@click.argument("name")
@click.argument("path", type=click.Path(exists=True, dir_okay=False, allow_dash=True), default="-")
@click.option("-f", "--force", is_flag=True, help="Replace files that are there.")
@does("volumes.take")
def import_() -> None:
    """Put what the tar at PATH, or on stdin, has into NAME, which is made if there is none.

    Files, folders and links inside come in; a tar with anything else is refused as a whole.
    """


@volume.command(short_help="Show what volumes take on the disk.")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@does("volumes.du")
def du() -> None:
    """Show what each volume takes on the disk, without the holes in sparse files."""
