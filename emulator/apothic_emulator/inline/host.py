"""Feeds the core like the host of worker processes does, and has the work done by who waits.

A thread that waits looks for work until its reply is there: first for what it waits for, then for
the oldest. When there is none it sleeps until something changes. On an event loop nobody may
block, so what waits there is worked for by threads of our own, as many as there is work for.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from typing import Any

from apothic_backends.commands import CancelJob
from apothic_backends.interrupts import DEFERRED, WINDOW
from apothic_backends.model.errors import ApothicError, BackendClosed, EmulatorDead
from apothic_backends.model.jobs import ErrorInfo
from apothic_backends.ticket import STRETCH_S, Ticket
from apothic_emulator.core.effects import StartExecutor
from apothic_emulator.core.facts import Asked, GivenUp, Input, Reported, Tick
from apothic_emulator.core.plane import Plane
from apothic_emulator.host.calendars import LazyCalendar
from apothic_emulator.inline.agent import Agent
from apothic_emulator.inline.batches import BatchExecutor, BatchLoopExecutor
from apothic_emulator.inline.calls import CURRENT, AfterError, Call
from apothic_emulator.inline.executor import Executor, Work
from apothic_emulator.inline.generators import GeneratorExecutor
from apothic_emulator.inline.helpers import Helpers
from apothic_emulator.inline.loops import LoopExecutor
from apothic_emulator.inline.surroundings import Surroundings

NEVER = float("inf")

PROMISE_S = 0.05
"""How long a call is left to whoever asked for it, if that is not waiting yet."""

TURN_S = 0.05
"""How long a thread that only looks at a job drives a loop."""


class InlineHost:
    """The core, its lock, the inline executors, and the threads that wait."""

    def __init__(self, after_error: AfterError | None = None) -> None:
        wall_offset = time.time() - time.monotonic()
        self.plane = Plane(os.urandom(6).hex(), wall_offset, calendar=LazyCalendar())
        self.inbox: deque[Input] = deque()
        self.dead: ApothicError | None = None
        self.agent = Agent(self.inbox.append, self._make)
        self.surroundings = Surroundings(self.post)
        self.helpers = Helpers(self)
        self.wanted: set[int] = set()
        """Jobs that sleeping threads wait for, and will see to themselves."""
        self.promised: dict[int, float] = {}
        """Jobs whose callers are about to wait for them, and until when to believe that."""
        self.changes = 0
        self._after_error = after_error
        self._lending: Any = None
        self._stock: Any = None
        self._first = threading.Lock()
        self._batch: list[Input] = []
        self._lock = threading.Lock()
        self._changed = threading.Condition()
        self._check: Callable[[Plane], None] | None = None
        if sys.flags.dev_mode:
            from apothic_emulator.core.check import check  # a tenth of a step  # noqa: PLC0415

            self._check = check

    def _make(self, effect: StartExecutor) -> Executor:
        executor = self._of_kind(effect)
        if effect.spec.needs:
            from apothic_emulator.inline.lending import Purse  # few have some  # noqa: PLC0415

            executor.purse = Purse(self.lending, effect.spec)
        if effect.spec.mounts:
            from apothic_emulator.inline.shelves import Shelf  # as above  # noqa: PLC0415

            executor.shelf = Shelf(effect.spec, executor.purse)
        return executor

    @property
    def lending(self) -> Any:
        """A `Lending`, loaded for the first function that has secrets."""
        with self._first:
            if self._lending is None:
                from apothic_emulator.inline.lending import Lending  # see above  # noqa: PLC0415

                self._lending = Lending()
            return self._lending

    def carry_out_beside(self, command: Any, token: Any) -> None:
        """Do what is asked without the core, which is not to know of it."""
        if not command.__module__.endswith((".archives", ".volumes")):
            self.lending.safe.carry_out(command, token)
            return
        with self._first:
            if self._stock is None:
                from apothic_emulator.agent.stock import Stock  # few ship code  # noqa: PLC0415

                self._stock = Stock()
        self._stock.carry_out(command, token)

    def _of_kind(self, effect: StartExecutor) -> Executor:
        if effect.spec.batch is not None:
            kind = BatchLoopExecutor if effect.spec.is_async else BatchExecutor
            return kind(effect, self._after_error, self)
        if effect.spec.is_async or (effect.spec.cls is not None and effect.spec.yields):
            return LoopExecutor(effect, self._after_error, self)
        if effect.spec.is_generator:
            return GeneratorExecutor(effect, self._after_error)
        return Executor(effect, self._after_error)

    # --- inputs ---------------------------------------------------------------------------------

    def post(self, item: Input) -> None:
        """Bring an input, and step the core unless another thread is at it: it looks again."""
        self.inbox.append(item)
        self.pump()

    def pump(self) -> None:
        """Step the core until there is nothing to step it with."""
        with DEFERRED:
            try:
                while self.inbox and self._lock.acquire(blocking=False):
                    try:
                        replies = self._step()
                    finally:
                        self._lock.release()
                    for token, value, error in replies:
                        if error is not None:
                            token.fail(error)
                        elif not token.complete(value):
                            self.inbox.append(GivenUp(token, value))
                    self.change()
            except BaseException as error:  # noqa: BLE001 - whatever it is, nobody may hang
                self.die(error)

    def _step(self) -> list[Any]:
        replies: list[Any] = []
        while self.inbox:
            self._batch = batch = [self.inbox.popleft()]
            while self.inbox:
                batch.append(self.inbox.popleft())
            for item in batch:
                if type(item) is Reported:
                    self.agent.reported(item)
            outcome = self.plane.step(batch, time.monotonic())
            replies += outcome.replies
            for effect in outcome.effects:
                self.agent.carry_out(effect)
        if self._check is not None:
            self._check(self.plane)
        return replies

    @contextlib.contextmanager
    def _held(self) -> Generator[None]:
        """Have the executors to oneself; what comes in meanwhile is stepped afterwards."""
        with DEFERRED:
            try:
                with self._lock:
                    yield
            finally:
                self.pump()

    def change(self) -> None:
        """Wake everybody who sleeps: there may be work, or a reply."""
        with self._changed:
            self.changes += 1
            self._changed.notify_all()
        for executor in list(self.agent.executors.values()):
            executor.nudge()

    # --- work -----------------------------------------------------------------------------------

    def wait(self, ticket: Ticket[Any], deadline: float | None) -> None:
        """Work, or sleep, until the ticket is done or the deadline has passed."""
        job = self.awaited(ticket)
        self.promised.pop(job, None)
        is_nested = CURRENT.get() is not None
        if is_nested:
            self.helpers.serve(ticket)
        while not ticket.done:
            seen = self.changes
            work = self.claim(job, only=is_nested)
            if work is not None:
                self.work(work, ticket, deadline)
            elif not ticket.done:
                self._sleep_for(job, seen, deadline)
            if deadline is not None and time.monotonic() >= deadline:
                return
        self.close_ended()

    def promise(self, ticket: Ticket[Any]) -> None:
        """Whoever asked for a call is about to wait for it, and should run it itself."""
        job = self.awaited(ticket)
        if job:
            self.promised[job] = time.monotonic() + PROMISE_S

    def turn(self) -> None:
        """Let one call run, or some of a loop's, if there is any."""
        self.pause_s(None)
        work = self.claim(0)
        if work is not None:
            self.work(work, None, time.monotonic() + TURN_S)

    def awaited(self, ticket: Ticket[Any]) -> int:
        """The number of the job that a ticket waits for, 0 if it is none."""
        wait = self.plane.ledger.waits.get(ticket)
        return wait.awaited.number if wait is not None and wait.awaited is not None else 0

    def _sleep_for(self, job: int, seen: int, deadline: float | None) -> None:
        if job:
            self.wanted.add(job)
        try:
            self.sleep(seen, deadline)
        finally:
            self.wanted.discard(job)

    def claim(self, job: int, *, only: bool = False) -> Work | None:
        """Something to do: for that job if there is, else for any, unless for that one `only`."""
        with self._held():
            work = self.agent.claim(job, set()) if job else None
            if work is not None or only:
                return work
            return self.agent.claim(0, self.wanted | self._promised())

    def _promised(self) -> set[int]:
        """The jobs that are left to their callers."""
        if self.promised:
            now = time.monotonic()
            self.promised = {job: until for job, until in [*self.promised.items()] if until > now}
        return {*self.promised}

    def take(self, executor: Executor) -> list[Call]:
        """The jobs that have come to a slot of a driven loop."""
        with self._held():
            calls = [call for call in executor.line[: executor.slots] if not call.begun]
            for call in calls:
                call.begun = True
            return calls

    def work(self, work: Work, awaited: Ticket[Any] | None, deadline: float | None) -> None:
        """Do it in this thread; Ctrl-C cancels the call and goes on to the program."""
        try:
            with self.surroundings, WINDOW:
                fact = work.run(awaited, deadline)
            if fact is not None:
                self.post(fact)
        except BaseException:
            if work.call is not None:
                self.cut_short(work.call)
            raise
        finally:
            work.let_go()
            self.change()

    def cut_short(self, call: Call) -> None:
        """A call was interrupted: it counts as cancelled."""
        error = ErrorInfo("user_error", "interrupted", type_name="KeyboardInterrupt")
        for part in list(call.parts.values()):
            cancel: Any = CancelJob(f"jobs:{part.job}")
            self.post(Asked(cancel, Ticket[Any]()))
            self.post(Reported(part.executor, part.job, part.attempt, None, error))

    def pause_s(self, deadline: float | None) -> float | None:
        """How long to sleep at the most, after bringing what is due; None for ever."""
        now = time.monotonic()
        if self.plane.alarm <= now:
            self.post(Tick())
        moments = [self.plane.alarm, NEVER if deadline is None else deadline]
        until = min([*moments, *list(self.promised.values())])
        return None if until == NEVER else max(0.0, until - time.monotonic())

    def sleep(self, seen: int, deadline: float | None) -> None:
        """Wait until something has changed since then, or is due."""
        seconds = self.pause_s(deadline)
        with self._changed:
            if self.changes == seen:
                with WINDOW:
                    self._changed.wait(STRETCH_S if seconds is None else min(seconds, STRETCH_S))

    def close_ended(self) -> None:
        """Close executors that have ended."""
        while self.agent.ended:
            executor = self.agent.ended.pop()
            executor.close()
            if executor.shelf is not None:
                executor.shelf.close()

    # --- the end --------------------------------------------------------------------------------

    def die(self, cause: BaseException) -> None:
        """Something unexpected broke the control plane: everybody who waits is told."""
        if self.dead is None:
            self.dead = EmulatorDead(f"the local control plane stopped: {cause!r}")
            self.dead.__cause__ = cause
        self._tell_everybody(self.dead)

    def _tell_everybody(self, error: ApothicError) -> None:
        asked = [item for item in [*self._batch, *self.inbox] if isinstance(item, Asked)]
        self.inbox.clear()
        for token in [*(item.token for item in asked), *self.plane.tokens()]:
            ticket: Any = token
            ticket.fail(error)
        self.change()

    def close(self) -> int:
        """Refuse everything from now on; how many jobs were cut short."""
        if self.dead is None:
            self.dead = BackendClosed("the backend was closed")
        unfinished = sum(1 for job in [*self.plane.ledger.jobs.values()] if not job.is_final)
        self._tell_everybody(self.dead)
        self.agent.ended.extend(self.agent.executors.values())
        self.agent.executors.clear()
        self.close_ended()
        return unfinished

    def abandon(self) -> None:
        """In a fork of the process that opened it: be inert."""
        self.dead = BackendClosed(
            "this process is a fork of the one that opened the backend; open another one"
        )
