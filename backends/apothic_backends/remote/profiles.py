"""Which servers this user knows, and the keys for them: `profiles.json` below `APOTHIC_HOME`.

A key belongs to the server that it was issued for, by scheme, host and port, and is shown to no
other. The file is its owner's alone: one that somebody else could have read or written is refused.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, cast

from apothic_backends.home import home
from apothic_backends.model.errors import InvalidOption, NotFound, UsageError
from apothic_backends.model.names import is_name
from apothic_backends.model.record import Record
from apothic_backends.private import read_private, unfit, write_private
from apothic_backends.remote.address import Address, address_of
from apothic_backends.remote.errors import KeyRefused
from apothic_backends.remote.running import key_of_running

DEFAULT_URL = "https://run.apothic.ai"
"""The one profile that is always there; it is contacted when it is chosen, and not before."""

DEFAULT = "default"
CLOUD = "cloud"
"""The name of the one that `apothic cloud up` has made."""

_MOST_KEY = 512
_WHAT = "where API keys are kept"


class Profile(Record):
    """A server under a name, and the key for it, if there is one."""

    name: str
    url: str
    api_key: str | None = None

    @property
    def address(self) -> Address:
        """The server."""
        return address_of(self.url)

    def __repr__(self) -> str:
        """All but the key."""
        return f"<Profile {self.name} {self.url}>"


class Profiles:
    """All profiles of this user."""

    def __init__(self, folder: Path | None = None) -> None:
        self.path = (folder or home()) / "profiles.json"
        """The file that they are in."""

    def list(self) -> dict[str, Profile]:
        """Every profile by name, the built-in one first.

        Raises:
            UsageError: the file is damaged, or others may read it.
        """
        found = {DEFAULT: Profile(DEFAULT, DEFAULT_URL)}
        for name, told in self._read().get("profiles", {}).items():
            found[name] = Profile(name, told["url"], told.get("api_key"))
        return found

    @property
    def chosen(self) -> Profile | None:
        """The profile that `apothic auth use` has chosen."""
        name = self._read().get("chosen")
        return None if name is None else self.list().get(name)

    def of(self, address: Address) -> Profile | None:
        """A profile with a key for that very server."""
        for profile in self.list().values():
            if profile.api_key is not None and profile.address.origin == address.origin:
                return profile
        return None

    def put(self, profile: Profile) -> None:
        """Keep a profile in place of the one of that name, if there is one.

        Raises:
            UsageError: its address is none, or its name or its key cannot be one.
        """
        if not is_name(profile.name):
            raise InvalidOption(f"{profile.name!r} is no name for a profile", option="name")
        if profile.api_key is not None:
            check_key(profile.api_key)
        told = self._read()
        kept = {"url": profile.address.url}
        if profile.api_key is not None:
            kept["api_key"] = profile.api_key
        told.setdefault("profiles", {})[profile.name] = kept
        self._write(told)

    def choose(self, name: str | None) -> None:
        """Have programs use that profile where `APOTHIC_BACKEND` is "remote".

        Raises:
            NotFound: there is none of that name.
        """
        if name is not None:
            self.get(name)
        told = self._read()
        told["chosen"] = name
        self._write(told)

    def get(self, name: str) -> Profile:
        """The profile of that name.

        Raises:
            NotFound: there is none.
        """
        known = self.list()
        if name not in known:
            raise NotFound(
                f"no profile {name!r}; there are: {', '.join(known)}", name=name, known=list(known)
            )
        return known[name]

    def delete(self, name: str) -> bool:
        """Forget a profile and its key; False if there is none."""
        told = self._read()
        was_there = told.get("profiles", {}).pop(name, None) is not None
        if told.get("chosen") == name:
            told["chosen"] = None
        self._write(told)
        return was_there

    # --- the file -------------------------------------------------------------------------------

    def _read(self) -> dict[str, Any]:
        text = read_private(self.path, _WHAT)
        if text is None:
            return {}
        try:
            told = json.loads(text)
            for profile in told.get("profiles", {}).values():
                address_of(profile["url"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            why = f"is damaged ({error}); delete it and log in again"
            raise unfit(self.path, _WHAT, why) from None
        return cast("dict[str, Any]", told)

    def _write(self, told: dict[str, Any]) -> None:
        write_private(self.path, json.dumps(told, indent=2))


def check_key(key: str) -> None:
    """See to it that a key can be sent.

    Raises:
        KeyRefused: it is empty, too long, or has characters that no key has.
    """
    if not 0 < len(key) <= _MOST_KEY or not key.isascii() or not key.isprintable() or " " in key:
        raise KeyRefused(
            f"an API key has 1 to {_MOST_KEY} letters, digits and signs, and no spaces; this one "
            f"has {len(key)} characters, maybe more than the key alone"
        )


def key_for(address: Address) -> str | None:
    """The key to show there: that of the environment if it is for this server, else a kept one.

    `APOTHIC_API_KEY` belongs to the server that `APOTHIC_BACKEND` names, and no other gets it. The
    server that runs on this machine gets its operator's.

    Raises:
        KeyRefused: `APOTHIC_API_KEY` can be no key.
        UsageError: the file of kept keys may be read by others.
    """
    key = os.environ.get("APOTHIC_API_KEY")
    if key and _is_meant(address):
        check_key(key)
        return key
    profile = Profiles().of(address)
    return key_of_running(address) if profile is None else profile.api_key


def _is_meant(address: Address) -> bool:
    """Whether the environment names that server."""
    try:
        return address_of(os.environ.get("APOTHIC_BACKEND", "")).origin == address.origin
    except UsageError:
        return False
