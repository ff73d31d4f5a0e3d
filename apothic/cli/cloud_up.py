"""What `apothic cloud up` does: a control plane on Fly, made once, and what it is changed into.

    profile with the address and the key ──► app ──► secrets ──► volume ──► machine ──► addresses
                                                                               └──► it answers

The key is kept before anything is made, so that what was made in part is found again: whoever ends
in the middle runs the same command once more.
"""

from __future__ import annotations

import os
import re
import secrets
import socket
import ssl
import threading
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any, Final

from apothic.cli import output
from apothic.cli.cloud_image import check_image, in_registry
from apothic.cli.command import say
from apothic.cli.renting import fly, names_here
from apothic.cli.sweeping import confirm
from apothic.cli.wishes import Wishes
from apothic_backends.commands import GetDurability
from apothic_backends.commands.machines import AllowMachines
from apothic_backends.model.errors import ApothicError, BackendError, UsageError
from apothic_backends.providers.fly.app import FlyApp
from apothic_backends.providers.fly.machines import APPS, WORKERS
from apothic_backends.providers.fly.sizes import Guest, storage_usd_per_hour, usd_per_hour
from apothic_backends.providers.opening import REGISTRY, check, login_of
from apothic_backends.remote.address import address_of
from apothic_backends.remote.backend import open_remote
from apothic_backends.remote.profiles import CLOUD, Profile, Profiles

SCHEMA = "apothic.cloud-up.v1"

PORT: Final = 8377
_DOMAIN: Final = "fly.dev"
_APP: Final = re.compile(rf"(?!{WORKERS}){APPS}[a-z0-9](?:[a-z0-9-]{{0,50}}[a-z0-9])?")
_NAME: Final = "control"
_FIRST_SERVICE: Final = 10_000
"""The port of the first service: from there on Fly has always let ports through."""

_CLIENT_HEADER: Final = "Fly-Client-IP"
"""Where Fly's proxy says who asks; what a client says there it leaves out."""

_QUIET_S: Final = 600
"""How long nothing may be said on a connection to a service: event streams and WebSockets rest."""

_REACH_S: Final = 10.0

IPV4_USD_PER_MONTH: Final = 2.0
"""What an IPv4 address costs that nobody else has."""

_VOLUME: Final = "apothic_data"
_MOST_CONNECTIONS: Final = 10_000
"""Each agent and each program holds one; Fly lets 20 through where nothing is said."""

_TRIES: Final = 5
_PAUSE_S: Final = 5.0
_HOURS: Final = 720
_PASSED_ON: Final = ("APOTHIC_FLY_URL", "APOTHIC_VAST_URL")


class NotUp(BackendError):
    """The control plane was made, and does not answer."""

    code = "not_up"


def up(
    asked: Wishes,
    *,
    app: str | None,
    image: str,
    region: str,
    providers: tuple[str, ...],
    max_usd_per_hour: float,
    memory_mb: int,
    volume_gb: int,
    services: int,
    own_ipv4: bool,
    more: tuple[str, ...],
    yes: bool,
) -> None:
    """Make a control plane, or have the one that is there be what is asked for."""
    rented = providers or names_here()
    for name in (*rented, "fly"):
        check(name, os.environ)
    check_image(image, rented)
    profile, is_new = _profile(app)
    guest = Guest("shared", 1, memory_mb)
    usd_per_month = _usd_per_month(guest, region, volume_gb, own_ipv4=own_ipv4)
    if is_new:
        _ask(profile, usd_per_month, max_usd_per_hour, yes=yes)
    Profiles().put(profile)
    with fly() as api:
        its = FlyApp(api, app or app_of(profile))
        say(asked, f"app {its.name}")
        its.ensure()
        if own_ipv4 and not is_new and not its.has_own_ipv4():
            its_cost = f"{IPV4_USD_PER_MONTH:g} USD a month"
            confirm(f"Give {profile.url} an IPv4 address of its own, for {its_cost}?", yes=yes)
        image = in_registry(asked, image, its.name)
        version = its.set_secrets(_secrets(profile, rented))
        volume = its.ensure_volume(_VOLUME, region, volume_gb, guest)
        ports = range(_FIRST_SERVICE, _FIRST_SERVICE + services)
        argv = _argv(profile, image, rented, max_usd_per_hour, more, ports=ports)
        say(asked, f"a machine in {region} with the volume {volume}; a large image takes a while")
        config = _config(profile, image, guest, volume, argv, ports=ports)
        its.ensure_machine(_NAME, region, config, version)
        its.ensure_addresses(own_ipv4=own_ipv4)
    _until_it_answers(asked, profile)
    if not profile.address.is_loopback:
        _look_at(asked, profile.address.host, ports[0])
    _tell(asked, profile, is_new=is_new)


