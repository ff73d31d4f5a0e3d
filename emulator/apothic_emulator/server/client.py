"""Asking a server for what its operator wants, from the command line.

The server on this machine is found by the file that it writes; another one by APOTHIC_BACKEND, with
the key in APOTHIC_API_KEY or a kept one. A key goes to the host that it is for and nowhere else:
the operator's own to the server that made it, none over a network in the clear, and none after a
redirect.
"""

from __future__ import annotations

import http.client
import json
import os
from collections.abc import Mapping
from ssl import SSLCertVerificationError
from typing import Any, cast

from apothic_backends.model.errors import BackendError, NoControlPlane, UsageError, error_of
from apothic_backends.model.record import Record
from apothic_backends.remote.address import Address, address_of, is_address
from apothic_backends.remote.profiles import CLOUD, Profiles, key_for
from apothic_backends.remote.running import running, running_dev
from apothic_backends.remote.trust import not_trusted

TIMEOUT_S = 30.0


class Target(Record):
    """A server, and the key to show it."""

    address: Address
    token: str

    def __repr__(self) -> str:
        """Where it is; never the key."""
        return f"<Target {self.address.url}>"


def target(environment: Mapping[str, str] = os.environ) -> Target:
    """The server to ask: the one that the environment names, else the one of this machine.

    Raises:
        NoControlPlane: there is none.
        UsageError: there is no key for it, or it would travel in the clear.
    """
    named = environment.get("APOTHIC_BACKEND", "")
    ways = {"remote": _chosen, CLOUD: lambda: Profiles().get(CLOUD).url}
    url = named if is_address(named) else ways.get(named, _running)()
    address = address_of(url)
    token = key_for(address)
    if not token:
        raise UsageError(
            f"there is no key for {address.url}: set APOTHIC_API_KEY beside APOTHIC_BACKEND, or "
            f"log in with `apothic auth login {address.url}`"
        )
    return Target(address, token)


def _running() -> str:
    found = running_dev() or running()
    if found is None:
        raise NoControlPlane(
            "no server runs on this machine: start one with `apothic serve`, or set "
            "APOTHIC_BACKEND=https://... and APOTHIC_API_KEY"
        )
    return found.url


def _chosen() -> str:
    chosen = Profiles().chosen
    if chosen is None:
        raise NoControlPlane("no control plane was chosen: see `apothic auth --help`")
    return chosen.url


def ask(server: Target, command: str, fields: Mapping[str, Any]) -> Any:
    """The reply of a server to a command.

    Raises:
        BackendError: it cannot be reached, or answers something else.
        ApothicError: whatever it says.
    """
    at = server.address
    is_tls = at.scheme == "https"
    kind = http.client.HTTPSConnection if is_tls else http.client.HTTPConnection
    connection = kind(at.host, at.port, timeout=TIMEOUT_S)
    headers = {
        "Authorization": f"Bearer {server.token}",
        "Content-Type": "application/json",
    }
    try:
        connection.request("POST", f"{at.path}/v1/{command}", json.dumps(fields), headers)
        response = connection.getresponse()
        told: Any = json.loads(response.read())
    except SSLCertVerificationError as error:
        raise not_trusted(at.url, error) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise BackendError(f"{at.url} did not answer as a server does: {error}") from error
    finally:
        connection.close()
    said = cast("dict[str, Any]", told) if isinstance(told, dict) else {}
    if "reply" in said:
        return said["reply"]
    about: dict[str, Any] = said.get("error") or {}
    raise error_of(str(about.get("code")), str(about.get("message")), about.get("data") or {})
