"""Feeds the core and carries out what it decides.

Whoever brings an input steps the core, on its own thread: the input goes into a queue, and the
thread that gets the lock empties it. A thread that does not get the lock leaves, since the holder
looks again after letting go; so nothing here waits, and a finaliser in the middle of a step only
adds to the queue. Frames are appended under the lock and written after it.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from select import EPOLLIN, epoll
from typing import Any, TypeVar

from apothic_backends.interrupts import DEFERRED
from apothic_backends.model.errors import ApothicError, BackendClosed, EmulatorDead, StoreError
from apothic_emulator.agent.agent import Agent
from apothic_emulator.agent.limits import Keeper
from apothic_emulator.agent.line import Line, Post
from apothic_emulator.core.costs import PriceOf
from apothic_emulator.core.effects import Effect
from apothic_emulator.core.executors import IDLE_S, ExecutorStatus
from apothic_emulator.core.facts import Asked, GivenUp, Input, Tick
from apothic_emulator.core.hellos import GRACE_S, LEASE_S
from apothic_emulator.core.journal import Journal
from apothic_emulator.core.plane import Plane
from apothic_emulator.core.quotas import DEFAULT, Quotas
from apothic_emulator.executors.wire import Frame
from apothic_emulator.host.calendars import LazyCalendar
from apothic_emulator.host.clocks import Clock, RealClock
from apothic_emulator.host.durable import Durable
from apothic_emulator.host.reader import Reader
from apothic_emulator.host.requests import input_from
from apothic_emulator.host.thread import HostThread

NEVER = float("inf")
T = TypeVar("T")
Reply = tuple[Any, object, BaseException | None]


class Host:
    """One control plane in this process: the core, its lock, its agent, and one thread."""

    def __init__(
        self,
        thread: HostThread,
        clock: Clock | None = None,
        idle_s: float = IDLE_S,
        sieve: Callable[[Post], Post] | None = None,
        commits: Durable | None = None,
        *,
        has_home: bool = True,
        lease_s: float = LEASE_S,
        grace_s: float = GRACE_S,
        price_of: PriceOf | None = None,
        quotas: Quotas = DEFAULT,
        public: Any = None,
        renting: Any = None,
    ) -> None:
        keeper = Keeper()
        self.clock: Clock = clock or RealClock()
        self._now = self.clock.now
        self.commits, self._thread = commits, thread
        self._core: Any = {"idle_s": idle_s, "enforced": keeper.enforced, "quotas": quotas}
        self._core |= {"has_home": has_home, "lease_s": lease_s, "grace_s": grace_s}
        self._core["price_of"] = price_of
        self._core["terms"] = None if renting is None else renting.terms
        self.plane = self._new_plane()
        self.inbox: deque[Input] = deque([] if commits is None else [Tick()])  # what was kept runs
        self.dead: ApothicError | None = None
        self.kept_jobs = 0
        """Unfinished jobs that were left in the store at the end."""
        self._batch: list[Input] = []
        """What is being stepped; its askers must hear of it if the step breaks."""
        self.lock = threading.Lock()
        self._reading = self._working = 0
        """Threads that hold locks of the agent: whoever reads channels, and the host's own."""
        self._open_descriptors()
        post = self.inbox.append if sieve is None else sieve(self.inbox.append)  # tests lose some
        self.agent = Agent(
            thread.zygote,
            self._channels,
            self._errands,
            post,
            self._asked_by_worker,
            keeper=keeper,
            archives=None if commits is None else commits.archives,
        )
        self.agent.aside.wake, self.agent.aside.public = self._poke, public
        self.agent.aside.cloud = None if renting is None else renting.open(self.post)
        self._errands.register(self._wake_fd, EPOLLIN)
        self._wake_at, self._closing = NEVER, False
        self._stay_home()
        self._decide = self.plane.step if commits is None else commits.attach(self)
        self._after_step: tuple[Callable[[Plane], None], ...] = self._looks()
        self.clock.attach(self.plane, self.lock, self._poke)
        thread.give(self._run)

    def _open_descriptors(self) -> None:
        with contextlib.ExitStack() as undo:
            self._channels = undo.enter_context(epoll())
            self._errands = undo.enter_context(epoll())
            self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            undo.callback(os.close, self._wake_fd)
            self.reader = Reader(self._channels, self._errands, self._read, self.is_quiet)
            undo.pop_all()

    def _new_plane(self) -> Plane:
        return Plane(
            os.urandom(6).hex(),
            self.clock.wall_offset(),
            calendar=LazyCalendar(),
            journal=None if self.commits is None else Journal(),
            durability="process" if self.commits is None else self.commits.durability,
            python=f"{sys.version_info.major}.{sys.version_info.minor}",
            **self._core,
        )

    def begin_anew(self, records: Sequence[tuple[str, bytes]]) -> None:
        """Have a core that knows these records and nothing else, under the lock.

        Executors of the one before have numbers of their own, so that nothing they say counts.
        """
        plane = self._new_plane()
        plane.scheduler.number_after(self.plane.scheduler.last_executor)
        plane.load(records, self._now())
        self.inbox.appendleft(Tick())
        self.plane = plane
        self.clock.attach(plane, self.lock, self._poke)
        if self.fleet is not None:
            self.fleet.hang_up()
        self._poke()

    def _stay_home(self) -> None:
        self.fleet: Any = None
        self.carry_out: Callable[[Effect, set[Any]], None] = self.agent.carry_out
        self.flush: Callable[[Any], None] = self.agent.flush

    def open_fleet(self) -> Any:
        """What agents join, from now on: a `Fleet`."""
        from apothic_emulator.agent.remote import Fleet  # few programs have one  # noqa: PLC0415

        if self.fleet is None:
            self.fleet = Fleet(self.agent, self.inbox.append)
            self.agent.aside.dial = self.fleet.dial
            self.carry_out, self.flush = self.fleet.carry_out, self.fleet.flush
        return self.fleet

    def _looks(self) -> tuple[Callable[[Plane], None], ...]:
        looks: tuple[Callable[[Plane], None], ...] = ()
        if sys.flags.dev_mode:
            from apothic_emulator.core.check import check  # a tenth of a step  # noqa: PLC0415

            looks = (check,)
        return (*looks, self.clock.stepped) if self.clock.wants_steps else looks

    # --- inputs ---------------------------------------------------------------------------------

    def post(self, item: Input) -> None:
        """Bring an input, and step the core unless somebody else is at it.

        Or this thread itself, that is a finaliser in the middle of its work: it pumps after that.
        """
        self.inbox.append(item)
        if threading.get_ident() not in (self._reading, self._working):
            self.pump()

    def pump(self) -> None:
        """Step the core until there is nothing to step it with."""
        if DEFERRED.depth and not DEFERRED.is_open:
            self._pump()  # this thread defers already, or is one on which no handler ever runs
        else:
            with DEFERRED:
                self._pump()

    def _pump(self) -> None:
        inbox, lock = self.inbox, self.lock
        try:
            while inbox and self.dead is None and lock.acquire(blocking=False):
                try:
                    replies, touched = self._step()
                finally:
                    lock.release()
                for line in touched:
                    self.flush(line)
                if replies:
                    self.deliver(replies)
        except BaseException as error:  # noqa: BLE001 - whatever it is, nobody may hang
            self.die(error)

    def _step(self) -> tuple[list[Reply], Iterable[Line]]:
        """Take everything that has come in, under the lock."""
        inbox, plane, carry_out = self.inbox, self.plane, self.carry_out
        replies: list[Reply] = []
        touched: set[Line] = set()
        while inbox:
            self._batch = batch = [inbox.popleft()]
            while inbox:
                batch.append(inbox.popleft())
            outcome = self._decide(batch, self._now())
            replies = replies + outcome.replies if replies else outcome.replies
            for effect in outcome.effects:
                carry_out(effect, touched)
            batch.clear()  # until the next step, it would keep a result alive
        for look in self._after_step:
            look(plane)
        if plane.scheduler.alarm < self._wake_at:
            self._poke()
        return replies, touched

    def deliver(self, replies: list[Reply]) -> None:
        """Give replies, without the lock."""
        for token, value, error in replies:
            if error is not None:
                token.fail(error)
            elif not token.complete(value):
                self.post(GivenUp(token, value))
        self.reader.wake_leader()

    def look(self, read: Callable[[Plane], T]) -> T:
        """Read the core's state between two steps."""
        with self.lock:
            found = read(self.plane)
        self._poke()  # whoever could not get the lock meanwhile has left its input
        return found

    def after_step(self, look: Callable[[Plane], None]) -> None:
        """Have something look at the core after every step from now on, under the lock."""
        self._after_step += (look,)

    def is_quiet(self) -> bool:
        """Whether no executor here may report; asked without the lock, so it may be late."""
        try:
            for e in self.plane.ledger.executors.values():
                if (e.line or e.status is ExecutorStatus.STARTING) and not e.agent:
                    return False
        except RuntimeError:
            return False  # another thread is adding one
        return True

    def _busy(self) -> list[int]:
        """The executors that are at work."""
        here = [e for e in list(self.plane.ledger.executors.values()) if not e.agent]
        return [e.number for e in here if e.line or e.status is ExecutorStatus.STARTING]

    # --- executors ------------------------------------------------------------------------------

    def _read(self, events: list[tuple[int, int]]) -> None:
        """Take what executors say; the caller holds the right to read."""
        if DEFERRED.depth and not DEFERRED.is_open:
            self._read_channels(events)
        else:
            with DEFERRED:
                self._read_channels(events)

    def _read_channels(self, events: list[tuple[int, int]]) -> None:
        self._reading = threading.get_ident()
        try:
            for fd, mask in events:
                if not self.agent.read_channel(fd, mask):
                    self.reader.woken(fd)
        except BaseException as error:  # noqa: BLE001
            self.die(error)
        finally:
            self._reading = 0
        self._pump()

    def _asked_by_worker(self, line: Line, frame: Frame) -> None:
        """User code in an executor asks for something."""
        item = input_from(self.agent, line, frame)
        if item is not None:
            self.inbox.append(item)

    # --- the thread -----------------------------------------------------------------------------

    def _poke(self) -> None:
        os.eventfd_write(self._wake_fd, 1)

    def _run(self) -> None:
        try:
            self._thread.check()
            self.agent.find_limits()
            while not self._closing and self.dead is None:
                self._wait_and_work()
        except BaseException as error:  # noqa: BLE001
            self.die(error)

    def _wait_and_work(self) -> None:
        self._wake_at = NEVER  # so that a deadline which is set from here on wakes the poll
        self._wake_at = alarm = self.plane.alarm
        for fd, _ in self._errands.poll(self.clock.patience_s(alarm)):
            self._run_errand(fd)
        if self.clock.is_due():
            self.reader.poll_for_all()  # so that nothing is late which only lies unread
            self.inbox.append(Tick())
        self.pump()
        self.reader.watch()

    def _run_errand(self, fd: int) -> None:
        if fd == self._channels.fileno():
            self.reader.poll_for_all()
            return
        self._working = threading.get_ident()
        try:
            if fd == self._wake_fd:
                os.eventfd_read(fd)
            else:
                self.agent.run_errand(fd, self._busy)
        finally:
            self._working = 0

    # --- the end --------------------------------------------------------------------------------

    def die(self, cause: BaseException) -> None:
        """Something unexpected broke the control plane: everybody who waits is told."""
        if self.dead is None and isinstance(cause, StoreError):
            self.dead = cause
        elif self.dead is None:
            self.dead = EmulatorDead(f"the local control plane stopped: {cause!r}")
            self.dead.__cause__ = cause
        self._tell_everybody(self.dead)
        self._poke()  # the thread ends, and with it the zygote and everything below

    def _tell_everybody(self, error: ApothicError) -> None:
        if self.fleet is not None:
            self.fleet.hang_up()  # what code on agents waits for, it asks the next control plane
        locked = self.lock.acquire(timeout=1.0)  # whoever holds it for longer is beyond hope
        try:
            asked = [item for item in [*self._batch, *self.inbox] if isinstance(item, Asked)]
            tokens: list[Any] = [item.token for item in asked] + self.plane.tokens()
            tokens += self.commits.tokens() if self.commits is not None else []
        finally:
            if locked:
                self.lock.release()
        self.inbox.clear()
        for token in tokens:
            with contextlib.suppress(Exception):  # the others must hear of it in any case
                token.fail(error)
        self.clock.give_up(error)
        self.reader.wake_leader()

    def close(self) -> int:
        """End all executors, the zygotes and the thread; how many jobs were cut short."""
        if self._closing:
            return 0
        unfinished = self._stop()
        for line in list(self.agent.lines.values()):
            line.hang_up()
        self._thread.end()  # first, so that the zygote's end is not taken for a loss
        self._let_go()
        return unfinished

    def leave(self) -> int:
        """Kill all executors, and leave thread and zygote to another host; as `close`.

        Raises:
            EmulatorDead: the zygote does not answer; only `HostThread.end` is left.
        """
        if self._closing:
            return 0
        unfinished = self._stop()
        self._thread.give(self.agent.end_all)
        self._thread.rest()
        is_clean = not self.agent.lines
        self._let_go()
        if not is_clean:
            raise EmulatorDead("worker processes were killed, and did not end within seconds")
        return unfinished

    def _stop(self) -> int:
        self._closing = True
        unfinished = [job for job in list(self.plane.ledger.jobs.values()) if not job.is_final]
        self.kept_jobs = sum(1 for job in unfinished if job.kept is not None)
        is_whole = self.dead is None
        self.dead = self.dead or BackendClosed("the backend was closed")
        if self.commits is not None:
            self.commits.finish(in_order=is_whole)
        self._tell_everybody(self.dead)
        self._poke()
        self._thread.rest()
        return len(unfinished) - self.kept_jobs

    def _let_go(self) -> None:
        self.agent.close()
        self.reader.close()
        self._channels.close()
        self._errands.close()
        os.close(self._wake_fd)

    def abandon(self) -> None:
        """In a fork of the process that opened it: be inert, and touch nothing."""
        self._closing = True
        self.dead = BackendClosed(
            "this process is a fork of the one that opened the backend; open another one"
        )
