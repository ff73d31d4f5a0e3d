"""`apothic check`: whether what a file declares can be run, before anything is."""

from __future__ import annotations

import click

from apothic.cli.command import does


@click.command(short_help="Import a file and see whether its functions can run.")
@click.argument("target")
@does("checks.check")
def check() -> None:
    """Import TARGET, path.py or path.py::function, and see whether what it declares can be run.

    \b
    apothic check app.py

    It shows what would be shipped, and of each function how its image is run and why, the GPUs that
    it wants, and its secrets. What is wrong, such as a secret or a file of an image that is
    missing, is told, and the exit code is 2 then. Nothing is built, and no function is run. Secrets
    are looked for where calls would go: on the control plane of APOTHIC_BACKEND, else here.
    """  # noqa: D301 - click reads \b as "do not wrap this paragraph"
