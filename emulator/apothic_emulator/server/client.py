"""Asking a server for what its operator wants, from the command line.

The server on this machine is found by the file that it writes; another one by APOTHIC_BACKEND, with
the key in APOTHIC_API_KEY. A key goes to the host that it is for and nowhere else: the operator's
own to the server that made it, none over a network in the clear, and none after a redirect.
"""

from __future__ import annotations

import http.client
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from apothic_backends.model.errors import BackendError, NoControlPlane, UsageError, error_of
from apothic_backends.model.record import Record
from apothic_emulator.server.first import FILE, read_token

ADDRESS = "address"
"""The file in which a server says where it is, for as long as it serves."""

TIMEOUT_S = 30.0


class Target(Record):
    """A server, and the key to show it."""

    url: str
    token: str

    def __repr__(self) -> str:
        """Where it is; never the key."""
        return f"<Target {self.url}>"


def target(folder: Path, environment: Mapping[str, str] = os.environ) -> Target:
    """The server to ask: the one that the environment names, else the one of this machine.

    Raises:
        NoControlPlane: there is none.
        UsageError: there is no key for it, or it would travel in the clear.
    """
    named = environment.get("APOTHIC_BACKEND", "")
    if named.startswith(("http://", "https://")):
        token = environment.get("APOTHIC_API_KEY", "")
        if not token:
            raise UsageError(f"set APOTHIC_API_KEY to a key for {named}")
        return Target(_checked(named), token)
    try:
        url = (folder / ADDRESS).read_text("utf-8").strip()
    except OSError:
        raise NoControlPlane(
            "no server runs on this machine: start one with `apothic serve`, or set "
            "APOTHIC_BACKEND=https://... and APOTHIC_API_KEY"
        ) from None
    return Target(_checked(url), read_token(folder / FILE))


def _checked(url: str) -> str:
    parts = urlsplit(url)
    if not parts.hostname or parts.username is not None:
        raise UsageError(f"{parts.scheme}://{parts.hostname or ''} is no address of a server")
    if parts.scheme == "http" and parts.hostname not in ("127.0.0.1", "::1", "localhost"):
        raise UsageError(f"a key would travel in the clear to {parts.hostname}: use https://")
    return url


def ask(server: Target, command: str, fields: Mapping[str, Any]) -> Any:
    """The reply of a server to a command.

    Raises:
        BackendError: it cannot be reached, or answers something else.
        ApothicError: whatever it says.
    """
    parts = urlsplit(server.url)
    is_tls = parts.scheme == "https"
    kind = http.client.HTTPSConnection if is_tls else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
    headers = {
        "Authorization": f"Bearer {server.token}",
        "Content-Type": "application/json",
    }
    try:
        connection.request("POST", f"/v1/{command}", json.dumps(fields), headers)
        response = connection.getresponse()
        told: Any = json.loads(response.read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise BackendError(f"{server.url} did not answer as a server does: {error}") from error
    finally:
        connection.close()
    said = cast("dict[str, Any]", told) if isinstance(told, dict) else {}
    if "reply" in said:
        return said["reply"]
    about: dict[str, Any] = said.get("error") or {}
    raise error_of(str(about.get("code")), str(about.get("message")), about.get("data") or {})
