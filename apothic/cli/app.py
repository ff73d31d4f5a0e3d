"""`apothic app`: what is deployed, app by app."""

from __future__ import annotations

from typing import Any

import click

from apothic.cli.command import does
from apothic.cli.deployment import draining, named, watching
from apothic.cli.wishes import everywhere, with_options


@click.group(short_help="Look at apps that are deployed, stop, delete.")
@with_options(everywhere)
@click.pass_context
def app(context: click.Context, **given: Any) -> None:
    """Look after apps of a running control plane: see `apothic deploy --help` for which.

    \b
    apothic app list
    apothic app get demo
    apothic app stop demo --drain
    """  # noqa: D301 - click reads \b as "do not wrap this paragraph"
    context.obj = context.obj.over(given)


@app.command("list", short_help="Show the apps.")
@does("deployments.show_apps")
def list_() -> None:
    """Show each app that is, or was, deployed: what is live, else its latest version."""


@app.command(short_help="Show what an app has live.")
@named("APP")
@does("deployments.get")
def get() -> None:
    """Show what an app has live, else its latest version."""


@app.command(short_help="Show all versions of an app.")
@named("APP")
@does("deployments.history")
def history() -> None:
    """Show every deployment of an app that is remembered, the latest first."""


@app.command(short_help="Make its version before live again.")
@named("APP")
@click.option("--version", type=click.IntRange(min=1), help="Not the one before, but this.")
@does("deployments.rollback")
def rollback() -> None:
    """Make what was live before live again, as a new deployment; it prints the id of that."""


@app.command(short_help="End an app.")
@named("APP")
@draining
@does("deployments.stop")
def stop() -> None:
    """End an app: it cannot be called, its schedules end, and its jobs are cancelled."""


@app.command(short_help="End an app, and forget all its versions.")
@named("APP")
@does("deployments.delete")
def delete() -> None:
    """Stop an app, and forget all of its deployments."""


@app.command(short_help="What becomes of it, as it happens.")
@named("APP")
@watching
@does("deployments.watch")
def watch() -> None:
    """Show what becomes of an app, one event a line."""
