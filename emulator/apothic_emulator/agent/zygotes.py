"""The zygotes of an agent: its own, for functions that run where their caller does, and guests.

A guest lives in an environment that an image describes. What is not there yet is made first, by a
builder: an executor of our own zygote, which has the number and the channels of the one to come. So
it prints, fails, is killed, and ends with its host as any other.

    start ─no image──────────────────────────────────────► own zygote ──fork──► executor
          └image─► is it there? ─yes───────────────────► its zygote ──fork──► executor
                        └no──► own zygote ──fork──► builder ──ended well──┘
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from select import EPOLLIN, epoll, poll
from typing import Any, NamedTuple, Protocol

from apothic_emulator.agent import interpreter
from apothic_emulator.agent.zygote import MARK, Launch, Zygote
from apothic_emulator.core.effects import StartExecutor
from apothic_emulator.core.facts import Input, LoadFailed, Prepared
from apothic_emulator.executors import orders
from apothic_emulator.executors.orders import Message


class Environment(Protocol):
    """Where the executors of one image run; there is one object for each, and threads share it."""

    key: str
    """Executors of environments with one key share a zygote; each has its own if it is empty."""
    disk: str
    """By what the `disk_gb` of an executor is kept; empty where it is as without an image."""

    def task(self) -> dict[str, Any] | None:
        """What a builder has to do, see `executors.builder`; None if all is there.

        `module` names who does it; `env` and `path` are those of this program, unless it says else.

        This is asked under the core's lock, so it looks at a file at the most.
        """
        ...

    def settle(self, load: dict[str, Any]) -> None:
        """Change what an executor is told first: `load` is the body of its LOAD."""
        ...

    def launcher(self, effect: StartExecutor, own: Zygote) -> Launch:
        """What launches its zygote, if this executor is the first; `own` may fork it."""
        ...

    def abandoned(self) -> None:
        """A builder was killed: see to it that nothing is left. It is called on a thread."""
        ...


class Start(NamedTuple):
    """One executor that is to be forked."""

    effect: StartExecutor
    handed: list[int]
    """Descriptors that go with it."""
    allowed: bytes
    """Its limits, packed."""
    flags: int
    forked: Callable[[], None]
    """Called once it is asked for."""

    @property
    def number(self) -> int:
        """The executor's."""
        return self.effect.executor


