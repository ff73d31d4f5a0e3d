"""The provider of Vast's market over the fake, for what all providers have to do."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from apothic_backends.model.functions import FunctionSpec
from apothic_backends.placement.offers import Offer
from apothic_backends.providers.vast.provider import VastProvider
from tests.fakes.serving import served
from tests.fakes.vast.fake import KEY, FakeVast
from tests.unit.backends.providers.clocks import Time


class VastRig:
    """`fake` is the other side; offers are let once."""

    def __init__(self, fake: FakeVast, time: Time) -> None:
        self.fake, self.time, self.token = fake, time, KEY
        self.provider = VastProvider(KEY, fake.url, clock=time.clock)
        self.spec = FunctionSpec("an-app", "a_function", gpu=("RTX 3090", "RTX 4090"), gpu_count=1)
        self._used: set[str] = set()

    def offer(self) -> Offer:
        """One that was not given yet."""
        offers = self.provider.offers(self.spec, 8.0)
        offer = next(it for it in offers if it.name not in self._used)
        self._used.add(offer.name)
        return offer

    @property
    def violations(self) -> list[str]:
        return self.fake.violations

    @property
    def tags(self) -> list[str]:
        return [it.label or "" for it in self.fake.alive()]

    def next(self, action: str, **fault: Any) -> None:
        self.fake.next(action, **fault)

    def stranger(self) -> VastProvider:
        return VastProvider("key-of-somebody-else", self.fake.url, clock=self.time.clock)


@contextmanager
def vast_rig(folder: Path) -> Generator[VastRig]:
    """A provider and its fake, whose machines run what they are told."""
    time = Time()
    with served(FakeVast(folder=folder / "machines", now=time.clock.now)) as fake:
        rig = VastRig(fake, time)
        yield rig
        rig.provider.close()
