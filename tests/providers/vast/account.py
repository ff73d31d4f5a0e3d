"""What tests of the market have: its fake, a provider that speaks with it, and their time."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from apothic_backends.model.functions import FunctionSpec
from apothic_backends.placement.compiling import wish_of
from apothic_backends.placement.offers import Offer
from apothic_backends.providers.base import Order, Rented
from apothic_backends.providers.vast.provider import VastProvider
from tests.fakes.serving import served
from tests.fakes.vast.fake import KEY, FakeVast
from tests.unit.backends.providers.clocks import Time

TOKEN = "join-token-of-a-machine-4711"


class Account:
    """One account, and what is done with it."""

    def __init__(self, fake: FakeVast, time: Time) -> None:
        self.fake, self.time = fake, time
        self.provider = VastProvider(KEY, fake.url, clock=time.clock)

    def offers(self, disk_gb: float = 20, **options: Any) -> list[Offer]:
        """What could be had for a function with these options."""
        wish = wish_of(options or {"gpu": "RTX 4090"})
        spec = FunctionSpec(
            "app",
            "train",
            gpu=wish.gpu,
            gpu_count=wish.gpu_count,
            min_vram_gb=wish.min_vram_gb,
            placement=wish.placement,
        )
        return list(self.provider.offers(spec, disk_gb))

    def order(self, tag: str = "apothic/me/1", place: int = 0, **changes: Any) -> Order:
        """A machine of one of the offers."""
        offer = changes.pop("offer", None) or self._free()[place]
        order = Order(
            tag=tag,
            offer=offer,
            image="registry.example.com/agent:1",
            argv=("sleep", "600"),
            most_usd_per_hour=1.0,
            disk_gb=20,
            env={"APOTHIC_AGENT_TOKEN": TOKEN},
        )
        for name, value in changes.items():
            setattr(order, name, value)
        return order

    def _free(self) -> list[Offer]:
        """What nobody has; a search that was just made may not know."""
        taken = {str(it.offer["id"]) for it in self.fake.alive()}
        return [it for it in self.offers() if it.name not in taken]

    def rent(self, tag: str = "apothic/me/1", place: int = 0) -> Rented:
        """A machine."""
        return self.provider.create(self.order(tag, place))

    def wait(self, seconds: float) -> None:
        """So much time passes."""
        self.time.passed_s += seconds


@contextmanager
def opened(**how: Any) -> Generator[Account]:
    """An account at a fake that is made so; in the end nothing was asked that is not allowed."""
    time = Time()
    with served(FakeVast(now=time.clock.now, **how)) as fake:
        account = Account(fake, time)
        yield account
        account.provider.close()
    assert fake.violations == []