# --- which one ----------------------------------------------------------------------------------


def _profile(app: str | None) -> tuple[Profile, bool]:
    """The address and the key of the control plane; whether it is a new one.

    Raises:
        UsageError: this user has another one, or no app of a control plane can be called so.
    """
    if app is not None:
        check_app(app)
    known = Profiles().list().get(CLOUD)
    if known is None:
        url = url_of(app or f"apothic-{secrets.token_hex(4)}")
        return Profile(CLOUD, url, _new_key()), True
    if app is not None and url_of(app) != known.url:
        raise UsageError(
            f"this user has a control plane in the cloud already, at {known.url}: end it with "
            "`apothic cloud down`, or only forget its key with `apothic auth logout cloud`"
        )
    return known if known.api_key else known.replace(api_key=_new_key()), False


def check_app(name: str) -> None:
    """See to it that an app can be a control plane's: no other is ever touched.

    Raises:
        UsageError: it cannot.
    """
    if not _APP.fullmatch(name):
        raise UsageError(
            f"--app {name!r}: the app of a control plane begins with {APPS!r}, by which sweeps "
            f"find it, and has up to 60 of a-z, 0-9 and '-'; those with {WORKERS!r} are of machines"
        )


def _new_key() -> str:
    """A token as a server makes them."""
    return f"apk_{secrets.token_hex(6)}_{secrets.token_urlsafe(32)}"


def url_of(app: str) -> str:
    """Where an app of Fly is reached."""
    return address_of(os.environ.get("APOTHIC_FLY_APP_URL") or f"https://{app}.{_DOMAIN}").url


def app_of(profile: Profile) -> str:
    """The name of its app.

    Raises:
        UsageError: its address does not tell.
    """
    name, _, domain = profile.address.host.partition(".")
    if domain != _DOMAIN:
        raise UsageError(f"{profile.url} does not tell how its app on Fly is called: say --app")
    return name


# --- what it is ---------------------------------------------------------------------------------


def _secrets(profile: Profile, rented: Sequence[str]) -> dict[str, str]:
    """What it must know, and nobody else."""
    state = os.environ.get("APOTHIC_CLOUD_STATE")
    given = {
        "APOTHIC_ADMIN_KEY": profile.api_key or "",
        **({"FLY_API_TOKEN": os.environ["FLY_API_TOKEN"]} if "fly" in rented else {}),
        **({"VAST_API_KEY": os.environ["VAST_API_KEY"]} if "vast" in rented else {}),
    }
    if login_of(os.environ) is not None:
        given |= {name: os.environ[name] for name in REGISTRY}
    return {**given, "APOTHIC_STATE": state} if state else given


def _argv(
    profile: Profile,
    image: str,
    rented: Sequence[str],
    max_usd_per_hour: float,
    more: Sequence[str],
    *,
    ports: range,
) -> list[str]:
    """How it is started; what is given later counts."""
    address = profile.address
    host = address.url.partition("://")[2].partition("/")[0]
    clients = f"{address.scheme}://{address.host}"
    # Fly's proxy alone reaches IPv4 there: its private network, where others might claim to be that
    # proxy, is IPv6.
    listen = "127.0.0.1" if address.is_loopback else "0.0.0.0"  # noqa: S104
    return [
        *("apothic", "serve", "--host", listen, "--port", str(PORT), "--insecure-network"),
        *("--allow-host", host, "--machine-url", address.url, "--machine-image", image),
        *("--service-ports", f"{ports[0]}-{ports[-1]}", "--service-url", clients),
        *("--client-header", _CLIENT_HEADER),
        *("--no-agent", "--limit", f"connections={_MOST_CONNECTIONS}"),
        *(part for name in rented for part in ("--provider", name)),
        *("--max-usd-per-hour", f"{max_usd_per_hour:g}", *more),
    ]


