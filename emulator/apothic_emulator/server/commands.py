"""`apothic serve` and `apothic key`, as the command line finds them."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from apothic_backends.home import home
from apothic_emulator.server.settings import MAX_BODY, PORT, Settings

NEEDED = ("uvicorn", "httptools", "anyio", "prometheus_client", "websockets")


@click.command(short_help="Run the control plane as a server.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=PORT, show_default=True)
@click.option(
    "--state",
    metavar="URL",
    envvar="APOTHIC_STATE",
    default="sqlite",
    help="Where the state is kept: sqlite, sqlite:FOLDER, postgresql://...  [default: sqlite]",
)
@click.option("--tls-cert", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--tls-key", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--insecure-network", is_flag=True, help="Listen beyond this machine without TLS.")
@click.option(
    "--allow-host", "hosts", multiple=True, metavar="NAME", help="A name that this server has."
)
@click.option("--no-agent", is_flag=True, help="Run nothing here; agents elsewhere do.")
@click.option(
    "--grace",
    type=click.FloatRange(0, 3600),
    default=10.0,
    show_default=True,
    help="Seconds that running jobs have to end when the server is stopped.",
)
@click.option(
    "--max-body",
    type=click.IntRange(1024),
    default=MAX_BODY,
    show_default=True,
    help="The most bytes of a request.",
)
def serve(**given: Any) -> None:
    """Run the control plane as a server that programs, agents and shells connect to.

    The first start makes a key of the scope admin, in a file that it names. Everything but /healthz
    needs a key. An address that other machines reach needs TLS, or --insecure-network.
    """
    _check_extra()
    from apothic_emulator.server.process import run  # noqa: PLC0415 - so that --help starts fast

    run(settings(home() / "server", given), lambda text: click.echo(text, err=True))


def settings(folder: Path, given: dict[str, Any]) -> Settings:
    """What was told, for a server that keeps what is its own in a folder."""
    folder.mkdir(mode=0o700, exist_ok=True)
    return Settings(
        folder,
        has_agent=not given.pop("no_agent"),
        grace_s=given.pop("grace"),
        **given,
    )


def _check_extra() -> None:
    """See to it that what a server needs is installed."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise click.UsageError(
            f"`apothic serve` needs {', '.join(missing)}: pip install 'apothic[server]'"
        )
