"""`apothic serve` and `apothic key`, as the command line finds them."""

from __future__ import annotations

import json
import os
import secrets
from datetime import UTC, datetime
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
from click.core import ParameterSource

from apothic_backends.model.costs import NANO
from apothic_backends.providers.opening import PROVIDERS, login_of
from apothic_backends.remote.running import server_folder
from apothic_emulator.core.hellos import GRACE_S, LEASE_S
from apothic_emulator.core.renting import BOOT_S, IDLE_S, LIFETIME_S, VOLUME_GB, Terms
from apothic_emulator.server.bucket import check_bucket
from apothic_emulator.server.limits import read as read_limits
from apothic_emulator.server.scopes import SCOPES
from apothic_emulator.server.settings import MAX_BODY, PORT, Settings

HIGHEST_PORT = 65535

_SCHEMES = ("http", "https")
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

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
    "--allow-host",
    "hosts",
    multiple=True,
    metavar="NAME",
    help="A name that this server has. The first stands in the URLs of services.",
)
@click.option(
    "--service-ports",
    metavar="FIRST-LAST",
    default="",
    help="Where services listen that other machines reach; without, at any port.",
)
@click.option(
    "--service-url",
    metavar="URL",
    default="",
    help="Where clients find services that a proxy passes on, without the port, which is the same.",
)
@click.option(
    "--client-header",
    metavar="NAME",
    default="",
    help="In which that proxy says who asks; it is believed, and so is X-Forwarded-Proto.",
)
@click.option(
    "--restored", is_flag=True, help="The state was put back from a copy: take it as it is."
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
    "--prices",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A TOML file with what a second costs; without one everything is free.",
)
@click.option(
    "--agent-lease",
    "agent_lease_s",
    type=click.FloatRange(1, 3600),
    default=LEASE_S,
    show_default=True,
    help="Seconds without a word after which an agent is believed to have stopped its work.",
)
@click.option(
    "--agent-grace",
    "agent_grace_s",
    type=click.FloatRange(0, 86400),
    default=GRACE_S,
    show_default=True,
    help="Seconds after that in which it may bring the outcome of what must not run twice.",
)
@click.option(
    "--max-body",
    type=click.IntRange(1024),
    default=MAX_BODY,
    show_default=True,
    help="The most bytes of a request.",
)
@click.option(
    "--volume-bucket",
    metavar="BUCKET[/PREFIX]",
    default="",
    help="Keep what volumes hold in a bucket of S3 or the like, whose keys AWS_... variables have; "
    "with --no-agent. Without, it is on this disk.",
)
@click.option(
    "--provider",
    "providers",
    multiple=True,
    type=click.Choice(PROVIDERS),
    help="Rent machines there when jobs find no place; its key is taken from the environment.",
)
@click.option(
    "--max-usd-per-hour",
    type=click.FloatRange(min=0, min_open=True),
    help="What all rented machines together may cost an hour; needed with --provider.",
)
@click.option(
    "--machine-image", default="", envvar="APOTHIC_AGENT_IMAGE", help="What rented machines run."
)
@click.option("--machine-url", default="", help="Where they find this server.")
@click.option(
    "--machine-boot",
    "machine_boot_s",
    type=click.FloatRange(min=1),
    default=BOOT_S,
    show_default=True,
    help="Seconds that one has to join before it is given up.",
)
@click.option(
    "--machine-idle",
    "machine_idle_s",
    type=click.FloatRange(min=0),
    default=IDLE_S,
    show_default=True,
    help="Seconds that one is kept which runs nothing.",
)
@click.option(
    "--machine-lifetime",
    "machine_lifetime_s",
    type=click.FloatRange(min=60),
    default=LIFETIME_S,
    show_default=True,
    help="Seconds after which one ends, whatever it runs.",
)
@click.option(
    "--machine-volume-gb",
    type=click.IntRange(min=1),
    default=VOLUME_GB,
    show_default=True,
    help="The size of each vast_local volume that is made; none can grow.",
)
@click.option(
    "--limit",
    "limits",
    multiple=True,
    metavar="NAME=NUMBER",
    help="Of one address: connections. Of one account: requests, jobs, functions, waits, queues, "
    "dicts, keys, bytes. Each has a default.",
)
def serve(**given: Any) -> None:
    """Run the control plane as a server that programs, agents and shells connect to.

    The first start makes a key of the scope admin, in a file that it names. Everything but /healthz
    needs a key. An address that other machines reach needs TLS, or --insecure-network.
    """
    _check_extra()
    _check_state()
    from apothic_emulator.server.process import run  # noqa: PLC0415 - so that --help starts fast

    run(settings(server_folder(), given), lambda text: click.echo(text, err=True))


