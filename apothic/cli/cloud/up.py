"""What `apothic cloud up` does: a control plane on Fly, made once, and what it is changed into.

    profile with the address and the key ──► app ──► secrets ──► volume ──► machine ──► addresses
                                                                               └──► it answers

The key is kept before anything is made, so that what was made in part is found again: whoever ends
in the middle runs the same command once more.
"""

from __future__ import annotations

import os
import socket
import ssl
import threading
from collections.abc import Sequence
from contextlib import closing
from difflib import get_close_matches
from typing import Final

from apothic.cli import output
from apothic.cli.cloud.bucket import check_bucket, check_move
from apothic.cli.cloud.image import source_of
from apothic.cli.cloud.machine import NAME, Wanted, config_of, secrets_of
from apothic.cli.cloud.profile import name_of, profile_of
from apothic.cli.cloud.providers import PREFIX, fly, names_here, opened
from apothic.cli.cloud.sweep import confirm
from apothic.cli.command import say
from apothic.cli.wishes import Wishes
from apothic_backends.commands import GetDurability
from apothic_backends.commands.machines import AllowMachines
from apothic_backends.model.errors import ApothicError, BackendError, UsageError
from apothic_backends.providers.base import Blocked, ProviderError
from apothic_backends.providers.fly.app import FlyApp
from apothic_backends.providers.fly.sizes import REGIONS, Guest, storage_usd_per_hour, usd_per_hour
from apothic_backends.providers.opening import check
from apothic_backends.remote.backend import open_remote
from apothic_backends.remote.profiles import Profile, Profiles

SCHEMA = "apothic.cloud-up.v1"

IPV4_USD_PER_MONTH: Final = 2.0
"""What an IPv4 address costs that nobody else has."""

REGION: Final = "iad"
"""Where it is made if nothing is said."""

_VOLUME: Final = "apothic_data"
_FIRST_SERVICE: Final = 10_000
"""The port of the first service: from there on Fly has always let ports through."""

_REACH_S: Final = 10.0
_TRIES: Final = 5
_PAUSE_S: Final = 5.0
_HOURS: Final = 720


class NotUp(BackendError):
    """The control plane was made, and does not answer."""

    code = "not_up"


def up(
    asked: Wishes,
    *,
    app: str | None,
    image: str | None,
    base: str | None,
    registry: str | None,
    region: str | None,
    providers: tuple[str, ...],
    max_usd_per_hour: float,
    memory_mb: int,
    volume_gb: int,
    volume_bucket: str,
    services: int,
    own_ipv4: bool,
    more: tuple[str, ...],
    yes: bool,
) -> None:
    """Make a control plane, or have the one that is there be what is asked for."""
    rented = providers or names_here()
    for name in (*rented, "fly"):
        check(name, os.environ)
    check_bucket(asked, volume_bucket, more)
    check_region(region)
    check_keys(asked, rented)
    profile, is_new = profile_of(app)
    guest = Guest("shared", 1, memory_mb)
    ports = range(_FIRST_SERVICE, _FIRST_SERVICE + services)
    what = (region or "", guest, volume_gb, volume_bucket, ports, own_ipv4, more)
    wanted = Wanted(rented, max_usd_per_hour, *what)
    if is_new:
        _ask(profile, wanted, yes=yes)
    image_in = source_of(asked, image, base, registry, rented)
    Profiles().put(profile)
    with fly() as api:
        its = FlyApp(api, app or name_of(profile))
        say(asked, f"app {its.name}")
        its.ensure()
        if own_ipv4 and not is_new and not its.has_own_ipv4():
            its_cost = f"{IPV4_USD_PER_MONTH:g} USD a month"
            question = f"Give {profile.url} an IPv4 address of its own, for {its_cost}?"
            confirm(question, yes=yes, way_out="say --yes")
        check_move(asked, profile, its.config_of(NAME), volume_bucket)
        _make(asked, its, profile, wanted, image_in(its.name))
    _until_it_answers(asked, profile)
    if not profile.address.is_loopback:
        _look_at(asked, profile.address.host, ports[0])
    _tell(asked, profile, is_new=is_new)


def _make(asked: Wishes, its: FlyApp, profile: Profile, wanted: Wanted, image: str) -> None:
    """Have the app be what is wanted."""
    version = its.set_secrets(secrets_of(profile, wanted))
    disk = its.ensure_volume(_VOLUME, wanted.region or REGION, wanted.volume_gb, wanted.guest)
    if wanted.region not in ("", disk.region):
        moved = "to have it elsewhere, `apothic cloud down` and begin anew"
        say(asked, f"its volume is in {disk.region}, and stays there, so its machine does: {moved}")
    if disk.size_gb > wanted.volume_gb:
        say(asked, f"its volume has {disk.size_gb} GB, and cannot become smaller")
    told = f"a machine in {disk.region} with the volume {disk.id}, {disk.size_gb} GB"
    say(asked, f"{told}; a large image takes a while")
    its.ensure_machine(NAME, disk.region, config_of(profile, wanted, image, disk), version)
    its.ensure_addresses(own_ipv4=wanted.own_ipv4)


def check_region(region: str | None) -> None:
    """See to it that there is such a region.

    Raises:
        UsageError: there is none that is known here.
    """
    if region is None or region in REGIONS:
        return
    close = get_close_matches(region, REGIONS, n=1)
    meant = f"did you mean {close[0]}? " if close else ""
    raise UsageError(f"--region {region}: {meant}There are: {', '.join(sorted(REGIONS))}")


def check_keys(asked: Wishes, rented: Sequence[str]) -> None:
    """See to it that the providers take their keys, before anything is made.

    Raises:
        Blocked: one does not.
    """
    for name in rented:
        with closing(opened(name)) as provider:
            try:
                provider.list(f"{PREFIX}-/")
            except Blocked:
                raise
            except ProviderError as error:
                say(asked, f"whether {name} takes its key is not known: {error.message}")


def _usd_per_month(wanted: Wanted) -> float:
    """What it costs in 30 days, without what it rents."""
    hour = usd_per_hour(wanted.guest, wanted.region or REGION) + storage_usd_per_hour(
        8 + wanted.volume_gb
    )
    return _HOURS * hour + (IPV4_USD_PER_MONTH if wanted.own_ipv4 else 0.0)


def _ask(profile: Profile, wanted: Wanted, *, yes: bool) -> None:
    """Have a person agree to what it costs."""
    confirm(
        f"Make {profile.url}, for about {_usd_per_month(wanted):.2f} USD in 30 days, which may "
        f"rent machines for up to {wanted.max_usd_per_hour:g} USD an hour?",
        yes=yes,
        way_out="say --yes",
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
    say(asked, f"APOTHIC_BACKEND=cloud means it from now on, with the key in {Profiles().path}")
