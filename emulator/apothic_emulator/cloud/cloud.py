"""Carries out what the core wants of providers, and tells it what has come of that.

    core ──► errand ──► lane ──► provider ──► fact ──► core

A lane is a thread that does one thing after the other. Each provider has one for each kind of
errand, so that nothing waits for anything but its like: a machine is destroyed while others are
looked for, and they are made one by one. Nothing here is done twice, or of our own accord: what
was unclear, or refused, the core hears of, and decides.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from queue import SimpleQueue
from typing import Any, Protocol

from apothic_backends.model.errors import ApothicError
from apothic_backends.providers.base import (
    Blocked,
    Order,
    Provider,
    ProviderError,
    Unclear,
    Volumes,
)
from apothic_emulator.core.facts import Asked, Input
from apothic_emulator.core.renting import (
    DeleteVolume,
    Destroy,
    Failure,
    Forget,
    ListLabels,
    ListRented,
    MachineEnded,
    MachineRented,
    MachinesSeen,
    OffersFound,
    Rent,
    RentVolume,
    SeekOffers,
    VolumeEnded,
    VolumeRented,
    VolumesSeen,
)
from apothic_emulator.unheard import Unheard

log = logging.getLogger("apothic.cloud")

_MOST_SAID, _MOST_LOGGED = 400, 4000
"""How much of the end of what a machine has printed is told to those who wait, and in the log."""

Errand = SeekOffers | Rent | Destroy | ListRented | Forget | RentVolume | DeleteVolume | ListLabels


class Papers(Protocol):
    """What a machine needs to join: made for each, and void when it is gone."""

    def order(self, rent: Rent) -> Order:
        """The order for a machine, with a token of its own in its environment."""
        ...

    def check_volume(self, rent: RentVolume) -> None:
        """See to it that a volume does not lie somewhere else, where it may have data.

        Raises:
            ProviderError: it does.
        """
        ...

    def revoke(self, tag: str) -> None:
        """Have the token of a machine hold no more; nothing happens if there is none."""
        ...

    def veiled(self, text: str) -> str:
        """A text without anything that was given to a machine to be kept secret."""
        ...


class Cloud:
    """The providers of one control plane."""

    def __init__(
        self, providers: Mapping[str, Provider], papers: Papers, post: Callable[[Input], object]
    ) -> None:
        """`post` brings what was found into the core, from any thread."""
        self._providers, self._papers, self._post = providers, papers, post
        self._lanes: dict[tuple[str, type, bool], SimpleQueue[Errand | None]] = {}
        self._is_closed = False
        self._work: dict[type, Callable[[Any], Any]] = {
            SeekOffers: self._seek,
            Rent: self._rent,
            Destroy: self._destroy,
            ListRented: self._list,
            Forget: self._forget,
            RentVolume: self._rent_volume,
            DeleteVolume: self._delete_volume,
            ListLabels: self._list_volumes,
        }

    def carry_out(self, errand: Errand) -> None:
        """Have something done; under the core's lock, so nothing is waited for."""
        is_slow = isinstance(errand, Destroy) and errand.has_failed  # its log is fetched first
        at = errand.provider, type(errand), is_slow
        lane = self._lanes.get(at)
        if lane is None:
            lane = self._lanes[at] = SimpleQueue()
            name = f"apothic-{at[0]}-{at[1].__name__.lower()}{'-failed' if is_slow else ''}"
            threading.Thread(target=self._run, args=(lane,), name=name, daemon=True).start()
        lane.put(errand)

    def close(self) -> None:
        """Begin nothing more.

        What is under way ends by itself, and nobody hears of it: it is in the books, and the next
        control plane looks.
        """
        self._is_closed = True
        for lane in self._lanes.values():
            lane.put(None)

    # --- the lanes ------------------------------------------------------------------------------

    def _run(self, lane: SimpleQueue[Errand | None]) -> None:
        while (errand := lane.get()) is not None and not self._is_closed:
            fact = self._work[type(errand)](errand)
            if fact is not None and not self._is_closed:
                self._post(Asked(fact, Unheard()))

    def _seek(self, it: SeekOffers) -> OffersFound:
        found, failure = _tried(
            lambda: tuple(self._providers[it.provider].offers(it.spec, it.disk_gb)), it
        )
        return OffersFound(it.function, it.provider, found or (), failure)

    def _rent(self, it: Rent) -> MachineRented:
        order, failure = _tried(lambda: self._papers.order(it), it)
        rented = None
        if order is not None:
            rented, failure = _tried(
                lambda: self._providers[it.provider].create(order), it, otherwise=Unclear
            )
        if failure is not None and failure.code != Unclear.code:
            _tried(lambda: self._papers.revoke(it.tag), it)
        return MachineRented(it.machine, it.provider, it.tag, rented, failure)

    def _destroy(self, it: Destroy) -> MachineEnded:
        said = self._said_by(it) if it.has_failed else ""
        _, failure = _tried(lambda: self._providers[it.provider].destroy(it.provider_id), it)
        if it.late_s:
            log.error(
                "%s: machine %s (%s) should have been gone for %.0f min and may cost still: "
                "destroy it on the provider's own page",
                *(it.provider, it.provider_id, it.tag, it.late_s / 60),
            )
        return MachineEnded(it.machine, failure, said)

    def _said_by(self, it: Destroy) -> str:
        """The end of what a machine has printed that did not come up, which is logged, too."""
        text, _ = _tried(lambda: self._providers[it.provider].logs(it.provider_id), it)
        said = self._papers.veiled(text or "").strip()
        log.warning(
            "%s: machine %s (%s) has not come up; what it has printed:\n%s",
            *(it.provider, it.provider_id, it.tag, said[-_MOST_LOGGED:] or "(nothing is known)"),
        )
        return " ".join(said.split())[-_MOST_SAID:]

    def _list(self, it: ListRented) -> MachinesSeen:
        listing, failure = _tried(lambda: self._providers[it.provider].list(it.prefix), it)
        return MachinesSeen(it.provider, it.asked_at, listing, failure)

    def _rent_volume(self, it: RentVolume) -> VolumeRented:
        _, failure = _tried(lambda: self._papers.check_volume(it), it)
        seen = None
        if failure is None:
            volumes = self._volumes(it)
            seen, failure = _tried(lambda: volumes.rent(it.order), it, otherwise=Unclear)
        return VolumeRented(it.volume, it.provider, it.order.label, seen, failure)

    def _delete_volume(self, it: DeleteVolume) -> VolumeEnded:
        volumes = self._volumes(it)
        _, failure = _tried(lambda: volumes.delete(it.provider_id), it)
        return VolumeEnded(it.volume, failure)

    def _list_volumes(self, it: ListLabels) -> VolumesSeen:
        volumes = self._volumes(it)
        listing, failure = _tried(lambda: volumes.list(it.prefix), it)
        return VolumesSeen(it.provider, it.asked_at, listing, failure)

    def _volumes(self, it: Errand) -> Volumes:
        found = self._providers[it.provider].volumes
        assert found is not None, it.provider
        return found

    def _forget(self, it: Forget) -> None:
        _tried(lambda: self._papers.revoke(it.tag), it)


def _tried(
    do: Callable[[], Any], errand: Errand, otherwise: type[ProviderError] = ProviderError
) -> tuple[Any, Failure | None]:
    """What it gives, or what has gone wrong; `otherwise` is for what nobody has foreseen."""
    try:
        return do(), None
    except ProviderError as error:
        level = logging.ERROR if isinstance(error, Blocked) else logging.INFO
        log.log(level, "%s: %s", errand.provider, error.message)
        return None, Failure(error.code, error.message, float(error.data.get("after_s") or 0.0))
    except ApothicError as error:
        log.warning("%s: %s", errand.provider, error.message)
        return None, Failure(otherwise.code, error.message)
    except Exception as error:  # whatever it is, the core has to hear of it
        log.exception("%s: %s failed", errand.provider, type(errand).__name__)
        return None, Failure(otherwise.code, f"{type(error).__name__}: {error}")
