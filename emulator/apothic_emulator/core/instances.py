"""Instances of classes: objects that live in a process elsewhere, and take calls there.

    (nothing) ──open──► live ──lost more often than max_restarts──► dead
                        │  ▲                                         │
                        │  └──────────────── restart ────────────────┘
                        └──stop──► (gone)

An instance is a function of its own, made of its class and the arguments of its constructor, and
`instances:7` is a name for it: so its calls queue, run, are retried and end as all calls do. One
with a name has one process at most, at any time: whatever takes the place of an earlier one waits
until that has finished what it works on, and has ended. With a new version of its class its id is
a name for nothing, and the next call makes it anew, out of the code that is live then; the calls
before it end in the code that they were made for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apothic_backends.commands.instances import (
    GetInstance,
    ListInstances,
    OpenInstance,
    RestartInstance,
    StopInstance,
)
from apothic_backends.model.errors import NotFound, OverLimit, UsageError
from apothic_backends.model.ids import number_of
from apothic_backends.model.instances import (
    InstanceConflict,
    InstanceDead,
    InstanceGone,
    InstanceSnapshot,
)
from apothic_backends.model.jobs import ErrorInfo, JobStatus
from apothic_backends.model.names import check_name
from apothic_emulator.core.executors import Executor, ExecutorStatus
from apothic_emulator.core.facts import Asked, Ended
from apothic_emulator.core.far import Held
from apothic_emulator.core.functions import Function
from apothic_emulator.core.instance import (
    EXPIRED,
    IDLE,
    LOST,
    Instance,
    base_of,
    code_of,
    spec_of,
)
from apothic_emulator.core.known import TABLE, Known
from apothic_emulator.core.leaving import Leaving
from apothic_emulator.core.losses import what_happened
from apothic_emulator.core.pools import Pool
from apothic_emulator.core.sandboxes import Ends, check_tags
from apothic_emulator.core.shared import Rule, Shared
from apothic_emulator.core.versions import jobs_of

SWEEP_S = 60.0
"""How often is forgotten what nobody has called for as long."""

MOST_KEY = 4096
"""Characters that may stand for the arguments of a constructor."""


class Rules(Known):
    """The rules for instances, over functions and executors."""

    def __init__(self, shared: Shared) -> None:
        super().__init__(shared)
        self.registry = shared.registry
        self.attempts = shared.callers.attempts
        self.attempts.on_instance = self.heard
        self.leaving = Leaving(shared)
        self._ends = Ends(shared.wake_at)
        self._quiet: set[int] = set()
        """Instances without a name that nobody called at the last sweep."""
        self._sweep_at = 0.0
        self.commands: Mapping[type, Rule] = {
            OpenInstance: self._open,
            GetInstance: lambda command, _, __: self.find(command.instance).snapshot(),
            ListInstances: self._list,
            StopInstance: self._stop,
            RestartInstance: self._restart,
        }

    # --- making ---------------------------------------------------------------------------------

    def _open(self, command: OpenInstance, asked: Asked, now: float) -> str:
        base = self.registry.find(command.function_id).function
        self._check(command, base)
        wanted = Instance(0, command.function_id, base.spec, now + self._offset)
        wanted.name, wanted.key, wanted.arguments = command.name, command.key, command.arguments
        wanted.tags = command.tags
        it = self._known.get(wanted.identity)
        if it is not None and it.dead and it.is_sandbox and command.key != it.key:
            self._forget(it, now)  # its name is free
            it = None
        if it is None:
            self._make(wanted, now)
            return wanted.instance_id
        if command.key != it.key and not command.whichever:
            raise InstanceConflict(
                f"there is {it.shown} already, made with other arguments ({it.instance_id}); take "
                "another name, or stop it first",
                instance_id=it.instance_id,
                name=it.name,
            )
        if it.dead:
            raise it.death()
        if "/" not in it.home:
            it.home = command.function_id  # what it is made of when it is made again
        return it.instance_id

    @property
    def _offset(self) -> float:
        return self.shared.feed.events.wall_offset

    def _check(self, command: OpenInstance, base: Function) -> None:
        cls, name = base.spec.cls, command.name
        if cls is None or cls.instance:
            raise UsageError(f"{base.spec.name!r} is no class, so there are no instances of it")
        if name is not None:
            check_name("the name of an instance", name)
        check_tags(command.tags)
        if len(command.key) > MOST_KEY:
            raise UsageError(
                f"what stands for the arguments of {base.spec.name} has {len(command.key)} "
                f"characters; {MOST_KEY} are allowed"
            )

    def _make(self, it: Instance, now: float) -> None:
        if not it.key:
            raise UsageError(
                f"there is no {it.shown}, and making it takes the arguments of its constructor"
            )
        most = self.shared.ledger.quotas.functions
        if len(self.instances) >= most:
            raise OverLimit(
                f"there are {most} instances already; stop some, or give fewer arguments",
                limit="instances",
            )
        it.number = self._last.next()
        self.instances[it.number] = self._known[it.identity] = it
        if self.shared.journal is not None:
            self.shared.journal.keep(f"{TABLE}/last", self._last)
        self._ends.expect(it, now, self._offset)
        self._tell(it, "opened", now)

    def pool_of(self, instance_id: str) -> Pool:
        """The pool of an instance, made now out of its class.

        Raises:
            InstanceGone: it was stopped, or its class is not there any more.
            InstanceDead: its process was lost too often.
        """
        it = self.find(instance_id)
        if it.dead:
            raise it.death()
        try:
            base = self.registry.find(it.home).function
        except NotFound as error:
            raise InstanceGone(
                f"{it.shown} cannot be made: {error.message}", instance_id=instance_id
            ) from None
        it.pool = self.registry.make(spec_of(it, base), code_of(it, base))
        self._bind(it, it.pool)
        self._keep(it)
        return it.pool

    def _bind(self, it: Instance, pool: Pool) -> None:
        self.registry.name(it.instance_id, pool)
        self.leaving.own(it, pool)

    def _tell(self, it: Instance, what: str, now: float) -> None:
        """It has changed: write it down, and say so."""
        self._keep(it)
        self.shared.tell("instance.changed", it.instance_id, now, {**it.about, "what": what})

    # --- leaving --------------------------------------------------------------------------------

    def moved(self, home: str, base: int, now: float) -> None:
        """A name stands for this class now: its instances are made of that when next called."""
        for it in [*self.instances.values()]:
            if it.home == home and it.pool is not None and base_of(it.pool) != base:
                self._leave(it, now)

    def dropped(self, home: str, now: float) -> None:
        """A name stands for no class any more: there are no instances of it."""
        for it in [*self.instances.values()]:
            if it.home == home:
                self._forget(it, now)

    def _leave(self, it: Instance, now: float) -> None:
        """The next call is for a new process; what waits for the old one may still have it."""
        pool = it.pool
        self.registry.name(it.instance_id, None)
        it.pool = it.held = None
        self._keep(it)
        if pool is not None:
            self.leaving.leave(pool, now)

    def _cancel_waiting(self, it: Instance, now: float) -> None:
        for job in [] if it.pool is None else jobs_of(it.pool):
            if job.status is not JobStatus.RUNNING:
                self.attempts.cancel(job, now)

    def _stop(self, command: StopInstance, asked: Asked, now: float) -> Any:
        it = self.find(command.instance)
        pool, seen = it.pool, it.snapshot()
        self._cancel_waiting(it, now)
        self._forget(it, now)
        number = 0 if pool is None else pool.function.number
        is_own = asked.origin is not None and pool and asked.origin.executor in pool.executors
        if not command.wait or is_own or number not in self.leaving.pools:
            return seen
        among = self.leaving.waits.setdefault(number, [])
        return self.shared.wait(asked, among, command.timeout_s, now, empty=seen, lends=False)

    def _forget(self, it: Instance, now: float) -> None:
        """There is no such instance from now on."""
        del self.instances[it.number], self._known[it.identity]
        self._leave(it, now)
        if self.shared.journal is not None:
            self.shared.journal.drop(f"{TABLE}/{it.number}")
        self.shared.tell("instance.deleted", it.instance_id, now, it.about)

    def _restart(self, command: RestartInstance, asked: Asked, now: float) -> InstanceSnapshot:
        it = self.find(command.instance)
        if it.is_sandbox:
            raise UsageError(f"{it.shown} is a sandbox, which is not made again; make another one")
        self._cancel_waiting(it, now)
        it.dead, it.restarts = "", 0
        self._leave(it, now)
        self._tell(it, "restarted", now)
        return it.snapshot()

    # --- processes ------------------------------------------------------------------------------

    def heard(self, executor: Executor, fact: Ended | None, now: float) -> None:
        """A process of an instance has made it; or has ended, with that fact."""
        pool = self.attempts.pools[executor.function.number]
        it = self.leaving.owners[executor.function.number]
        if fact is None and it.name is not None and it.pool is pool:
            it.held = executor.agent, executor.number, executor.gpus
            self._begin(it, now)
            self._keep(it)
        elif fact is not None and executor.function.number in self.leaving.pools:
            self.leaving.settle(pool, now)
        elif fact is not None and it.held is not None:
            it.held = None
            is_over = executor.status is ExecutorStatus.RETIRING
            if is_over and it.is_sandbox:
                self._end(it, "it had nothing to do for its idle_timeout_s", IDLE, now)
            elif is_over or not executor.loaded:
                self._keep(it)
            else:
                self._lost(it, f"its process {what_happened(executor.function, fact)}", now)

    def _begin(self, it: Instance, now: float) -> None:
        """Its time counts from now on, if it did not yet."""
        if it.began_at is None:
            it.began_at = now + self._offset
            if it.is_sandbox:
                self._ends.expect(it, now, self._offset)

    def _lost(self, it: Instance, reason: str, now: float) -> None:
        """Its state is gone."""
        it.restarts += 1
        pool = it.pool
        assert pool is not None, "what has a process has a pool"
        if not it.is_lost_too_often(pool.function.spec):
            self._tell(it, "lost", now)
            return
        self._end(it, reason, LOST, now)

    def _end(self, it: Instance, dead: str, reason: str, now: float) -> None:
        """It is dead from now on, and whoever waits for it is told."""
        it.dead, it.reason = dead, reason
        if it.pool is not None:
            error = it.death()
            told = ErrorInfo(InstanceDead.code, error.message, data=error.data)
            it.pool.queue.extend(it.pool.delayed)
            it.pool.delayed = []
            self.attempts.doom(it.pool, told, now)
        self._leave(it, now)
        if it.is_sandbox:
            self._ends.expect(it, now, self._offset)
        self._tell(it, "died", now)

    def _due(self, it: Instance, now: float, *, is_over: bool) -> None:
        """The time of a sandbox is over; or what is known of one that has ended is forgotten."""
        if it.dead:
            if is_over:
                self._forget(it, now)
            return
        assert it.expires_at is not None, "it has a time"
        if it.expires_at - self._offset > now:
            return  # it has begun since, and there is an end in mind for that
        if it.is_awaited:
            self._ends.put_off(it, now)
            return
        jobs = [] if it.pool is None else [*jobs_of(it.pool)]
        self._end(it, f"its {it.lifetime_s:g} s are over", EXPIRED, now)
        for job in jobs:
            self.attempts.cancel(job, now)

    # --- time -----------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Look after what is leaving, and forget what nobody needs."""
        self.leaving.tick(now)
        for number, is_over in self._ends.due(now):
            it = self.instances.get(number)
            if it is not None:
                self._due(it, now, is_over=is_over)
        if now >= self._sweep_at:
            self._sweep(now)
            self._sweep_at = now + SWEEP_S
        if self.instances or self.leaving.owners:
            self.shared.wake_at(self._sweep_at)

    def _sweep(self, now: float) -> None:
        quiet = {
            it.number
            for it in self.instances.values()
            if it.name is None and (it.pool is None or _is_quiet(it.pool))
        }
        for number in quiet & self._quiet:
            self._forget(self.instances[number], now)
        self._quiet = quiet - self._quiet
        used = {id(it.pool) for it in self.instances.values()}
        self.leaving.sweep(lambda pool: id(pool) in used)

    # --- what is kept ---------------------------------------------------------------------------

    def load(self, key: list[str], record: bytes, now: float) -> None:
        """Take an instance back, or the number that was given last."""
        if key == ["last"]:
            self._last.number = max(self._last.number, int(record))
            return
        it, function = Instance.load(int(key[0]), record)
        self.instances[it.number] = self._known[it.identity] = it
        self.number_after(it.number)
        if function is not None:
            it.pool = self.registry.pools[function]

    def loaded(self, now: float) -> None:
        """All records are back: what has state elsewhere is looked for, and what was here is not.

        Functions of instances that are no more have nothing but jobs that have ended.
        """
        for it in self.instances.values():
            if it.pool is not None:
                self._bind(it, it.pool)
        for pool in [*self.registry.pools.values()]:
            self._adopt(pool, now)
        for it in [*self.instances.values()]:
            if it.held is not None and it.pool is not None and not it.pool.executors:
                self._seek(it, it.pool, it.held, now)
            if it.is_sandbox:
                self._ends.expect(it, now, self._offset)

    def _adopt(self, pool: Pool, now: float) -> None:
        """A pool that its instance has left before the restart."""
        spec, cls = pool.function.spec, pool.function.spec.cls
        if cls is None or not cls.instance or pool.function.number in self.leaving.owners:
            return
        number = number_of(cls.instance, TABLE)
        it = self.instances.get(number) or Instance(number, "", spec, 0.0)
        it.name = cls.name
        self.leaving.own(it, pool)
        self.leaving.pools[pool.function.number] = pool
        heir = self._known.get(it.identity) if it.name is not None else None
        if heir is not None and heir.pool is not None:
            heir.pool.behind.append(pool)
        self.shared.wake_at(now)

    def _seek(self, it: Instance, pool: Pool, held: Held, now: float) -> None:
        it.held = None
        if not self.attempts.await_executor(pool, held, now):
            self._lost(it, "the control plane has ended, and its process with it", now)
        else:
            it.held = held

    def check(self) -> None:
        """See to it that everything agrees; for tests."""
        for it in self.instances.values():
            assert self._known[it.identity] is it, "another of the same identity"
            if it.pool is not None:
                assert not it.dead, "dead, and called"
                assert self.registry.find(it.instance_id) is it.pool, "another pool"
                assert self.leaving.owners[it.pool.function.number] is it, "another's pool"
        self.leaving.check()


def _is_quiet(pool: Pool) -> bool:
    return not (pool.executors or pool.queue or pool.delayed or pool.room)
