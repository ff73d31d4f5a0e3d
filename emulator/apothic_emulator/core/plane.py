"""The control plane's one entrance: hands each input to the rule that owns it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from apothic_backends.commands import (
    CancelJob,
    GetDurability,
    HoldJob,
    KeepJob,
    OpenItems,
    ReadItems,
    RegisterFunction,
    ReleaseJob,
    RunJob,
    SubmitJob,
    WaitJob,
)
from apothic_backends.model.errors import ApothicError, InternalError, UsageError
from apothic_backends.model.ids import number_of
from apothic_emulator.core.admission import Admission
from apothic_emulator.core.agents import Agents
from apothic_emulator.core.callers import Callers
from apothic_emulator.core.costs import Costs, PriceOf
from apothic_emulator.core.effects import LATER, Outcome
from apothic_emulator.core.executors import IDLE_S, Executor
from apothic_emulator.core.facts import (
    Accepted,
    Asked,
    Ended,
    GivenUp,
    Input,
    Loaded,
    LoadFailed,
    Prepared,
    Printed,
    Produced,
    Recalled,
    Refused,
    Reported,
    Said,
    StackDumped,
    Tick,
)
from apothic_emulator.core.far import FarAttempts
from apothic_emulator.core.fleet import Fleet
from apothic_emulator.core.floors import FLOOR, PUT_BACK, Floor, floor_at, floor_in, is_put_back
from apothic_emulator.core.functions import NOTHING
from apothic_emulator.core.hellos import GRACE_S, LEASE_S
from apothic_emulator.core.items import Items
from apothic_emulator.core.jobs import NEVER
from apothic_emulator.core.journal import Journal
from apothic_emulator.core.keeping import Keeping, sort_out
from apothic_emulator.core.ledger import Ledger
from apothic_emulator.core.operations import ForgetOperations, Operations, UndoOperations
from apothic_emulator.core.prints import Prints
from apothic_emulator.core.queries import Queries
from apothic_emulator.core.quotas import DEFAULT, Quotas
from apothic_emulator.core.records import Change
from apothic_emulator.core.registry import Registry
from apothic_emulator.core.schedules import Calendar, NoCalendar, Schedules
from apothic_emulator.core.shared import Shared

NO_CHANGES: list[Change] = []

Rule = Callable[[Any, Asked, float], object]


class Plane:
    """State and rules. `alarm` is when to step with a `Tick` at the latest.

    `wall_offset` is what Unix time is ahead of its own; an executor without work ends after
    `idle_s`; `calendar` knows when schedules are due. `enforced` says by what limits are kept here,
    which may be found out later. With a `journal`, steps say what must survive,
    and `durability` what that outlives. Without `has_home`, executors run on agents only, each of
    which has to be heard of within `lease_s`; what must not run twice is lost `grace_s` after that.
    With it they run under `python`, such as "3.12". Without `price_of`, whatever runs is free.
    There may be as much of everything as `quotas` say. On `terms` (see `renting.py`) machines are
    rented for what finds no place.
    """

    def __init__(
        self,
        epoch: str,
        wall_offset: float = 0.0,
        *,
        idle_s: float = IDLE_S,
        calendar: Calendar | None = None,
        enforced: Mapping[str, str] = NOTHING,
        journal: Journal | None = None,
        durability: str = "process",
        has_home: bool = True,
        lease_s: float = LEASE_S,
        grace_s: float = GRACE_S,
        price_of: PriceOf | None = None,
        python: str = "",
        quotas: Quotas = DEFAULT,
        terms: Any = None,
    ) -> None:
        self.registry = Registry(enforced, quotas.functions)
        self.pools = self.registry.pools
        self.costs = Costs(wall_offset, price_of, journal)
        self.ledger = Ledger(epoch, wall_offset, self.costs, quotas)
        agents = Agents(self.pools, has_home=has_home, python=python)
        self.attempts = FarAttempts(self.ledger, self.pools, agents)
        self.fleet = Fleet(self.attempts, epoch, lease_s, grace_s, journal)
        self.callers = Callers(self.ledger, self.pools, self.attempts)
        self.scheduler = self.attempts.scheduler
        self.shared = Shared(self.callers, self.scheduler.wake_at, journal)
        self.queries = Queries(self.ledger, self.pools, self.callers, self.shared)
        self.items = Items(self.ledger, self.callers)
        self.admission = Admission(self.callers, self.items, self.registry.find, self._asked)
        self.journal, self.durability, self.scheduler.idle_s = journal, durability, idle_s
        self.feeds = self.ledger.feed, self.shared.feed
        self.operations = Operations(self.ledger, journal)
        self.prints = Prints(self.ledger, self.scheduler)
        self.schedules = Schedules(
            self.ledger,
            calendar or NoCalendar(),
            self.registry.find,
            self.admission.admit_scheduled,
            self.scheduler.wake_at,
        )
        self.shared.lend(self.registry, self.schedules, self.admission, self.fleet, terms)
        self.costs.go_on, self.costs.model_of = self._fill, agents.model_of
        self.keeping = None if journal is None else self._keeping(journal)
        self._commands = self._rules()
        self._facts: dict[type, Callable[[Any, Any, float], None]] = {
            Prepared: lambda executor, _, now: self.attempts.prepared(executor, now),
            Loaded: self.attempts.loaded,
            LoadFailed: self.attempts.load_failed,
            Accepted: self.attempts.accepted,
            Reported: self.attempts.reported,
            Produced: self.items.produced,
            Said: self._said,
            Recalled: self.attempts.recalled,
            Refused: self.attempts.refused,
            Printed: self.prints.printed,
            StackDumped: self._stack,
            Ended: self.attempts.ended,
        }

    def _rules(self) -> dict[type, Rule]:
        """What answers each command."""
        return {
            RegisterFunction: self._register,
            SubmitJob: self.admission.submit,
            WaitJob: self._wait,
            RunJob: self.admission.run,
            OpenItems: self.admission.open,
            ReadItems: self.items.read,
            CancelJob: self._cancel,
            HoldJob: self._hold,
            KeepJob: self._keep,
            ReleaseJob: self._release,
            GetDurability: self._durability,
            ForgetOperations: self.operations.forget,
            UndoOperations: self.operations.undo,
            **self.fleet.commands,
            **self.queries.commands,
            **self.schedules.commands,
        }

    def _keeping(self, journal: Journal) -> Keeping:
        """Have what must survive written down."""
        keeping = Keeping(journal, self.fleet, self.schedules, self.registry)
        self.admission.keep = keeping.keep_job
        self.registry.keep, self.registry.drop = keeping.keep_function, keeping.drop_function
        self.schedules.journal = journal
        self.ledger.keep_numbers(journal)
        self.fleet.on_ahead = lambda now: self._lift(journal, now)
        return keeping

    @property
    def alarm(self) -> float:
        """The moment by which something is due; may be early, is never late."""
        return self.scheduler.alarm

    def tokens(self) -> list[object]:
        """Everybody who waits for a reply."""
        return list(self.ledger.waits)

    def load(self, records: Iterable[tuple[str, bytes]], now: float) -> None:
        """Take back what was kept, in a plane that has done nothing yet."""
        mine, others = sort_out(records)
        if self.keeping is not None:
            self.keeping.load(mine, now, was_put_back=is_put_back(mine["last"]))
            self.operations.load(mine["operation"], now)
            self.costs.load(mine["cost"], mine["credit"], now)
        for key, record in others:
            kind, *path = key.split("/")
            self.shared.load(kind, path, record, now)
        self.shared.loaded(now)
        self.operations.loaded(self._undo_of, now)
        self._number_after(floor_in(mine["last"]))
        if self.journal is not None and is_put_back(mine["last"]):
            self._lift(self.journal, now)
            self.journal.drop(PUT_BACK)
        self.scheduler.wake_at(now)

    def _lift(self, journal: Journal, now: float) -> None:
        """Numbers were given that nothing is known of here: go on above all of them."""
        floor = floor_at(now + self.ledger.events.wall_offset)
        self._number_after(floor)
        journal.keep(FLOOR, Floor(floor))

    def _number_after(self, floor: int) -> None:
        if floor:
            self.ledger.number_after(floor)
            self.scheduler.number_after(floor)
            self.registry.number_after(floor)
            self.shared.number_after(floor)

    def _undo_of(self, told: list[Any], items: Any) -> Any:
        queues: Any = self.shared.part("queues")
        return queues.undo_of(told, items)

    def changes(self) -> list[Change]:
        """What has changed since the last step, or since it was loaded."""
        return NO_CHANGES if self.journal is None else self.journal.take()

    def last_changes(self) -> list[Change]:
        """What is left to write down when the program ends in order."""
        if self.keeping is not None:
            self.keeping.close()
        return self.changes()

    def step(self, inputs: Iterable[Input], now: float) -> Outcome:
        """Take inputs in order at one moment; gives replies by token, and effects in order."""
        for item in inputs:
            if isinstance(item, Asked):
                self._asked(item, now)
            elif isinstance(item, GivenUp):
                self._give_up(item, now)
            elif isinstance(item, Tick):
                self._tick(now)
            else:
                executor = self.ledger.executors.get(item.executor)
                if executor is not None and (
                    not executor.deaf or isinstance(item, (Ended, Recalled, Refused))
                ):
                    self._heard(executor, item, now)
                elif executor is None and isinstance(item, Reported):
                    self.attempts.reported_late(item, now)
        return self._outcome(now)

    def _heard(self, executor: Executor, item: Any, now: float) -> None:
        """An executor has something to tell."""
        self._facts[type(item)](executor, item, now)
        if executor.serves:
            self.shared.services.heard(executor, item, now)
        pool = self.pools[executor.function.number]
        if pool.queue:
            self.scheduler.fill(pool, now)

    def _said(self, executor: Executor, item: Said, now: float) -> None:
        """Only processes of services have something to say."""
        if not executor.serves:
            self.attempts.breach(executor, now)

    def _outcome(self, now: float) -> Outcome:
        """Everything that the inputs have led to."""
        if self.admission.crowded:
            self.admission.make_room(now)
        ledger, scheduler, shared = self.ledger, self.scheduler, self.shared
        if shared.again:
            shared.settle(now)
        for feed in self.feeds:
            if feed.readers:
                feed.publish()
        if self.operations.owed:
            self.operations.note(now)
        changes = NO_CHANGES if self.journal is None else self.journal.take()
        outcome = Outcome(ledger.replies, scheduler.effects, changes)
        ledger.replies = []
        scheduler.effects = []
        return outcome

    def _asked(self, asked: Asked, now: float, rule: Rule | None = None) -> None:
        ledger = self.ledger
        if asked.token in ledger.waits:
            return  # it gets its one answer already
        try:
            if (
                asked.operation is not None
                and rule is None
                and not self.operations.is_new(asked, now)
            ):
                return
            if asked.origin is not None:
                self.callers.executor(asked.origin.executor)
            rule = rule or self._commands.get(type(asked.command)) or self._more(asked)
            reply = rule(asked.command, asked, now)
        except ApothicError as error:
            ledger.replies.append((asked.token, None, error))
            return
        if reply is not LATER:
            ledger.replies.append((asked.token, reply, None))

    def _more(self, asked: Asked) -> Rule:
        """The rule for a command that programs seldom need."""
        command = type(asked.command)
        rule = self.shared.rule(command) or self.costs.rule(command)
        if rule is None:
            raise InternalError(f"no rule for {command.__name__}")
        self._commands[command] = rule
        return rule

    # --- commands -------------------------------------------------------------------------------

    def _register(self, command: RegisterFunction, asked: Asked, now: float) -> str:
        if command.spec.service is not None:
            raise UsageError(f"{command.spec.name!r} is a service: it is deployed with its app")
        known = self.registry.known(command.spec, command.code)
        if known is not None:
            return known.function_id
        function = self.registry.make(command.spec, command.code).function
        spec = function.spec
        told = {"app": spec.app_name, "function": spec.name, "function_id": function.function_id}
        self.ledger.events.append("app.changed", f"apps:{spec.app_name}", now, 0, told)
        return function.function_id

    def _give_up(self, item: GivenUp, now: float) -> None:
        """A reply is not wanted any more; the job of a `RunJob` goes with it.

        What came with a reply that has reached nobody goes back, if it can.
        """
        undo: Any = getattr(item.reply, "undo", None)
        if undo is not None:
            undo(now)
        if self.operations.owed:
            self.operations.given_up(item.token)
        if item.died:
            self.attempts.orphaned(item.token, now)
            return
        wait = self.ledger.give_up(item.token)
        if wait is not None and wait.runs and wait.awaited is not None:
            self.attempts.cancel(wait.awaited, now)

    def _wait(self, command: WaitJob, asked: Asked, now: float) -> Any:
        job = self.ledger.find(command.job_id)
        self.ledger.check_waits()
        self.callers.wait_for(job, asked, now, last=command.last, owned=command.owned)
        return LATER

    def _cancel(self, command: CancelJob, asked: Asked, now: float) -> Any:
        job = self.ledger.find(command.job_id)
        self.attempts.cancel(job, now)
        return self.ledger.look(job)

    def _hold(self, command: HoldJob, asked: Asked, now: float) -> bool:
        self.callers.job(asked, now)  # whoever asks has begun
        return self.attempts.holds.hold(command, asked, now)

    def _keep(self, command: KeepJob, asked: Asked, now: float) -> None:
        job = self.ledger.find(command.job_id)
        for wait in job.waiters or ():
            wait.last = wait.owned = False
        if self.keeping is not None and not job.is_final and job.stream is None:
            self.keeping.keep_job(job)

    def _durability(self, command: GetDurability, asked: Asked, now: float) -> str:
        return self.durability

    def _release(self, command: ReleaseJob, asked: Asked, now: float) -> None:
        if job := self.ledger.jobs.get(number_of(command.job_id, "jobs")):
            self.ledger.release(job)

    def _fill(self, now: float) -> None:
        """What was queued may begin."""
        for pool in self.pools.values():
            self.scheduler.fill(pool, now)

    # --- facts ----------------------------------------------------------------------------------

    def _stack(self, executor: Executor, fact: StackDumped, now: float) -> None:
        executor.stack = fact.stack

    def _tick(self, now: float) -> None:
        """Do everything that is due, and find out when to look again."""
        scheduler = self.scheduler
        if now < scheduler.alarm:
            return
        scheduler.alarm = NEVER
        self.fleet.tick(now)
        self.attempts.look(now)
        for pool in self.pools.values():
            if pool.delayed or pool.rest_until:
                scheduler.wake_at(pool.wake(now))
            scheduler.fill(pool, now)
        self.prints.tick(now)
        self.schedules.tick(now)
        self.shared.tick(now)
        scheduler.wake_at(self.operations.tick(now))
