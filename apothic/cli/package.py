"""`apothic package`: what would be shipped of this project."""

from __future__ import annotations

import click

from apothic.cli.command import does


@click.command(short_help="Show what would be shipped.")
@click.option("--list", "is_list", is_flag=True, help="Each file, and what is left out and why.")
@click.option("--out", metavar="FILE", type=click.Path(dir_okay=False), help="Write the archive.")
@does("packages.show")
def package() -> None:
    """Show which files of this project `apothic deploy` would ship, and how large they are.

    \b
    apothic package --list
    apothic package --out code.tar

    They are the files that git tracks, and untracked ones that it does not ignore; .apothicignore,
    and include and exclude in [tool.apothic] of pyproject.toml, have a say. Never shipped: .env.
    """  # noqa: D301 - click reads \b as "do not wrap this paragraph"
