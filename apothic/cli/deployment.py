"""`apothic deploy` and `apothic deployment`: versions of apps, made, looked at, replaced, ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from apothic.cli.command import does
from apothic.cli.wishes import everywhere, with_options

F = TypeVar("F", bound=Callable[..., Any])


@click.command(short_help="Make an app live on a control plane.")
@click.argument("target")
@does("deployments.deploy")
def deploy() -> None:
    """Ship this project, and make the functions of TARGET live: path.py, or path.py::app.

    \b
    apothic serve                           in another terminal
    apothic deploy report.py
    apothic package --list                  what is shipped

    It prints the deployment's id. If nothing has changed, it is that of the live one. The control
    plane is the one that APOTHIC_BACKEND names, else the one that `apothic auth use` has chosen,
    else the `apothic serve` of this user on this machine.
    """  # noqa: D301 - click reads \b as "do not wrap this paragraph"


@click.group(short_help="Look at deployments, roll back, stop, delete.")
@with_options(everywhere)
@click.pass_context
def deployment(context: click.Context, **given: Any) -> None:
    """Look after deployments of a running control plane: see `apothic deploy --help` for which.

    \b
    apothic deployment list
    apothic deployment history demo
    apothic deployment rollback demo --version 3
    apothic deployment stop deployments:123 --drain
    apothic deployment watch deployments:123 --snapshot
    apothic deployment logs deployments:123 --health-path /healthz

    One is named by its id, or by its app: then the live one is meant, else the latest.
    """  # noqa: D301 - as above
    context.obj = context.obj.over(given)


def named(metavar: str = "DEPLOYMENT") -> Callable[[F], F]:
    """The argument that names a deployment, or an app."""
    return click.argument("name", metavar=metavar)


def draining(function: F) -> F:
    """The option of those that stop."""
    return click.option("--drain", is_flag=True, help="Let its jobs end.")(function)


def watching(function: F) -> F:
    """The options of those that watch."""
    function = click.option("--after", metavar="CURSOR", help="Begin after this event.")(function)
    return click.option("--snapshot", is_flag=True, default=None, help="Begin with what is now.")(
        function
    )


@deployment.command("list", short_help="Show deployments, the latest first.")
@click.option("--app-name", "app", metavar="APP", help="Of this app only.")
@click.option("--live", "live_only", is_flag=True, help="Those that are live only.")
@does("deployments.show")
def list_() -> None:
    """Show each deployment: its app, its version, and whether it is live."""


@deployment.command(short_help="Show one deployment.")
@named()
@does("deployments.get")
def get() -> None:
    """Show a deployment: its functions, and how much they have to do."""


@deployment.command(short_help="Show all versions of its app.")
@named()
@does("deployments.history")
def history() -> None:
    """Show every deployment of an app that is remembered, the latest first."""


@deployment.command(short_help="Make an earlier version live again.")
@named()
@click.option("--version", type=click.IntRange(min=1), help="Not the one before, but this.")
@does("deployments.rollback")
def rollback() -> None:
    """Make what was live before live again, as a new deployment; it prints the id of that."""


@deployment.command(short_help="End a deployment.")
@named()
@draining
@does("deployments.stop")
def stop() -> None:
    """End a deployment, and cancel its jobs; with the live one, its app cannot be called."""


@deployment.command(short_help="End a deployment, and forget it.")
@named()
@does("deployments.delete")
def delete() -> None:
    """Stop a deployment, and forget it; by the name of an app, all of its deployments."""


@deployment.command(short_help="How far its services are with their start.")
@named()
@click.option("--function-name", metavar="NAME", help="Of this service only.")
@click.option("--health-path", metavar="PATH", help="Ask there; else at /health, then /healthz.")
@does("logs.show")
def logs() -> None:
    """Show how far services are: the `startup_log_tail` of what each says of its health.

    Of one that says nothing of that kind, or does not run, it is what it has printed.
    """


@deployment.command(short_help="What becomes of it, as it happens.")
@named()
@watching
@does("deployments.watch")
def watch() -> None:
    """Show what becomes of a deployment, one event a line, until it is deleted."""