def settings(folder: Path, given: dict[str, Any]) -> Settings:
    """What was told, for a server that keeps what is its own in a folder."""
    folder.mkdir(mode=0o700, exist_ok=True)
    limits, quotas = read_limits(given.pop("limits"))
    given["service_ports"] = ports(given["service_ports"])
    given["service_url"] = origin(given["service_url"])
    if given["client_header"] and not given["service_url"]:
        raise click.UsageError("--client-header is of a proxy: say where that is, by --service-url")
    given["terms"] = _terms(given)
    if given["volume_bucket"]:
        check_bucket(given["volume_bucket"], runs_here=not given["no_agent"])
    given["registry"] = given["terms"] and login_of(os.environ)
    return Settings(
        folder,
        limits=limits,
        quotas=quotas,
        has_agent=not given.pop("no_agent"),
        grace_s=given.pop("grace"),
        **given,
    )


def _terms(given: dict[str, Any]) -> Terms | None:
    """What may be rented, taken out of what was told."""
    providers = tuple(dict.fromkeys(given.pop("providers")))
    most: float | None = given.pop("max_usd_per_hour")
    times = (given.pop(f"machine_{name}_s") for name in ("boot", "idle", "lifetime"))
    volume_gb: int = given.pop("machine_volume_gb")
    terms = Terms(providers, most or 0.0, *times, volume_gb=volume_gb)
    if not providers:
        return None
    if most is None:
        raise click.UsageError("--provider spends money: say how much with --max-usd-per-hour")
    if not given["machine_image"]:
        raise click.UsageError(
            "--provider needs --machine-image: an image that has this version of apothic"
        )
    return terms


def ports(text: str) -> range:
    """A range such as 20000-20999; empty for nothing."""
    if not text:
        return range(0)
    first, _, last = text.partition("-")
    if first.isascii() and first.isdigit() and last.isascii() and last.isdigit():
        found = range(int(first), int(last) + 1)
        if found and found[0] > 0 and found[-1] <= HIGHEST_PORT:
            return found
    raise click.BadParameter(
        f"{text!r}: write 20000-20999, ports from 1 to {HIGHEST_PORT}", param_hint="--service-ports"
    )


def origin(text: str) -> str:
    """A URL with a scheme and a host, and nothing else; empty for nothing."""
    parts = urlsplit(text)
    is_one = parts.scheme in _SCHEMES and text == f"{parts.scheme}://{parts.netloc}"
    if text and not is_one:
        raise click.BadParameter(f"{text!r}: write https://HOST", param_hint="--service-url")
    return text


