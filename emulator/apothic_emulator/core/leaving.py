"""What instances leave behind: processes that have to end, and functions that nobody calls."""

from __future__ import annotations

from collections.abc import Callable

from apothic_emulator.core.executors import ExecutorStatus
from apothic_emulator.core.instance import Instance, base_of
from apothic_emulator.core.pools import Pool
from apothic_emulator.core.shared import Shared, SharedWait

LOOK_S = 0.1
"""How often it is looked whether a process that has to end has finished what it works on."""


class Leaving:
    """Pools of instances: whose each is, and those that were left, till all in them has ended."""

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        self.registry = shared.registry
        self.scheduler = shared.callers.scheduler
        self.owners: dict[int, Instance] = {}
        """Whose pool each is or was, by the number of its function."""
        self.pools: dict[int, Pool] = {}
        """Those that were left, by the same."""
        self.waits: dict[int, list[SharedWait]] = {}
        """Who waits for the end of one of these."""

    def own(self, it: Instance, pool: Pool) -> None:
        """A pool is that of an instance from now on."""
        number = pool.function.number
        self.owners[number] = it
        self.registry.deployed[number] += 1  # so that it is kept, and nobody else's
        above = self.registry.pools.get(base_of(pool))
        if above is not None:
            above.derived.append(pool)
        if it.name is not None:
            pool.behind = [old for old in self.pools.values() if self._was_of(old, it)]

    def _was_of(self, pool: Pool, it: Instance) -> bool:
        other = self.owners[pool.function.number]
        return other.name is not None and other.identity == it.identity

    def leave(self, pool: Pool, now: float) -> None:
        """Nothing new comes into a pool; what waits in it may still have its process."""
        self.pools[pool.function.number] = pool
        self.shared.admission.ask_again(pool, now)
        self.settle(pool, now)
        self.shared.wake_at(now + LOOK_S)

    def settle(self, pool: Pool, now: float) -> None:
        """Let the processes of a pool that was left end when they have nothing more to do."""
        if pool.queue or pool.delayed:
            return
        for executor in [*pool.executors.values()]:
            if executor.status is ExecutorStatus.READY and not executor.line:
                self.scheduler.retire(executor, now)
        if not pool.executors:
            self._left(pool, now)

    def _left(self, pool: Pool, now: float) -> None:
        """Nothing of it is left: whoever waits for that may go on."""
        del self.pools[pool.function.number]
        for wait in self.waits.pop(pool.function.number, []):
            self.shared.answer(wait, wait.empty)
        for number in self.owners:
            other = self.registry.pools[number]
            if pool in other.behind:
                other.behind.remove(pool)
                self.scheduler.fill(other, now)

    def tick(self, now: float) -> None:
        """Look after all of them."""
        for pool in [*self.pools.values()]:
            self.settle(pool, now)
        if self.pools:
            self.shared.wake_at(now + LOOK_S)

    def sweep(self, is_used: Callable[[Pool], bool]) -> None:
        """Forget the functions that are used no more, and of which no job is known."""
        pools = self.registry.pools
        left = {
            number
            for number in self.owners
            if number not in self.pools and not is_used(pools[number])
        }
        if left:
            left -= {job.function.number for job in self.shared.ledger.jobs.values()}
        for number in left:
            self._forget(pools[number], self.owners.pop(number))

    def _forget(self, pool: Pool, it: Instance) -> None:
        for above in self.registry.pools.values():
            if pool in above.derived:
                above.derived.remove(pool)
        del self.registry.deployed[pool.function.number]
        self.registry.forget(pool.function.number)

    def check(self) -> None:
        """See to it that no name has two processes; for tests."""
        writers: dict[tuple[str, str, str], int] = {}
        for number, it in self.owners.items():
            if it.name is not None:
                count = len(self.registry.pools[number].executors)
                writers[it.identity] = writers.get(it.identity, 0) + count
        assert all(count <= 1 for count in writers.values()), f"two processes: {writers}"
