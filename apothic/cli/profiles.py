"""What `apothic auth` does."""

from __future__ import annotations

import sys
from contextlib import closing

import click

from apothic.cli import output
from apothic.cli.command import say
from apothic.cli.wishes import Wishes
from apothic_backends.commands import GetDurability
from apothic_backends.model.errors import NotFound, UsageError
from apothic_backends.remote.address import address_of
from apothic_backends.remote.backend import open_remote
from apothic_backends.remote.profiles import Profile, Profiles, check_key

SCHEMA = "apothic.profiles.v1"


def login(asked: Wishes, *, url: str, source: str | None, name: str | None) -> None:
    """Ask for a key, see whether it holds, and keep it."""
    address = address_of(url)
    key = _key(address.url, source)
    check_key(key)
    with closing(open_remote(address.url, key)) as backend:
        backend.start(GetDurability()).wait()
    profile = Profile(name or address.host, address.url, key)
    profiles = Profiles()
    is_first = profiles.chosen is None
    profiles.put(profile)
    if is_first:
        profiles.choose(profile.name)
    say(asked, f"kept a key for {address.url} as {profile.name}{' (in use)' if is_first else ''}")


def _key(url: str, source: str | None) -> str:
    if source not in (None, "-"):
        raise UsageError("a key is not given on the command line, where others may see it: use -")
    if source == "-" or not sys.stdin.isatty():
        return sys.stdin.readline().strip()
    key: str = click.prompt(f"API key for {url}", hide_input=True, err=True)
    return key.strip()


def show(asked: Wishes) -> None:
    """List profiles."""
    profiles = Profiles()
    chosen = profiles.chosen
    found = [
        {
            "name": profile.name,
            "url": profile.url,
            "has_key": profile.api_key is not None,
            "in_use": chosen is not None and chosen.name == profile.name,
        }
        for profile in profiles.list().values()
    ]
    if asked.is_json():
        output.put(output.line_of({"schema": SCHEMA, "profiles": found}))
        return
    for told in found:
        mark = "*" if told["in_use"] else " "
        output.put(f"{mark} {told['name']}  {told['url']}{'' if told['has_key'] else '  (no key)'}")


def choose(asked: Wishes, *, name: str) -> None:
    """Choose what `remote` means."""
    Profiles().choose(name)
    say(asked, f"APOTHIC_BACKEND=remote means {name}")


def logout(asked: Wishes, *, name: str) -> None:
    """Forget a profile."""
    if not Profiles().delete(name):
        raise NotFound(f"no key was kept for {name!r}", name=name)
    say(asked, f"forgot the key for {name}")
