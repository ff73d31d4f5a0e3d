"""The provider of Fly's machines over the fake."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from apothic_backends.model.functions import FunctionSpec
from apothic_backends.placement.offers import Offer
from apothic_backends.providers.fly.machines import TAG
from apothic_backends.providers.fly.provider import FlyProvider
from tests.fakes.fly.fake import FakeFly
from tests.fakes.serving import served
from tests.providers.rigs import Rig
from tests.unit.backends.providers.clocks import Time


class FlyRig:
    """`fake` is the other side."""

    def __init__(self, fake: FakeFly, time: Time) -> None:
        self.fake, self.time, self.token = fake, time, fake.token
        self.provider = self._provider(fake.token)
        self.spec = FunctionSpec("an-app", "a_function", memory_mb=512)

    def offer(self) -> Offer:
        return self.provider.offers(self.spec, 8.0)[0]

    def _provider(self, token: str) -> FlyProvider:
        return FlyProvider(token, self.fake.org, url=self.fake.url, clock=self.time.clock)

    @property
    def violations(self) -> list[str]:
        return self.fake.violations

    @property
    def tags(self) -> list[str]:
        return [str(it.config["metadata"][TAG]) for it in self.fake.machines]

    def next(self, action: str, **fault: Any) -> None:
        self.fake.faults.next(action, **fault)

    def stranger(self) -> FlyProvider:
        return self._provider("fm2_of-somebody-else")


@contextmanager
def faked(folder: Path | None = None, **how: Any) -> Generator[tuple[FakeFly, Time]]:
    """A fake in virtual time."""
    time = Time()
    clock = time.clock
    with served(FakeFly(folder, now=clock.now, sleep=clock.sleep, **how)) as fake:
        yield fake, time


@contextmanager
def fly_rig(folder: Path) -> Generator[Rig]:
    """A provider and its fake, whose machines run what they are told."""
    with faked(folder / "machines", is_limited=True) as (fake, time):
        rig = FlyRig(fake, time)
        yield rig
        rig.provider.close()
