"""A provider over a fake of its API, as tests that know neither want it."""

from __future__ import annotations

import sys
from typing import Any, Protocol

from apothic_backends.model.functions import FunctionSpec
from apothic_backends.placement.offers import Offer
from apothic_backends.providers.base import Order, Provider, Seen
from tests.unit.backends.providers.clocks import Time

SLEEPER = (sys.executable, "-c", "import time; time.sleep(600)")

PREFIX = "apothic/a-plane/"


class Rig(Protocol):
    """One of each kind of provider."""

    time: Time
    token: str
    spec: FunctionSpec
    """A function for which it has offers."""

    @property
    def provider(self) -> Provider:
        """What is tested."""
        ...

    def offer(self) -> Offer:
        """One for the function; another at each call, where each can be had once."""
        ...

    @property
    def violations(self) -> list[str]:
        """What was asked that may not be asked."""
        ...

    @property
    def tags(self) -> list[str]:
        """Those of all machines that cost money, as the fake knows them."""
        ...

    def next(self, action: str, **fault: Any) -> None:
        """The next "create", "destroy" or "list" goes wrong: `drop`, `broken`, `garbage`, `busy`,
        or `lose_reply`.
        """
        ...

    def stranger(self) -> Provider:
        """One whose key is not good."""
        ...


def found(provider: Provider, tag: str) -> Seen | None:
    """The machine with exactly that tag, in the list of those that begin so."""
    return next((it for it in provider.list(tag).machines if it.tag == tag), None)


def order_of(rig: Rig, number: int = 1, **changes: Any) -> Order:
    """A machine for the function."""
    offer = rig.offer()
    assert offer.usd_per_hour is not None
    order = Order(
        tag=f"{PREFIX}{number}-x_Y",
        offer=offer,
        image="registry.example/agent:1",
        argv=SLEEPER,
        most_usd_per_hour=offer.usd_per_hour * 1.1,
        disk_gb=8.0,
        env={},
    )
    return order.replace(env={"APOTHIC_API_KEY": "the-key-of-one-machine"}, **changes)
