"""Which servers this user knows, and the keys for them: `profiles.json` below `APOTHIC_HOME`.

A key belongs to the server that it was issued for, by scheme, host and port, and is shown to no
other. The file is its owner's alone: one that somebody else could have read or written is refused.
"""

from __future__ import annotations

import json
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from apothic_backends.home import home
from apothic_backends.model.errors import InvalidOption, NotFound, UsageError
from apothic_backends.model.names import is_name
from apothic_backends.model.record import Record
from apothic_backends.remote.address import Address, address_of
from apothic_backends.remote.errors import KeyRefused

DEFAULT_URL = "https://run.apothic.ai"
"""The one profile that is always there; it is contacted when it is chosen, and not before."""

DEFAULT = "default"
_MOST_KEY = 512


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
        self._path = (folder or home()) / "profiles.json"

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
        try:
            fd = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise self._unfit(f"cannot be read ({error.strerror or error})") from None
        with os.fdopen(fd, encoding="utf-8") as file:
            self._check(os.fstat(fd))
            try:
                told = json.load(file)
                for profile in told.get("profiles", {}).values():
                    address_of(profile["url"])
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise self._unfit(f"is damaged ({error}); delete it and log in again") from None
        return cast("dict[str, Any]", told)

    def _check(self, found: os.stat_result) -> None:
        """See to it that nobody else could have read or written it."""
        if found.st_uid != os.geteuid():
            raise self._unfit(f"belongs to user {found.st_uid}")
        mode = stat.S_IMODE(found.st_mode)
        if mode & 0o077:
            raise self._unfit(
                f"may be read by others (mode {mode:04o}), so its keys may be known: revoke them, "
                f"or run `chmod 600 {self._path}` if nobody else uses this machine"
            )

    def _unfit(self, why: str) -> UsageError:
        return UsageError(f"{self._path}, where API keys are kept, {why}", path=str(self._path))

    def _write(self, told: dict[str, Any]) -> None:
        """All of it or nothing, and for nobody else to read."""
        made = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        with suppress(FileNotFoundError):
            made.unlink()
        fd = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            json.dump(told, file, indent=2)
            file.flush()
            os.fsync(fd)
        made.replace(self._path)


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

    `APOTHIC_API_KEY` belongs to the server that `APOTHIC_BACKEND` names, and no other gets it.

    Raises:
        KeyRefused: `APOTHIC_API_KEY` can be no key.
        UsageError: the file of kept keys may be read by others.
    """
    key = os.environ.get("APOTHIC_API_KEY")
    if key and _is_meant(address):
        check_key(key)
        return key
    profile = Profiles().of(address)
    return None if profile is None else profile.api_key


def _is_meant(address: Address) -> bool:
    """Whether the environment names that server."""
    try:
        return address_of(os.environ.get("APOTHIC_BACKEND", "")).origin == address.origin
    except UsageError:
        return False
