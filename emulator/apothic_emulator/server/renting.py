"""What a server rents machines with: the terms, the providers, and what each machine is given."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final

from apothic_backends.model.machines import CloudSnapshot
from apothic_backends.model.masks import MASK, Masks
from apothic_backends.model.record import Record
from apothic_backends.model.volumes import HOST, LOCAL_FOLDER, LOCAL_VOLUME
from apothic_backends.providers.base import Login, Mount, NoCapacity, Order, Provider
from apothic_backends.providers.opening import open_provider
from apothic_emulator.agent import own
from apothic_emulator.agent.dead_man import NO_CONTACT_S
from apothic_emulator.cloud.cloud import Cloud
from apothic_emulator.core.facts import Input
from apothic_emulator.core.hellos import Capacity
from apothic_emulator.core.renting import Rent, RentVolume, Terms
from apothic_emulator.server.keys import TOKEN, Keys
from apothic_emulator.server.settings import Settings

ARGV: Final = ("apothic", "agent")
"""What a machine runs. All else that it is told is in its environment."""

FOLDER: Final = "/apothic-volume"
"""Where a machine has the volume that lies on its host. No image has such a folder: it is there
only if the volume is."""

BOOT_S: Final = 3600.0
"""How much longer than its machine may live the key of one holds: it takes a while to come up."""


class Place(Record):
    """What all machines are told: where this server is, what image they run, how long they wait."""

    url: str
    image: str
    no_contact_s: float
    login: Login | None = None
    """Opens the registry of images."""


def place_of(settings: Settings, near: str) -> Place:
    """What all machines of a server are told; `near` is how programs of this machine find it."""
    url = settings.machine_url or (f"https://{settings.hosts[0]}" if settings.hosts else near)
    no_contact_s = max(NO_CONTACT_S, 2 * settings.agent_lease_s)
    return Place(url, settings.machine_image, no_contact_s, settings.registry)


def terms_of(settings: Settings) -> Terms:
    """What may be rented, and for what: if functions run here, for those that do not fit here."""
    assert settings.terms is not None
    here = Capacity(own.cores(), own.memory_mb(), offer=own.told())
    return settings.terms.replace(home=here if settings.has_agent else None)


def open_all(settings: Settings) -> dict[str, Provider]:
    """The providers that may be rented from, with the keys of the environment.

    Raises:
        KeyRefused: the key of one is missing.
        UsageError: it cannot be one, or `apothic[cloud]` is not installed.
    """
    names = () if settings.terms is None else settings.terms.providers
    return {name: open_provider(name, os.environ) for name in names}


def still_rented(cloud: CloudSnapshot, now: float) -> str | None:
    """What to say at a start: what machines cost that went on meanwhile. None if none did."""
    if not cloud.machines:
        return None
    usd = sum(it.usd_per_hour * max(0.0, now - it.created_at) / 3600 for it in cloud.machines)
    since = datetime.fromtimestamp(min(it.created_at for it in cloud.machines), UTC)
    many = len(cloud.machines)
    return (
        f"{many} machine{'s are' if many > 1 else ' is'} rented still, for "
        f"${cloud.usd_per_hour:.3f} an hour: about ${usd:.3f} since {since:%Y-%m-%d %H:%M} UTC"
    )


class Papers:
    """A key for each machine, of the scope agent: named by its tag, and revoked when it is gone."""

    def __init__(self, keys: Keys, account: str, place: Place, clock: Callable[[], float]) -> None:
        """`clock` is Unix time."""
        self._keys, self._account, self._place, self._clock = keys, account, place, clock
        self.host_of: Callable[[str], str | None] = lambda _: None
        """On which host a volume lies, by its name; None for one that nobody has mounted yet."""

    def order(self, rent: Rent) -> Order:
        """The order for a machine, with a new key that holds for as long as it may live.

        Raises:
            StoreError: the key cannot be kept.
        """
        ttl_s = rent.lifetime_s + BOOT_S
        name = _name_of(rent.tag)
        _, token = self._keys.create(
            self._account, ("agent",), self._clock(), name=name, ttl_s=ttl_s
        )
        env = {
            "APOTHIC_AGENT_URL": self._place.url,
            "APOTHIC_AGENT_TOKEN": token,
            "APOTHIC_MACHINE": rent.tag,
            "APOTHIC_MAX_LIFETIME_S": f"{rent.lifetime_s:g}",
            "APOTHIC_NO_CONTACT_S": f"{self._place.no_contact_s:g}",
        }
        image = self._place.image
        if rent.image is not None:
            image, env["APOTHIC_MACHINE_IMAGE"] = rent.image.reference, rent.image.digest
        mount = None
        if rent.volume is not None:
            mount = Mount(rent.volume.provider_id, FOLDER)
            env |= {LOCAL_VOLUME: rent.volume.name, LOCAL_FOLDER: FOLDER}
            env[HOST] = f"{rent.provider}-{rent.volume.host}"
        return Order(
            *(rent.tag, rent.offer, image, ARGV),
            *(rent.most_usd_per_hour, rent.disk_gb, env),
            login=self._login(image),
            volume=mount,
        )

    def _login(self, image: str) -> Login | None:
        """What opens the registry of an image, if it is that one: nobody else hears of it."""
        login = self._place.login
        return login if login is not None and image.startswith(f"{login.host}/") else None

    def veiled(self, text: str) -> str:
        """A text without keys, and without the password of the registry."""
        login = self._place.login
        passwords = () if login is None else (login.password,)
        return TOKEN.sub(MASK, Masks(passwords).text(text))

    def check_volume(self, rent: RentVolume) -> None:
        """See to it that a volume does not lie somewhere else, where it may have data.

        Raises:
            NoCapacity: it does.
        """
        host = self.host_of(rent.name)
        if host is not None:
            raise NoCapacity(
                f"volume {rent.name} lies on {host}, and a new one would be empty: have that host "
                f"back, or give up all that is in it, with `apothic volume rm -r {rent.name}`",
                provider=rent.provider,
            )

    def revoke(self, tag: str) -> None:
        """Have the key of a machine hold no more; nothing happens if there is none.

        Raises:
            StoreError: that cannot be kept; then it holds as before.
        """
        name = _name_of(tag)
        for key in self._keys.listed():
            if key.account == self._account and key.name == name and key.scopes == ("agent",):
                self._keys.revoke(key.key_id)


def _name_of(tag: str) -> str:
    """How the key of a machine is called: names of keys have no `/`."""
    return tag.replace("/", ".")


class Renting:
    """What one account of a server rents with."""

    def __init__(self, terms: Terms, providers: Mapping[str, Provider], papers: Papers) -> None:
        self.terms = terms
        self._providers, self.papers = providers, papers

    def open(self, post: Callable[[Input], object]) -> Cloud:
        """What carries out what its core wants; `post` brings in what comes of that."""
        return Cloud(self._providers, self.papers, post)
