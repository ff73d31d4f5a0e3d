"""Services that others than this machine reach: where they are, and whose keys open them."""

from __future__ import annotations

import math
import socket
import ssl
from collections.abc import Callable

from apothic_backends.model.errors import InvalidOption
from apothic_emulator.gateway.proxies import Proxy
from apothic_emulator.gateway.public import Pass, Public, Refused
from apothic_emulator.server.failures import Failures
from apothic_emulator.server.guard import TOO_OFTEN
from apothic_emulator.server.keys import Keys
from apothic_emulator.server.listening import address_of, is_loopback
from apothic_emulator.server.settings import Settings

OPENING = frozenset({"admin", "run", "service"})
"""The scopes of keys that open services."""

NO_KEY = (
    "a key is needed whose scope is service or run, of the account that this service is of: "
    "`Authorization: Bearer apk_...` or `Apothic-Key: apk_...`"
)
NOT_ALLOWED = "this key does not open this service: it is of another account, or its scopes forbid"


class Admission:
    """Who may ask the services of an account that are not public."""

    def __init__(self, keys: Keys, account: str, clock: Callable[[], float]) -> None:
        """`clock` is Unix time."""
        self._keys, self._account, self._clock = keys, account, clock
        self._failures = Failures()

    def __call__(self, token: str, address: str) -> Pass:
        """What a token opens that is shown by somebody at an address.

        Raises:
            Refused: it opens no service of this account.
        """
        now = self._clock()
        key = self._keys.find(token, now)
        if key is None:
            if self._failures.note(address, now):
                raise Refused(TOO_OFTEN.status, TOO_OFTEN.code, TOO_OFTEN.message)
            raise Refused(401, "unauthorized", NO_KEY)
        if key.account != self._account or OPENING.isdisjoint(key.scopes):
            raise Refused(403, "forbidden", NOT_ALLOWED)
        return Pass(key.key_id, math.inf if key.expires_at is None else key.expires_at - now)


def public_of(
    settings: Settings, keys: Keys, account: str, clock: Callable[[], float]
) -> Public | None:
    """How the services of an account are reached; None on loopback, where they need nothing.

    Raises:
        InvalidOption: the host is none any more, or its certificate is not to be had.
    """
    family, address = address_of(settings)
    if is_loopback(address) and not settings.service_url:
        return None
    return Public(
        address,
        socket.AddressFamily(family),
        name_of(settings, address),
        _tls(settings),
        settings.service_ports,
        Admission(keys, account, clock),
        settings.limits.connections,
        _proxy(settings),
    )


def _proxy(settings: Settings) -> Proxy | None:
    header = settings.client_header.lower().encode()
    return Proxy(settings.service_url, header) if settings.service_url else None


def name_of(settings: Settings, address: str) -> str:
    """By which name clients find services: what the operator calls it, else where it listens."""
    if settings.hosts:
        host = settings.hosts[0]
        return host.partition("]")[0][1:] if host.startswith("[") else host.partition(":")[0]
    return _outward(address) if address in ("0.0.0.0", "::") else settings.host  # noqa: S104


def _outward(address: str) -> str:
    """The address by which this machine would reach others; nothing is sent for that."""
    is_new = ":" in address
    family, far = (socket.AF_INET6, "2001:db8::1") if is_new else (socket.AF_INET, "192.0.2.1")
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((far, 9))
            return str(probe.getsockname()[0])
    except OSError:
        return "::1" if is_new else "127.0.0.1"


def _tls(settings: Settings) -> ssl.SSLContext | None:
    if settings.tls_cert is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(settings.tls_cert, settings.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise InvalidOption(f"{settings.tls_cert} cannot be used: {error}", option="tls") from None
    context.set_alpn_protocols(["http/1.1"])
    return context