class Zygotes:
    """Passes on to each executor's zygote what is asked of it."""

    def __init__(self, own: Zygote, errands: epoll, post: Callable[[Input], None]) -> None:
        self.own = own
        self._errands = errands
        self._post = post
        self._lock = threading.RLock()
        """Of all that follows."""
        self._guests: dict[str, Zygote] = {}
        """Those that take executors, by the key of their environment or the executor's number."""
        self._by_fd: dict[int, Zygote] = {}
        """Guests by what tells that they have said something, those that are about to end too."""
        self._guest_of: dict[int, Zygote] = {}
        self._building: dict[int, tuple[Start, Environment]] = {}
        self._clearing: list[threading.Thread] = []
        """What removes what builders have left that were killed."""
        self._folders: tuple[str, ...] = ()
        errands.register(own.control, EPOLLIN)

    # --- starts ---------------------------------------------------------------------------------

    def mark(self, environment: Environment, number: int) -> str:
        """By what everything under the zygote of an executor can be recognised."""
        return f"{_name(environment, number)[:16]}.{self.own.mark}"

    def task(self, environment: Environment) -> dict[str, Any] | None:
        """What has to be built before an executor can be forked there."""
        task = None if environment.key in self._guests else environment.task()
        if task is None:
            return None
        env = {**os.environ, MARK: self.own.mark}
        return {"env": env, "path": interpreter.installed(), **task}

    def start(self, start: Start, environment: Environment | None, *, builds: bool) -> None:
        """Have an executor forked, as soon as its environment is there.

        Raises:
            OSError: its zygote is gone or cannot be started, or a descriptor cannot be passed.
        """
        if environment is None:
            self.own.fork(start.number, start.handed, start.allowed, start.flags)
            start.forked()
        elif not builds:
            self._fork_guest(start, environment)
        else:
            with self._lock:
                self._building[start.number] = start, environment
            try:
                self.own.fork(start.number, start.handed, flags=orders.BUILD)
            except OSError:
                self._building.pop(start.number, None)
                raise

    def _fork_guest(self, start: Start, environment: Environment) -> None:
        with self._lock:
            guest = self._open(start, environment)
            guest.fork(start.number, start.handed, start.allowed, start.flags)
            self._guest_of[start.number] = guest
        self._post(Prepared(start.number))
        start.forked()

    def _open(self, start: Start, environment: Environment) -> Zygote:
        """The zygote for an executor, which is launched if it is the first there."""
        name = _name(environment, start.number)
        guest = self._guests.get(name)
        if guest is None:
            mark = self.mark(environment, start.number)
            guest = Zygote(environment.launcher(start.effect, self.own), mark)
            try:
                guest.start()
            except BaseException:
                guest.close()
                raise
            guest.clean_up(self._folders)
            self._guests[name] = guest
            self._by_fd[guest.control.fileno()] = guest
            self._errands.register(guest.control, EPOLLIN)
        return guest

    # --- what is passed on ----------------------------------------------------------------------

    def _of(self, number: int) -> Zygote:
        return self._guest_of.get(number, self.own)

    def signal(self, number: int, signum: int) -> None:
        """Send an executor a signal, if it has not ended."""
        self._of(number).signal(number, signum)

    def watch(self, number: int) -> None:
        """See to it that an executor's memory is looked at for a while."""
        self._of(number).watch(number)

    def relax(self, number: int, limit_mb: int) -> None:
        """Watch an executor under another limit."""
        self._of(number).relax(number, limit_mb)

    def hung_up(self, number: int, patience_ms: int) -> None:
        """Its channel has ended: it is killed unless it ends by itself within the time."""
        self._of(number).hung_up(number, patience_ms)

    def preload(self, number: int, modules: tuple[str, ...]) -> None:
        """Have modules imported for executors to come; guests have no other path than this one."""
        if number not in self._guest_of:
            self.own.preload(modules)

    def clean_up(self, folders: tuple[str, ...]) -> None:
        """Have control groups removed if this process dies."""
        self._folders = folders
        self.own.clean_up(folders)

    # --- what comes back ------------------------------------------------------------------------

    def hear(self, fd: int) -> list[Message] | None:
        """What a zygote has said since; None if the descriptor is none of theirs."""
        if fd == self.own.control.fileno():
            said = self.own.hear()
            return list(filter(None, map(self._after_build, said))) if self._building else said
        with self._lock:
            guest = self._by_fd.get(fd)
            return None if guest is None else self._hear_guest(fd, guest)

    def _after_build(self, message: Message) -> Message | None:
        """If that is the good end of a builder, its executor is forked at last, and it is no news.

        Otherwise it is what is to be believed of the executor.
        """
        if message.kind not in (orders.ENDED, orders.FAILED):
            return message
        start, environment = self._building.pop(message.number, (None, None))
        if start is None or environment is None:
            return message
        if message.kind == orders.ENDED and not message.value:
            try:
                self._fork_guest(start, environment)
            except OSError as error:
                return Message(orders.FAILED, message.number, error.errno or 0)
            return None
        if message.kind == orders.ENDED and os.WIFSIGNALED(message.value):
            clearing = threading.Thread(target=environment.abandoned, name="apothic-images")
            clearing.start()
            self._clearing.append(clearing)
        return message

    def _hear_guest(self, fd: int, guest: Zygote) -> list[Message]:
        said = guest.hear()
        for message in said:
            if message.kind == orders.IDLE and guest.is_idle:
                self._take_out(guest)
                guest.end()
            elif message.kind in (orders.ENDED, orders.FAILED):
                self._guest_of.pop(message.number, None)
                if guest.error is not None:
                    self._post(LoadFailed(message.number, guest.error))
        if guest.is_gone:
            self._take_out(guest)
            self._errands.unregister(fd)
            del self._by_fd[fd]
            guest.close()
        return [message for message in said if message.kind != orders.IDLE]

    def _take_out(self, guest: Zygote) -> None:
        """It gets no more executors."""
        for name, other in list(self._guests.items()):
            if other is guest:
                del self._guests[name]

    # --- the end --------------------------------------------------------------------------------

    def wait(self, patience_s: float) -> list[Message] | None:
        """Block for what one of them says; None if none says anything for so long."""
        readable = poll()
        for fd in (self.own.control.fileno(), *self._by_fd):
            readable.register(fd, EPOLLIN)
        for fd, _ in readable.poll(patience_s * 1000):
            return self.hear(fd) or []
        return None

    def end_guests(self) -> None:
        """End all but our own; executors that are left get a moment for their exit handlers."""
        with self._lock:
            guests = list(self._by_fd.items())
            self._by_fd.clear()
            self._guests.clear()
        for _, guest in guests:
            guest.end()
        for fd, guest in guests:
            guest.wait()
            self._errands.unregister(fd)
            guest.close()
        while self._clearing:
            self._clearing.pop().join()


def _name(environment: Environment, number: int) -> str:
    return environment.key or str(number)
