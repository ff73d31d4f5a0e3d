"""Which control plane in the cloud is meant, and by which key it is opened."""

from __future__ import annotations

import os
import re
import secrets
from typing import Final

from apothic_backends.model.errors import UsageError
from apothic_backends.providers.fly.machines import APPS, WORKERS
from apothic_backends.remote.address import address_of
from apothic_backends.remote.profiles import CLOUD, Profile, Profiles

_DOMAIN: Final = "fly.dev"
_APP: Final = re.compile(rf"(?!{WORKERS}){APPS}[a-z0-9](?:[a-z0-9-]{{0,50}}[a-z0-9])?")


def profile_of(app: str | None) -> tuple[Profile, bool]:
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


def name_of(profile: Profile) -> str:
    """The name of its app.

    Raises:
        UsageError: its address does not tell.
    """
    name, _, domain = profile.address.host.partition(".")
    if domain != _DOMAIN:
        raise UsageError(f"{profile.url} does not tell how its app on Fly is called: say --app")
    return name
