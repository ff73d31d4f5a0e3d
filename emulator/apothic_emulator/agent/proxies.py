"""The HTTP proxy that is on the way to a control plane, as the environment names it."""

from __future__ import annotations

from base64 import b64encode
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

_NAMES = {True: ("wss", "socks", "https"), False: ("ws", "socks", "https", "http")}
"""Whose proxies are taken, first of all: in the order of the connection beside which this goes."""


def proxy_for(host: str, port: int, *, is_tls: bool) -> SplitResult | None:
    """The proxy by which a server is reached; None if there is none, or one of another kind."""
    if proxy_bypass(f"{host}:{port}"):
        return None
    found = getproxies()
    named = urlsplit(next((found[name] for name in _NAMES[is_tls] if name in found), ""))
    return named if named.scheme == "http" and named.hostname else None


def passage(proxy: SplitResult, host: str, port: int) -> bytes:
    """What a proxy is asked, so that all that follows goes to that server."""
    at = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {at} HTTP/1.1", f"host: {at}"]
    if proxy.username is not None:
        user = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
        lines.append(f"proxy-authorization: Basic {b64encode(user.encode()).decode()}")
    return "\r\n".join([*lines, "", ""]).encode()
