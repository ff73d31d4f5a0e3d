"""Services: functions of deployments that take requests, each at an address of its own.

              a connection, or start
    asleep ──────────────────────────► starting ──loaded──► up
      ▲ ▲                                 │                  │ rests: no request for keep_warm_s
      │ └────────── cannot start ─────────┘                  │
      └────────────────── the last process has ended ◄───────┘
    stopped: nobody listens, and processes finish what they have begun

A service is the function of one name over all versions of its app; its address stays. Each of its
processes is an executor without a line, which is handed the socket that the service listens on, so
requests pass nobody else. With a new version a process of that is started if one is up, and those
of the one before are drained when it is ready: they take no more connections, hand those over that
are between two requests, and finish the others. While the new one cannot start, the old one goes
on. While nothing runs, whoever listens tells of the first connection, which waits in the socket.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apothic_backends.commands.services import GetService, ListServices, StartService, StopService
from apothic_backends.model.errors import NotFound
from apothic_backends.model.events import Cursor, Event
from apothic_backends.model.jobs import ErrorInfo
from apothic_backends.model.services import ServiceSnapshot
from apothic_emulator.core.doors import Listen, Listening, Refuse, Rouse, Roused, Unlisten
from apothic_emulator.core.executors import Executor, ExecutorStatus
from apothic_emulator.core.facts import Asked, Ended, Loaded, Printed, Said
from apothic_emulator.core.far import GONE
from apothic_emulator.core.feeds import Wants
from apothic_emulator.core.jobs import NEVER
from apothic_emulator.core.meters import Meters
from apothic_emulator.core.pools import Pool
from apothic_emulator.core.reaching import call, is_needed, moved, reach
from apothic_emulator.core.records import unpack
from apothic_emulator.core.served import UNREACHED, Service, unready
from apothic_emulator.core.shared import Rule, Shared

TABLE = "services"

PLACE_S = 0.5
"""How often a place is looked for where there is none."""

LISTEN_S = 5.0
"""How often a door is tried again that could not be opened."""

ADDRESS_S = 10.0
"""How long an address may take."""

_STARTING, _READY = ExecutorStatus.STARTING, ExecutorStatus.READY


class Rules:
    """The rules for services, over pools and executors."""

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        self.scheduler = shared.callers.scheduler
        self.meters = Meters(self.scheduler.costs, shared.wake_at)
        shared.callers.attempts.on_service = self.heard
        self.services: dict[str, Service] = {}
        self._of_pool: dict[int, Service] = {}
        """By the number of their function, also of versions before."""
        self.commands: Mapping[type, Rule] = {
            GetService: self._get,
            ListServices: self._list,
            StartService: self._start,
            StopService: self._stop,
            Listening: self._listening,
            Roused: self._roused,
        }

    def find(self, service_id: str) -> Service:
        """The service of that id.

        Raises:
            NotFound: there is none.
        """
        found = self.services.get(service_id)
        if found is None or found.pool is None:
            known = [it.service_id for it in self.services.values() if it.pool is not None]
            raise NotFound(
                f"no service {service_id!r} here; there are: {', '.join(known) or 'none'}",
                known=known,
            )
        return found

    # --- looking --------------------------------------------------------------------------------

    def _get(self, command: GetService, asked: Asked, now: float) -> Any:
        it = self.find(command.service)
        if not it.is_over(command):
            return self._await(it, asked, ADDRESS_S, now)
        return it.snapshot().replace(log=it.log.read().text)

    def _list(self, command: ListServices, asked: Asked, now: float) -> tuple[ServiceSnapshot, ...]:
        app = command.app_name
        there = [it for it in self.services.values() if it.pool is not None]
        return tuple(it.snapshot() for it in there if app in (None, it.service_id.split("/")[0]))

    def _await(self, it: Service, asked: Asked, timeout_s: float, now: float) -> Any:
        """Owe the reply until something has changed that may be waited for."""
        return self.shared.wait(asked, it.waits, timeout_s, now, empty=it.snapshot, lends=False)

    def _tell(self, it: Service, what: str, now: float) -> None:
        """Something has changed: say so, and answer those who waited for that."""
        reach(it, self.scheduler)
        told = {"service": it.service_id, "what": what, "status": it.status, "url": it.url}
        self.shared.tell("service.changed", f"{TABLE}:{it.service_id}", now, told)
        for wait in [*it.waits]:
            if it.is_over(wait.asked.command):
                it.waits.remove(wait)
                self.shared.answer(wait, it.snapshot())

    def state(self, name: str, wants: Wants | None, here: Cursor) -> list[Event]:
        """The snapshot that a watch begins with.

        Raises:
            NotFound: there is no such service.
        """
        seen = self.find(name).snapshot()
        told = {field: getattr(seen, field) for field in seen.fields if field != "log"}
        return [Event("service.snapshot", told, here)]

    def look_for(self, name: str) -> None:
        """See to it that there is one of that name.

        Raises:
            NotFound: there is none.
        """
        self.find(name)

    # --- deployments ----------------------------------------------------------------------------

    def put(self, service_id: str, pool: Pool, version: int, now: float) -> None:
        """Have a service run this function from now on, which is new or of another version."""
        it = self.services.get(service_id)
        if it is None:
            it = self.services[service_id] = Service(service_id)
        was_up = bool(it.live or it.before)
        it.before |= {} if it.pool is None else it.pool.executors
        it.before = {n: e for n, e in it.before.items() if e.function is not pool.function}
        it.pool, it.version = pool, version
        it.error, it.failures, it.rest_until = None, 0, 0.0
        self._of_pool[pool.function.number] = it
        if it.is_wanted and it.url is None:
            self._open(it)
        elif it.is_wanted and was_up:
            self._run(it, now)
            if it.is_kept_out or any(e.status is _READY for e in it.live):
                self._drain(it, now)
        self._keep(it)
        self._tell(it, "deployed", now)

    def drop(self, service_id: str, now: float) -> None:
        """No version that is live has the service any more."""
        it = self.services[service_id]
        self._close(it, now)
        it.pool, it.is_wanted = None, True
        self._forget(it)
        self.shared.tell("service.deleted", f"{TABLE}:{service_id}", now, {"service": service_id})
        for wait in it.waits:
            self.shared.answer(wait, None, NotFound(f"{service_id} is not deployed any more"))
        it.waits.clear()
        if it.has_ended:
            del self.services[service_id]

    def _keep(self, it: Service) -> None:
        if self.shared.journal is not None:
            self.shared.journal.keep(f"{TABLE}/{it.service_id}", it)

    def _forget(self, it: Service) -> None:
        if self.shared.journal is not None:
            self.shared.journal.drop(f"{TABLE}/{it.service_id}")

    # --- addresses ------------------------------------------------------------------------------

    def _open(self, it: Service) -> None:
        it.note, it.listen_at, it.reached = "", NEVER, ((), it.is_public)
        self.scheduler.effects.append(Listen(it.service_id, it.port, it.is_public))

    def _listening(self, command: Listening, asked: Asked, now: float) -> None:
        """Whoever listens says where, or why not."""
        it = self.services.get(command.service)
        if it is None or it.pool is None or not it.is_wanted:
            return
        it.note = command.note
        if command.port:
            it.url, it.port = command.url or f"http://127.0.0.1:{command.port}", command.port
            self._keep(it)
            if it.is_called:
                self._run(it, now)
        else:
            it.listen_at = now + LISTEN_S
            self.shared.wake_at(it.listen_at)
        self._tell(it, "listens" if command.port else "cannot listen", now)

    def _close(self, it: Service, now: float) -> None:
        """Nobody listens, and processes finish what they have begun."""
        self.scheduler.effects.append(Unlisten(it.service_id))
        it.url, it.is_called, it.listen_at, it.reached = None, False, NEVER, UNREACHED
        it.before |= {} if it.pool is None else it.pool.executors
        self._drain(it, now)

    # --- commands -------------------------------------------------------------------------------

    def _start(self, command: StartService, asked: Asked, now: float) -> Any:
        it = self.find(command.service)
        if not it.is_wanted:
            it.is_wanted = True
            self._open(it)
            self._keep(it)
            self._tell(it, "started", now)
        if command.wait and not it.is_up:
            it.error, it.rest_until = None, 0.0
            self._run(it, now)
        if not command.wait or it.is_over(command):
            return it.snapshot()
        return self._await(it, asked, command.timeout_s, now)

    def _stop(self, command: StopService, asked: Asked, now: float) -> Any:
        it = self.find(command.service)
        if it.is_wanted:
            it.is_wanted = False
            self._close(it, now)
            self._keep(it)
            self._tell(it, "stopped", now)
        if not command.wait or it.has_ended:
            return it.snapshot()
        return self._await(it, asked, command.timeout_s, now)

    # --- processes ------------------------------------------------------------------------------

    def _roused(self, command: Roused, asked: Asked, now: float) -> None:
        """Somebody has connected, and nothing runs."""
        it = self.services.get(command.service)
        if it is not None and it.pool is not None and it.is_wanted:
            self._run(it, now)

    def _run(self, it: Service, now: float) -> None:
        """See to it that a process of the live version is up, or starts, as soon as one may."""
        it.is_called = it.url is None or now < it.rest_until
        if it.is_called:
            self.shared.wake_at(it.rest_until if it.url else NEVER)
            return
        if it.live or it.pool is None:
            return
        if self.scheduler.costs.is_exhausted:
            self._cannot_be_paid(it, now)
            return
        if self.scheduler.start(it.pool, now, it.near) is not None:
            self._tell(it, "starts", now)
            return
        never = self.scheduler.why_not(it.pool)
        if never is not None:
            self._cannot(it, never, now)
            self._listen_again(it, now)
        else:
            call(it, now + PLACE_S, self.scheduler)

    def heard(self, executor: Executor, item: Any, now: float) -> None:
        """A process of a service has something to tell; None if it is its agent that has."""
        it = self._of_pool[executor.function.number]
        if item is None:
            moved(it, executor, self.scheduler, now)
        elif isinstance(item, Loaded) and executor.status is _READY:
            self._ready(it, executor, now)
        elif isinstance(item, Said):
            self._said(executor, item, now)
        elif isinstance(item, Ended):
            self.meters.end(executor, now)
            self._ended(executor, item, now)
        elif isinstance(item, Printed):
            it.log.add(1, item.stream, item.text)
        reach(it, self.scheduler)

    def _ready(self, it: Service, executor: Executor, now: float) -> None:
        """A process is ready: those of versions before are not needed if it is of the latest."""
        if not is_needed(it, executor):
            self.scheduler.retire(executor, now)
            return
        self.meters.begin(executor, now)
        if executor in it.live:
            it.error, it.failures = None, 0
            self._drain(it, now)
        self._tell(it, "up", now)

    def _drain(self, it: Service, now: float) -> None:
        for executor in it.before.values():
            if executor.status is _STARTING:
                self.scheduler.discard(executor, now)
            elif executor.status is _READY:
                self.scheduler.retire(executor, now)

    def _said(self, executor: Executor, fact: Said, now: float) -> None:
        """A process has something to say, while it begins or serves."""
        it = self._of_pool[executor.function.number]
        executor.is_kept_out |= fact.word == "taken"
        if it.is_kept_out:
            self._drain(it, now)
        if fact.word == "taken" or executor.status is not _READY:
            return
        if fact.word == "rests":
            self.scheduler.retire(executor, now)
        elif it.pool is not None and executor in it.live and self._may_grow(it):
            self.scheduler.start(it.pool, now, it.near)

    def _may_grow(self, it: Service) -> bool:
        return it.has_place_for_more and not self.scheduler.costs.is_exhausted

    def _ended(self, executor: Executor, fact: Ended, now: float) -> None:
        """A process is gone: the next connection has another one started, unless one is there."""
        it = self._of_pool[executor.function.number]
        was_before = it.before.pop(executor.number, None) is not None
        if it.pool is None:
            if it.has_ended:
                del self.services[it.service_id]
            return
        is_current = not was_before and executor.function is it.pool.function
        is_lost = fact.reason in GONE
        if is_current and not executor.loaded and not is_lost:
            self._cannot(it, executor.failure or unready(executor, fact), now)
        if is_lost and not it.live and it.is_wanted and it.error is None:
            call(it, now, self.scheduler)
        elif not it.live and it.is_wanted:
            self._listen_again(it, now)
        self._tell(it, "ended", now)

    def _cannot(self, it: Service, error: ErrorInfo, now: float) -> None:
        """A start has failed: those who wait for it are told, unless an older version goes on."""
        it.fails(error, now)
        if not it.is_up and it.url is not None:
            self.scheduler.effects.append(Refuse(it.service_id, error.message))
        self._tell(it, "failed", now)

    def _cannot_be_paid(self, it: Service, now: float) -> None:
        """Nothing is left of the balance: what is up goes on, and a new version waits for more."""
        refusal = self.scheduler.costs.refusal()
        it.is_called = it.is_up
        it.failures *= it.is_up
        self._cannot(it, ErrorInfo(refusal.code, str(refusal)), now)
        self.shared.wake_at(it.rest_until)
        self._listen_again(it, now)

    def _listen_again(self, it: Service, now: float) -> None:
        """Be told of the next connection, once one may lead to a start."""
        if it.url is None or it.is_up:
            return
        if now < it.rest_until:
            it.is_called = True
            self.shared.wake_at(it.rest_until)
            return
        self.scheduler.effects.append(Rouse(it.service_id))

    # --- time -----------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Go on where a start was put off, or a door could not be opened."""
        self.meters.tick(now)
        for it in self.services.values():
            if it.listen_at <= now:
                self._open(it)
            else:
                self.shared.wake_at(it.listen_at)
            if it.is_called and it.url is not None:
                if it.rest_until > now:
                    self.shared.wake_at(it.rest_until)
                    continue
                it.is_called = False
                if it.error is None or it.is_up:
                    self._run(it, now)
                else:
                    self._listen_again(it, now)

    # --- what is kept ---------------------------------------------------------------------------

    def number_after(self, number: int) -> None:
        """Nothing here is numbered."""

    def load(self, key: list[str], record: bytes, now: float) -> None:
        """Take back where a service listens, and whether it is to; its deployment puts the rest."""
        (service_id, port, is_wanted), _ = unpack(record)
        it = self.services.setdefault(service_id, Service(service_id))
        it.port, it.is_wanted = port, is_wanted

    def loaded(self, now: float) -> None:
        """All records are back, and deployments have put what is live: the others are of none."""
        for it in [it for it in self.services.values() if it.pool is None]:
            del self.services[it.service_id]
            self._forget(it)

    def check(self) -> None:
        """See to it that everything agrees; for tests."""
        for it in self.services.values():
            assert it.pool is not None or it.before or it.url is None, "a service of nobody"
            assert it.is_wanted or it.url is None, "stopped, and listens"
            for executor in it.before.values():
                assert executor.number in self.shared.ledger.executors, "one that is gone"