def _check_extra() -> None:
    """See to it that what a server needs is installed."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise click.UsageError(
            f"`apothic serve` needs {', '.join(missing)}: pip install 'apothic[server]'"
        )


def _check_state() -> None:
    """See to it that no password stands where `ps` shows it to everybody.

    Raises:
        UsageError: one does.
    """
    context = click.get_current_context()
    is_shown = context.get_parameter_source("state") is ParameterSource.COMMANDLINE
    state: str = context.params["state"]
    if is_shown and urlsplit(state).password is not None:
        raise click.UsageError(
            "everybody on this machine can read the password of the store on a command line: set "
            "APOTHIC_STATE to it instead of --state"
        )


@click.group(short_help="Make, list and revoke keys of a server.")
def key() -> None:
    """Make, list and revoke the keys that a server asks for.

    \b
    apothic key create --scope run --name ci --ttl 30d
    apothic key create --scope agent --ttl 1h        for a machine to join with
    apothic key list
    apothic key revoke 1f2e3d4c5b6a

    The server is the one on this machine, or that of APOTHIC_BACKEND, with APOTHIC_API_KEY.
    """  # noqa: D301 - click reads \b as "do not wrap this paragraph"


@key.command(short_help="Make a key, and print its token.")
@click.option("--scope", "scopes", multiple=True, type=click.Choice(list(SCOPES)), required=True)
@click.option("--account", default="", help="Whose it is; without, that of the key in use.")
@click.option("--name", default="", help="What it is for.")
@click.option("--ttl", metavar="TIME", help="How long it holds: 90s, 15m, 8h, 30d.")
@click.pass_obj
def create(asked: Any, scopes: tuple[str, ...], account: str, name: str, ttl: str | None) -> None:
    """Make a key. The token goes to stdout, this once."""
    given = {"scopes": scopes, "account": account, "name": name}
    made = _asked("create-api-key", {**given, "ttl_s": None if ttl is None else seconds(ttl)})
    click.echo(json.dumps(made) if asked.is_json() else made["token"])


@key.command("list", short_help="Show all keys.")
@click.pass_obj
def list_(asked: Any) -> None:
    """Show the id of each key, its account, scopes and name; never a token."""
    found = _asked("list-api-keys", {})
    if asked.is_json():
        click.echo(json.dumps(found))
        return
    for one in found:
        state = "expired" if one["is_expired"] else _until(one["expires_at"])
        scopes = ",".join(one["scopes"])
        row = f"{one['key_id']}  {one['account']:12}  {scopes:12}  {state:20}  {one['name']}"
        click.echo(row.rstrip())


@key.command(short_help="Have a key hold no more.")
@click.argument("key_id", metavar="ID")
@click.pass_obj
def revoke(asked: Any, key_id: str) -> None:
    """Have the key ID hold no more; what goes on under it ends within a second."""
    gone = _asked("revoke-api-key", {"key_id": key_id})
    click.echo(json.dumps(gone) if asked.is_json() else f"{key_id} holds no more", err=False)


@click.command("top-up", short_help="Add to what an account of a server may use.")
@click.argument("account")
@click.argument("usd")
@click.option(
    "--operation", metavar="NAME", help="Its name, so that it is done once: of an invoice."
)
@click.pass_obj
def top_up(asked: Any, account: str, usd: str, operation: str | None) -> None:
    """Add USD, as 25 or 25.50, to what ACCOUNT may use, and say what it has then.

    An account may use whatever it likes until its first top-up, and from then on no more than that.
    When nothing is left, what runs goes on, what is queued waits, and nothing new is taken on. With
    an --operation it is done once, however often it is asked for. `-- acme -5` takes away. With
    `unlimited` in place of USD it may use whatever it likes again, until the next top-up.

    The server is the one on this machine, or that of APOTHIC_BACKEND, with APOTHIC_API_KEY.
    """
    named = operation or f"cli-{secrets.token_hex(8)}"
    fields = {"account": account, "nano_usd": nano_usd(usd), "operation": named}
    found = _asked("top-up-account", fields)
    nano = found["balance_nano_usd"]
    left = "no limit" if nano is None else f"{nano / NANO:.6f} USD"
    click.echo(json.dumps(found) if asked.is_json() else f"{account} has {left}")


def nano_usd(text: str) -> int | None:
    """An amount of dollars in nano-USD; None for "unlimited"."""
    if text == "unlimited":
        return None
    try:
        nano = Decimal(text) * NANO
        if nano == int(nano):
            return int(nano)
    except (ArithmeticError, ValueError):
        pass
    raise click.BadParameter(
        f"{text!r}: write dollars as 25 or 25.50, or unlimited", param_hint="USD"
    )


def _asked(command: str, fields: dict[str, Any]) -> Any:
    from apothic_emulator.server.client import ask, target  # noqa: PLC0415 - as above

    return ask(target(), command, fields)


def seconds(text: str) -> float:
    """A time such as 90s, 15m, 8h or 30d, in seconds."""
    number, unit = text[:-1], text[-1:]
    if unit not in _UNITS or not number.isascii() or not number.isdigit():
        raise click.BadParameter(f"{text!r}: write 90s, 15m, 8h or 30d", param_hint="--ttl")
    return float(number) * _UNITS[unit]


def _until(moment: float | None) -> str:
    if moment is None:
        return "no end"
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
