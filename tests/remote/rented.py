"""Control planes that run nothing themselves, and rent what they need from the two fakes.

Each has machines of its own, which begin when something is called and are gone when it ends: a
machine that is a process here joins within a fraction of a second.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from apothic_backends.model.functions import FunctionSpec
from apothic_backends.placement.offers import Offer
from apothic_backends.providers.base import Order, Provider
from apothic_backends.providers.fly.provider import FlyProvider
from apothic_backends.providers.http import Clock
from apothic_backends.providers.vast.provider import VastProvider
from apothic_emulator.agent.dead_man import NO_CONTACT_S
from apothic_emulator.cloud.cloud import Cloud
from apothic_emulator.core.facts import Input
from apothic_emulator.core.renting import Rent, RentVolume, Terms
from tests.fakes.fly.fake import FakeFly
from tests.fakes.serving import served
from tests.fakes.vast import market
from tests.fakes.vast.fake import KEY, FakeVast
from tests.remote.joined import Elsewhere
from tests.remote.serving import server

CORES, MEMORY_MB = 16, 100_000
"""What each machine gives; that is more than it is let for."""

TERMS = Terms(("fly", "vast"), max_usd_per_hour=1000.0, idle_s=3600.0)

_GIVES = ("--cpu", str(CORES), "--memory-mb", str(MEMORY_MB))
_ARGV = ("apothic", "agent", "--grace", "0", *_GIVES)


def _vast(folder: Path) -> FakeVast:
    """Machines of a few sizes, and a large one."""
    large = market.offer(999, gpu_name="H100 SXM", num_gpus=2, gpu_ram=81_559, dph_base=4.0)
    return FakeVast(folder=folder, offers=[large, *market.stock()], strict=False)


class _Large(FlyProvider):
    """Machines on which there is room for whatever a test calls at once."""

    def offers(self, spec: FunctionSpec, disk_gb: float) -> Sequence[Offer]:
        asked = spec.replace(cpu=max(spec.cpu or 1, CORES))
        return super().offers(asked, disk_gb)


class _Papers:
    """All machines of one control plane join with the same key."""

    def __init__(self, url: str, token: str, no_contact_s: float) -> None:
        self._url, self._token, self._no_contact_s = url, token, no_contact_s

    def order(self, rent: Rent) -> Order:
        env = {
            "APOTHIC_AGENT_URL": self._url,
            "APOTHIC_AGENT_TOKEN": self._token,
            "APOTHIC_MACHINE": rent.tag,
            "APOTHIC_MAX_LIFETIME_S": f"{rent.lifetime_s:g}",
            "APOTHIC_NO_CONTACT_S": f"{self._no_contact_s:g}",
        }
        what = rent.tag, rent.offer, "image", _ARGV, rent.most_usd_per_hour
        return Order(*what, rent.disk_gb, env)

    def check_volume(self, rent: RentVolume) -> None:
        """None lies anywhere else."""

    def veiled(self, text: str) -> str:
        return text.replace(self._token, "***")

    def revoke(self, tag: str) -> None:
        """The key goes with its control plane."""


class _Renting:
    """What one control plane rents with."""

    terms = TERMS

    def __init__(self, providers: Mapping[str, Provider], papers: _Papers) -> None:
        self._providers, self._papers = providers, papers

    def open(self, post: Callable[[Input], object]) -> Cloud:
        return Cloud(self._providers, self._papers, post)


class Rented:
    """The providers of a process, and one control plane at a time that rents there."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._at, self._count = folder, server(), 0
        self._undo = ExitStack()
        self.fly = self._undo.enter_context(served(FakeFly(folder / "fly")))
        self.vast = self._undo.enter_context(served(_vast(folder / "vast")))
        hasty = Clock(sleep=lambda pause_s: time.sleep(min(pause_s, 0.01)))
        fly = _Large(self.fly.token, self.fly.org, url=self.fly.url, clock=hasty)
        vast = VastProvider(KEY, self.vast.url, clock=hasty)
        self._undo.callback(fly.close)
        self._undo.callback(vast.close)
        self._providers: dict[str, Provider] = {"fly": fly, "vast": vast}

    def open(self, no_contact_s: float = NO_CONTACT_S, **how: Any) -> Elsewhere:
        """A client of a fresh control plane that has no machine yet; `how` is for its host."""
        self._count += 1
        key, token = secrets.token_hex(8), secrets.token_hex(8)
        folder = self._folder / f"plane-{self._count}"
        folder.mkdir()
        renting = _Renting(self._providers, _Papers(self._at.url, token, no_contact_s))
        plane = self._at.serve(key, folder, has_home=False, renting=renting, **how)
        self._at.joined[token] = plane

        def end() -> None:
            self._at.end(key)
            del self._at.joined[token]
            self.fly.clear()
            self.vast.clear()

        return Elsewhere(self._at, key, self._at.url, end)

    def close(self) -> None:
        """End it all; nothing may have been asked that the providers' documents do not allow."""
        self._undo.close()
        assert [*self.fly.violations, *self.vast.violations] == []
