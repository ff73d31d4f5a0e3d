"""The rules for locks and elections: one holder at a time, who renews a lease, and a line.

    acquire ──► held ──renew──► held ──release──► the first in line has it, with a larger fence
                  └──── the lease ends ────────►  or nobody

Only whoever still waits is served: who has given up has left the line, and who was stopped is
passed over. The holder is told when to renew, a third of the lease after it did. If that is told
late, as after a standstill of the control plane, the lease ends as much later.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from apothic_backends.commands.dicts import AcquireLock, GetHolder, ReleaseLock, RenewLock
from apothic_backends.model.dicts import LOCK, TERM, HolderSnapshot, check_key, check_lease
from apothic_backends.model.errors import ApothicError, InvalidOption, LockLost
from apothic_emulator.core.entries import Lock, SharedDict
from apothic_emulator.core.facts import Asked
from apothic_emulator.core.leases import Leases
from apothic_emulator.core.shared import Shared

Find = Callable[..., SharedDict]

GOT: Final = {LOCK: "locked", TERM: "elected"}
LET_GO: Final = {LOCK: "unlocked", TERM: "resigned"}
EXPIRED: Final = {LOCK: "lock_expired", TERM: "term_expired"}
"""What watchers are told, by kind."""

MOST_CANDIDATE: Final = 256
"""The most characters of what a holder is called, and of what it is known by."""


class Locks:
    """The rules, over the dicts that `find` finds."""

    def __init__(
        self, shared: Shared, dicts: dict[str, SharedDict], find: Find, leases: Leases
    ) -> None:
        self.shared = shared
        self.leases = leases
        self._dicts = dicts
        self._find = find
        self.commands: dict[type, Callable[[Any, Asked, float], object]] = {
            AcquireLock: self._acquire,
            RenewLock: self._renew,
            ReleaseLock: self._release,
            GetHolder: self._look,
        }

    # --- commands -------------------------------------------------------------------------------

    def _acquire(self, command: AcquireLock, asked: Asked, now: float) -> Any:
        _check_kind(command.kind)
        check_key(command.key)
        check_lease(command.lease_s)
        for what in ("holder", "candidate"):
            if not 0 < len(getattr(command, what)) <= MOST_CANDIDATE:
                raise InvalidOption(
                    f"{what} must have 1 to {MOST_CANDIDATE} characters", option=what
                )
        home = self._find(command.name, now, create=command.create)
        place = command.kind, command.key
        lock = home.locks.get(place)
        if lock is None:
            lock = home.locks[place] = Lock(home, *place)
            return self._give(lock, command, now)
        if lock.holder == command.holder:
            return lock.fence
        if command.timeout_s is not None and not command.timeout_s > 0:
            return None
        return self.shared.wait(asked, lock.waiting, command.timeout_s, now)

    def _renew(self, command: RenewLock, asked: Asked, now: float) -> Any:
        lock = self._held(command)
        if lock is None or lock.fence != command.fence:
            present = f"fence {lock.fence} has it now" if lock is not None else "nobody has it now"
            raise LockLost(
                f"fence {command.fence} does not hold the {command.kind} {command.key} of dict "
                f"{command.name} any more, and {present}: its lease was not renewed in time",
                fence=command.fence,
            )
        lock.deadline = now + lock.lease_s
        if not command.wait:
            if not lock.renewing:
                self.leases.set(lock, lock.deadline)
            return None
        self._answer_renewals(lock)
        self.leases.set(lock, now + lock.lease_s / 3)
        return self.shared.wait(asked, lock.renewing, None, now, lends=False)

    def _release(self, command: ReleaseLock, asked: Asked, now: float) -> bool:
        lock = self._held(command)
        if lock is None or lock.holder != command.holder:
            return False
        self._answer_renewals(lock)
        self._next(lock, LET_GO[lock.kind], now)
        return True

    def _look(self, command: GetHolder, asked: Asked, now: float) -> HolderSnapshot | None:
        _check_kind(command.kind)
        home = self._find(command.name, now, create=command.create)
        lock = home.locks.get((command.kind, command.key))
        return None if lock is None else HolderSnapshot(lock.candidate, lock.fence, lock.since)

    def _held(self, command: RenewLock | ReleaseLock) -> Lock | None:
        home = self._dicts.get(command.name)
        return None if home is None else home.locks.get((command.kind, command.key))

    # --- what becomes of a lock -----------------------------------------------------------------

    def due(self, lock: Lock, now: float) -> None:
        """It is time for its holder to renew, or too late for that."""
        if lock.renewing:
            self._answer_renewals(lock)
            lock.deadline = max(lock.deadline, now + lock.lease_s * 2 / 3)
        if now < lock.deadline:
            self.leases.set(lock, lock.deadline)
        else:
            self._next(lock, EXPIRED[lock.kind], now)

    def end(self, lock: Lock, error: ApothicError) -> None:
        """Its dict is deleted."""
        self.leases.drop(lock)
        self.shared.fences.take(lock.fence)
        lock.home.drop("locks", lock.fence)
        self._answer_renewals(lock, error)
        while lock.waiting:
            self.shared.answer(lock.waiting.popleft(), None, error)

    def loaded(self, lock: Lock, now: float) -> None:
        """It is back from a store, with a full new lease."""
        lock.deadline = now + lock.lease_s
        self.leases.set(lock, lock.deadline)
        self.shared.fences.give(lock.fence, lock.what)

    def _give(self, lock: Lock, command: AcquireLock, now: float) -> int:
        """Somebody has it from now on; the fence."""
        shared = self.shared
        lock.fence = fence = shared.next_rev()
        lock.holder, lock.candidate = command.holder, command.candidate
        lock.lease_s = command.lease_s
        lock.since = now + shared.feed.events.wall_offset
        lock.deadline = now + lock.lease_s
        self.leases.set(lock, lock.deadline)
        shared.fences.give(fence, lock.what)
        lock.home.keep(lock, "locks", fence)
        self._tell(lock, GOT[lock.kind], now)
        return fence

    def _next(self, lock: Lock, how: str, now: float) -> None:
        """Its holder has it no more: the first in line has, or nobody."""
        shared, home, waiting = self.shared, lock.home, lock.waiting
        shared.fences.take(lock.fence)
        home.drop("locks", lock.fence)
        self._tell(lock, how, now)
        while waiting:
            first = waiting[0]
            if shared.may_answer(first):
                waiting.popleft()
                command: Any = first.asked.command
                shared.answer(first, self._give(lock, command, now))
                return
        self.leases.drop(lock)
        del home.locks[lock.kind, lock.key]

    def _tell(self, lock: Lock, op: str, now: float) -> None:
        told = {"op": op, "key": lock.key, "rev": lock.fence, "holder": lock.candidate}
        self.shared.tell("dict.changed", lock.home.topic, now, told)

    def _answer_renewals(self, lock: Lock, error: ApothicError | None = None) -> None:
        while lock.renewing:
            self.shared.answer(lock.renewing.pop(), None, error)


def _check_kind(kind: str) -> None:
    if kind not in GOT:
        raise InvalidOption(f"kind must be {LOCK!r} or {TERM!r}, not {kind!r:.100}", option="kind")
