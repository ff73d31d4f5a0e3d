"""What the machine of a control plane on Fly is made of, and what it is told in secret."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from apothic.cli.cloud.bucket import secrets_of as bucket_secrets
from apothic_backends.providers.fly.disks import Disk
from apothic_backends.providers.fly.sizes import Guest
from apothic_backends.providers.opening import REGISTRY, login_of
from apothic_backends.remote.profiles import Profile

NAME: Final = "control"
"""Of the machine, in its app."""

PORT: Final = 8377
_CLIENT_HEADER: Final = "Fly-Client-IP"
"""Where Fly's proxy says who asks; what a client says there it leaves out."""

_QUIET_S: Final = 600
"""How long nothing may be said on a connection to a service: event streams and WebSockets rest."""

_MOST_CONNECTIONS: Final = 10_000
"""Each agent and each program holds one; Fly lets 20 through where nothing is said."""

_DISK: Final = "apothic_volume_gb"
"""What the machine is told of its disk, so that it is started anew when that has grown."""

_PASSED_ON: Final = ("APOTHIC_FLY_URL", "APOTHIC_VAST_URL")


class Wanted(NamedTuple):
    """What a control plane is to be."""

    rented: tuple[str, ...]
    max_usd_per_hour: float
    region: str = ""
    """Where; empty if that was not said."""
    guest: Guest = Guest("shared", 1, 1024)
    volume_gb: int = 10
    bucket: str = ""
    """In which it keeps what volumes hold; on its disk without."""
    ports: range = range(10_000, 10_020)
    """Of services: from there on Fly has always let ports through."""
    own_ipv4: bool = False
    more: tuple[str, ...] = ()
    """Options of its server; what is given later counts."""


def secrets_of(profile: Profile, wanted: Wanted) -> dict[str, str]:
    """What it must know, and nobody else."""
    state = os.environ.get("APOTHIC_CLOUD_STATE")
    given = {
        "APOTHIC_ADMIN_KEY": profile.api_key or "",
        **({"FLY_API_TOKEN": os.environ["FLY_API_TOKEN"]} if "fly" in wanted.rented else {}),
        **({"VAST_API_KEY": os.environ["VAST_API_KEY"]} if "vast" in wanted.rented else {}),
    }
    if login_of(os.environ) is not None:
        given |= {name: os.environ[name] for name in REGISTRY}
    given |= bucket_secrets(wanted.bucket)
    return {**given, "APOTHIC_STATE": state} if state else given


def argv_of(profile: Profile, wanted: Wanted, image: str) -> list[str]:
    """How it is started."""
    address = profile.address
    host = address.url.partition("://")[2].partition("/")[0]
    clients = f"{address.scheme}://{address.host}"
    # Fly's proxy alone reaches IPv4 there: its private network, where others might claim to be that
    # proxy, is IPv6.
    listen = "127.0.0.1" if address.is_loopback else "0.0.0.0"  # noqa: S104
    return [
        *("apothic", "serve", "--host", listen, "--port", str(PORT), "--insecure-network"),
        *("--allow-host", host, "--machine-url", address.url, "--machine-image", image),
        *("--service-ports", f"{wanted.ports[0]}-{wanted.ports[-1]}", "--service-url", clients),
        *("--client-header", _CLIENT_HEADER),
        *("--no-agent", "--limit", f"connections={_MOST_CONNECTIONS}"),
        *(("--volume-bucket", wanted.bucket) if wanted.bucket else ()),
        *(part for name in wanted.rented for part in ("--provider", name)),
        *("--max-usd-per-hour", f"{wanted.max_usd_per_hour:g}", *wanted.more),
    ]


def config_of(profile: Profile, wanted: Wanted, image: str, disk: Disk) -> Mapping[str, Any]:
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
        *(
            _led_to(port, [{"port": port, "handlers": ["tls", "http"], **quiet}])
            for port in wanted.ports
        ),
    ]
    return {
        "image": image,
        "guest": wanted.guest.told,
        "env": {"APOTHIC_HOME": "/data", "FLY_ORG": os.environ["FLY_ORG"], **passed},
        "init": {"exec": argv_of(profile, wanted, image)},
        "mounts": [{"volume": disk.id, "path": "/data"}],
        "metadata": {_DISK: f"{disk.size_gb}"},
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
