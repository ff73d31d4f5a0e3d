"""The one socket that a server listens on, and where it may."""

from __future__ import annotations

import ipaddress
import socket

from apothic_backends.model.errors import InvalidOption
from apothic_backends.remote.errors import Busy
from apothic_emulator.server.settings import Settings


def check(settings: Settings) -> None:
    """See to it that nobody listens to what is said, and that no program of a page gets in.

    Raises:
        InvalidOption: the address is one that others reach, and nothing protects what is sent.
    """
    if (settings.tls_cert is None) is not (settings.tls_key is None):
        raise InvalidOption("--tls-cert and --tls-key go together", option="tls")
    if settings.is_tls or settings.insecure_network:
        return
    others = [address for *_, address in _found(settings) if not is_loopback(address[0])]
    if others:
        raise InvalidOption(
            f"{settings.host} is reached from other machines, and keys would travel in the clear: "
            "give --tls-cert and --tls-key, or say --insecure-network if something in front of "
            "this server speaks TLS, or the network is yours alone",
            option="host",
        )


def address_of(settings: Settings) -> tuple[int, str]:
    """The family and the address that a server listens at.

    Raises:
        InvalidOption: its host is none.
    """
    family, *_, address = _found(settings)[0]
    return family, address[0]


def is_loopback(address: str) -> bool:
    """Whether an address is reached from this machine alone."""
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback


def listen(settings: Settings) -> socket.socket:
    """The socket, which listens.

    Raises:
        InvalidOption: `check` refuses.
        Busy: the port is taken, or not for everybody.
    """
    check(settings)
    family, _, _, _, address = _found(settings)[0]
    try:
        listening = socket.create_server(address[:2], family=family, backlog=1024)
    except OSError as error:
        raise Busy(
            f"{settings.host}:{settings.port} cannot be listened on: {error.strerror or error}; "
            "choose another with --port"
        ) from error
    # asyncio does it only for sockets that name their protocol. Without, the second of two small
    # writes waits 40 ms for an acknowledgement that the other side holds back.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if not (
        settings.is_tls or settings.insecure_network or is_loopback(listening.getsockname()[0])
    ):
        listening.close()
        raise InvalidOption(f"{settings.host} is no loopback address any more", option="host")
    return listening


def _found(settings: Settings) -> list[tuple[int, int, int, str, tuple[str, int]]]:
    try:
        found = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError as error:
        raise InvalidOption(f"there is no host {settings.host!r}: {error}", option="host") from None
    return [
        (family, kind, proto, name, (str(at[0]), int(at[1])))
        for family, kind, proto, name, at in found
    ]