def _config(
    profile: Profile, image: str, guest: Guest, volume: str, argv: Sequence[str], *, ports: range
) -> Mapping[str, Any]:
    """The machine, as Fly wants it told; nothing secret is in it."""
    passed = {name: os.environ[name] for name in _PASSED_ON if os.environ.get(name)}
    host = profile.address.host
    check: dict[str, Any] = {
        "type": "http",
        "port": PORT,
        "method": "GET",
        "path": "/healthz",
        "headers": [{"name": "Host", "values": [host]}],
        "interval": "15s",
        "timeout": "5s",
        "grace_period": "30s",
    }
    web = [
        {"port": 80, "handlers": ["http"], "force_https": True},
        {"port": 443, "handlers": ["tls", "http"]},
    ]
    quiet = {"http_options": {"idle_timeout": _QUIET_S}}
    services = [
        {**_led_to(PORT, web), "checks": [check]},
        *(_led_to(port, [{"port": port, "handlers": ["tls", "http"], **quiet}]) for port in ports),
    ]
    return {
        "image": image,
        "guest": guest.told,
        "env": {"APOTHIC_HOME": "/data", "FLY_ORG": os.environ["FLY_ORG"], **passed},
        "init": {"exec": [*argv]},
        "mounts": [{"volume": volume, "path": "/data"}],
        "restart": {"policy": "always"},
        "services": services,
        "stop_config": {"signal": "SIGTERM", "timeout": "30s"},
    }


def _led_to(port: int, ports: list[dict[str, Any]]) -> dict[str, Any]:
    """A port of the machine, as Fly's proxy is told of it.

    The proxy never stops the machine, which would look to it as if nothing went on: agents are
    connected from inside, schedules are due, and somebody has to see to what costs money.
    """
    most = _MOST_CONNECTIONS
    return {
        "protocol": "tcp",
        "internal_port": port,
        "autostop": "off",
        "autostart": True,
        "min_machines_running": 1,
        "ports": ports,
        "concurrency": {"type": "connections", "soft_limit": most, "hard_limit": most},
    }


# --- talking ------------------------------------------------------------------------------------


def _usd_per_month(guest: Guest, region: str, volume_gb: int, *, own_ipv4: bool) -> float:
    """What it costs in 30 days, without what it rents."""
    hour = usd_per_hour(guest, region) + storage_usd_per_hour(8 + volume_gb)
    return _HOURS * hour + (IPV4_USD_PER_MONTH if own_ipv4 else 0.0)


def _ask(profile: Profile, usd_per_month: float, max_usd_per_hour: float, *, yes: bool) -> None:
    """Have a person agree to what it costs."""
    confirm(
        f"Make {profile.url}, for about {usd_per_month:.2f} USD in 30 days, which may rent "
        f"machines for up to {max_usd_per_hour:g} USD an hour?",
        yes=yes,
    )


def _until_it_answers(asked: Wishes, profile: Profile) -> None:
    """Wait until it takes its key, and rents again if it was told not to.

    Raises:
        NotUp: it does not answer.
    """
    error: ApothicError | None = None
    for _ in range(_TRIES):
        with closing(open_remote(profile.url, profile.api_key)) as backend:
            try:
                backend.start(GetDurability()).wait()  # it is dialled for a minute
                backend.start(AllowMachines()).wait()
            except BackendError as it:
                error = it
                say(asked, f"{profile.url} does not answer yet: {it.message}")
            else:
                return
        threading.Event().wait(_PAUSE_S)
    why = "" if error is None else f" ({error.message})"
    raise NotUp(
        f"{profile.url} was made, and does not answer{why}. Look at its log with `fly logs`, and "
        "run the same command again, or `apothic cloud down`"
    )


def _look_at(asked: Wishes, host: str, port: int) -> None:
    """See whether services will be reached."""
    why_not = unreached(host, port)
    if why_not:
        say(
            asked,
            f"services are not reached by IPv4 from here ({why_not}). If that stays so, and is so "
            f"elsewhere: `apothic cloud up --own-ipv4`, for {IPV4_USD_PER_MONTH:g} USD a month",
        )


def unreached(host: str, port: int) -> str:
    """Why nobody speaks TLS there by IPv4; empty if somebody does.

    That an address which others share leads to other ports than those of the web is what Fly's
    documents say, and what its own program does not count on.
    """
    try:
        at = socket.getaddrinfo(host, port, socket.AF_INET, socket.SOCK_STREAM)[0][4]
        with socket.create_connection((str(at[0]), port), _REACH_S) as plain:
            ssl.create_default_context().wrap_socket(plain, server_hostname=host).close()
    except OSError as error:
        return f"{host}:{port}: {error}"
    return ""


def _tell(asked: Wishes, profile: Profile, *, is_new: bool) -> None:
    if asked.is_json():
        key = {"api_key": profile.api_key} if is_new else {}
        output.put(output.line_of({"schema": SCHEMA, "url": profile.url, "is_new": is_new, **key}))
        return
    output.put(profile.url)
    if is_new:
        output.put(f"{profile.api_key}")
        say(asked, "the second line is its operator's key, which is shown this once")
    say(asked, "APOTHIC_BACKEND=cloud means it from now on, with the key that was kept")
