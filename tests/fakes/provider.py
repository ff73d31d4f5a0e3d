"""A provider in memory: machines that are rented at once, and errors that tests have asked for."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from itertools import count
from typing import Any

from apothic_backends.model.functions import FunctionSpec
from apothic_backends.placement.offers import Offer
from apothic_backends.providers.base import RUNNING, Listing, OfferGone, Order, Rented, Seen


def offer(price: float = 0.5) -> Offer:
    """A machine for functions without GPUs."""
    size = {"cpu_cores_effective": 4.0, "cpu_ram_effective": 8192, "disk_space": 100.0}
    return Offer("one", {"dph_total": price, "num_gpus": 0, **size})


class MemoryProvider:
    """Any number of machines, at `price`; `next` has what a call raises instead, by its name."""

    name = "memory"
    volumes = None

    def __init__(self, price: float = 0.5) -> None:
        self.price = price
        self.orders: list[Order] = []
        self.machines: dict[str, Seen] = {}
        self.next: dict[str, deque[Exception]] = {}
        self.stubborn = 0
        """How many calls to destroy do nothing."""
        self.is_open, self.printed = True, ""
        self.may_go_on = threading.Event()
        """Unless it is set, offers are not told of."""
        self.may_go_on.set()
        self._ids = count(1)
        self._lock = threading.Lock()

    def fail(self, call: str, *errors: Exception) -> None:
        """Have the next calls of a kind raise."""
        self.next.setdefault(call, deque()).extend(errors)

    def _begin(self, call: str) -> None:
        errors = self.next.get(call)
        if errors:
            raise errors.popleft()

    def offers(self, spec: FunctionSpec, disk_gb: float) -> Sequence[Offer]:
        assert self.may_go_on.wait(30)
        self._begin("offers")
        return [offer(self.price)]

    def create(self, order: Order) -> Rented:
        self._begin("create")
        if order.most_usd_per_hour < self.price:
            raise OfferGone("it costs more by now", provider=self.name)
        with self._lock:
            provider_id = f"m{next(self._ids)}"
            self.orders.append(order)
            self.machines[provider_id] = Seen(provider_id, order.tag, RUNNING, "", self.price)
        return Rented(provider_id, self.price, "host")

    def find(self, tag: str) -> Seen | None:
        return next((it for it in self.machines.values() if it.tag == tag), None)

    def list(self, prefix: str) -> Listing:
        self._begin("list")
        return Listing(tuple(it for it in self.machines.values() if it.tag.startswith(prefix)))

    def destroy(self, provider_id: str) -> None:
        self._begin("destroy")
        if self.stubborn:
            self.stubborn -= 1
            return
        self.machines.pop(provider_id, None)

    def logs(self, provider_id: str) -> str:
        self._begin("logs")
        return self.printed

    def close(self) -> None:
        self.is_open = False


def order(tag: str = "apothic/p/1", **changes: Any) -> Order:
    """An order like any other."""
    fields: dict[str, Any] = {
        "tag": tag,
        "offer": Offer("one", {}),
        "image": "image",
        "argv": ("true",),
        "most_usd_per_hour": 1.0,
        "disk_gb": 16.0,
        "env": {},
    }
    return Order(**(fields | changes))
