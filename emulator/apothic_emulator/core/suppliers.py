"""Providers, as far as they have to be remembered: when to list what is theirs, who is blocked."""

from __future__ import annotations

from apothic_backends.model.costs import NANO
from apothic_backends.model.machines import ProviderSnapshot
from apothic_emulator.core.jobs import NEVER
from apothic_emulator.core.renting import Failure, ListRented

LIST_S = 300.0
"""How often all machines are listed."""

LOOK_S = 15.0
"""How often they are while it is not known of some whether they are there."""

BLOCK_S = 300.0
"""How long nothing is asked of a provider that gives none to this account."""

BUSY_S = 10.0
"""How long nothing is at the least, when it wants to be asked later."""

BLOCKED, BUSY = "cloud_blocked", "provider_busy"
NOT_MADE = frozenset(("offer_gone", "no_capacity", BLOCKED, BUSY))
"""What is wrong where a machine has certainly not been made."""


class Supplier:
    """One provider."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.list_at = NEVER
        """When to list its machines next."""
        self.asked_at: float | None = None
        """When it was asked to list them, if it has not answered yet."""
        self.is_hurried = False
        """Whether that is urgent, since it was asked last."""
        self.listed_at = -NEVER
        """When it was asked for the last listing that was whole."""
        self.until = -NEVER
        """Nothing is rented before."""
        self.blocked = self.note = ""
        """Why it gives nothing; and why its machines are not known."""

    def look_by(self, moment: float) -> float:
        """List its machines by then, but not too often; gives when that will be."""
        if self.asked_at is None:
            self.list_at = min(self.list_at, max(moment, self.listed_at + LOOK_S))
        self.is_hurried = self.asked_at is not None
        return self.list_at

    def ask(self, prefix: str, now: float) -> ListRented:
        """It is asked for them."""
        self.asked_at, self.list_at, self.is_hurried = now, NEVER, False
        return ListRented(self.name, prefix, now)

    def go_on(self, now: float, after_s: float) -> float:
        """It has answered: it is asked again after that, or before if somebody wants to know."""
        self.asked_at = None
        self.list_at = now + (LOOK_S if self.is_hurried else after_s)
        return self.list_at

    def hear(self, failure: Failure, now: float) -> None:
        """It may be that nothing can be had of it for a while."""
        if failure.code == BLOCKED:
            self.blocked, self.until = failure.message, now + max(BLOCK_S, failure.after_s)
        elif failure.code == BUSY:
            self.until = max(self.until, now + max(BUSY_S, failure.after_s))

    def why_not(self, now: float) -> str:
        """Why nothing can be had of it now; it is tried again after a while."""
        if now < self.until:
            return self.blocked or "it wants to be asked later"
        self.blocked = ""
        return ""

    def snapshot(self, machines: int, rate: int, now: float, offset: float) -> ProviderSnapshot:
        """As people see it."""
        seen_at = None if self.listed_at < 0 else self.listed_at + offset
        blocked = self.blocked if now < self.until else ""
        return ProviderSnapshot(self.name, machines, rate / NANO, blocked, seen_at, self.note)
