"""Starts executors, carries what the core wants of them, and tells what becomes of them."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from select import EPOLLIN, EPOLLOUT, epoll
from typing import Any

from apothic_backends.model.errors import ApothicError
from apothic_backends.model.functions import FunctionSpec
from apothic_backends.model.jobs import ErrorInfo
from apothic_emulator.agent.aside import Aside
from apothic_emulator.agent.ends import Ends
from apothic_emulator.agent.limits import Keeper
from apothic_emulator.agent.line import Line, Post
from apothic_emulator.agent.logs import LogPipe
from apothic_emulator.agent.zygote import MARK, Zygote
from apothic_emulator.agent.zygotes import Environment, Start, Zygotes
from apothic_emulator.core.doors import Door
from apothic_emulator.core.effects import (
    Credit,
    Dispatch,
    DispatchBatch,
    DumpStack,
    Effect,
    Errand,
    FindGpus,
    Interrupt,
    Kill,
    Recall,
    Retire,
    StartExecutor,
    Terminate,
    sent,
)
from apothic_emulator.core.facts import Ended, GivenUp, LoadFailed, Recalled, Refused, StackDumped
from apothic_emulator.executors import orders, wire
from apothic_emulator.executors.limits import pack
from apothic_emulator.executors.orders import Message
from apothic_emulator.executors.wire import Frame

_HANG_UP_MS = 200
"""Between the end of an executor's channel and its own, if it is only exiting."""

_VISIBLE = "CUDA_VISIBLE_DEVICES"

_SILENCE_S = 10.0
"""A zygote that has executors to kill, and says nothing for this long, is stuck."""

Answer = Callable[[Line, Frame], None]


class Agent:
    """The executors of this machine.

    `channels` is the epoll that a waiting caller may lead; `errands` is the host thread's own,
    for what no caller waits for: log pipes and the zygote.
    """

    def __init__(
        self,
        zygote: Zygote,
        channels: epoll,
        errands: epoll,
        post: Post,
        answer: Answer,
        *,
        keeper: Keeper,
        archives: Path | None = None,
        delivery: Any = None,
    ) -> None:
        self.channels = channels
        self.errands = errands
        self.post = post
        self.answer = answer
        self.lines: dict[int, Line] = {}
        self.by_fd: dict[int, Line] = {}
        self.aside = Aside(errands, post)
        self.ends = Ends(post, keeper, self.aside.ended)
        self._burying = threading.Lock()
        self.pipes: dict[int, tuple[Line, LogPipe]] = {}
        self.zygote = zygote
        self.zygotes = Zygotes(zygote, errands, post)
        self.keeper = keeper
        keeper.relax = self.zygotes.relax
        self._archives = archives
        self._delivery: Any = delivery
        self._stock: Any = None
        self._environments: Any = None
        self._executors = os.environ.get("APOTHIC_EXECUTORS") or "process"
        self._first = threading.Lock()
        self._effects: dict[type, Callable[[Line, Effect], None]] = {
            Interrupt: lambda line, effect: line.interrupt(effect.job),  # type: ignore[union-attr]
            Credit: lambda line, effect: line.credit(effect),  # type: ignore[arg-type]
            DumpStack: self._dump_stack,
            Terminate: self._terminate,
            Kill: lambda line, _: self.zygotes.signal(line.number, signal.SIGKILL),
            Retire: lambda line, _: line.hang_up(),
        }

    def find_limits(self) -> None:
        """Find out by what limits can be kept here."""
        self.zygotes.clean_up(self.keeper.find())

    def carry_out(self, effect: Effect, touched: set[Line]) -> None:
        """Do one thing, under the core's lock; lines in `touched` are to be flushed after it."""
        if type(effect) is StartExecutor:
            line = self._start(effect)
        elif type(effect) is Recall:
            line = self._recall(effect)
        else:
            with self._burying:
                line = self.lines.get(effect.executor)
                if line is None and isinstance(effect, FindGpus | Door | Errand):
                    self.aside.carry_out(effect)
                elif line is None:
                    self.ends.give_back(effect)
                elif type(effect) is Dispatch or type(effect) is DispatchBatch:
                    self._dispatch(line, effect)
                else:
                    self._effects[type(effect)](line, effect)
        if line is not None:
            touched.add(line)

    @property
    def delivery(self) -> Any:
        """A `Delivery`, loaded for the first function that has secrets."""
        with self._first:
            if self._delivery is None:
                from apothic_emulator.agent.delivery import Delivery  # see above  # noqa: PLC0415

                self._delivery = Delivery(self.flush)
            return self._delivery

    @property
    def stock(self) -> Any:
        """A `Stock`, loaded for the first function that is shipped."""
        with self._first:
            if self._stock is None:
                from apothic_emulator.agent.stock import Stock  # see above  # noqa: PLC0415

                self._stock = Stock(self._archives)
            return self._stock

    @property
    def environments(self) -> Any:
        """`Environments`, loaded for the first function that has an image."""
        if self._environments is None:
            from apothic_emulator.agent.environments import Environments  # noqa: PLC0415 - see above

            self._environments = Environments(self.stock, self._executors)
        return self._environments

    def carry_out_beside(self, command: Any, token: Any) -> None:
        """Do what is asked without the core, which is not to know of it."""
        stocked = command.__module__.endswith((".archives", ".volumes"))
        beside = self.stock if stocked else self.delivery.safe
        beside.carry_out(command, token)

    def _dispatch(self, line: Line, effect: Dispatch | DispatchBatch) -> None:
        if line.needs and self.delivery.is_stale(line):
            self.post(Refused(line.number, sent(effect)))
        elif type(effect) is Dispatch:
            line.dispatch(effect)
        elif type(effect) is DispatchBatch:
            line.dispatch_batch(effect)
        self._watch(line.number)

    def _watch(self, number: int) -> None:
        if self.keeper.watches:
            self.zygotes.watch(number)

    def _start(self, effect: StartExecutor) -> Line | None:
        spec = effect.spec
        try:
            environment = self._environment(spec)
            task = None if environment is None else self.zygotes.task(environment)
            tree = None if spec.source is None else self.stock.tree(spec.source)
            own = self._variables(effect, environment)
            line = Line(effect, self.post, own, tree, environment=environment, task=task)
        except OSError as error:  # no descriptors, say: this one is tried again
            self.ends.report(Ended(effect.executor, "start", detail=str(error)))
            return None
        except ApothicError as error:
            told = ErrorInfo(error.code, error.message, data=error.data)
            self.post(LoadFailed(effect.executor, told))
            self.ends.report(Ended(effect.executor, "start", detail=error.message))
            return None
        self.lines[line.number] = line
        if effect.gpus:
            self.aside.took(effect)
        for channel in (line.bulk, line.session, line.jobs_out.socket):
            self.by_fd[channel.fileno()] = line
            self.channels.register(channel, EPOLLIN if channel is not line.jobs_out.socket else 0)
        for pipe in line.logs:
            self.pipes[pipe.fd] = line, pipe
            self.errands.register(pipe.fd, EPOLLIN)
        try:
            self.zygotes.start(self._fork(line, effect), environment, builds=task is not None)
        except OSError as error:
            self._bury(line, Ended(line.number, "start", detail=str(error)))
        return line

    def _environment(self, spec: FunctionSpec) -> Environment | None:
        is_sandbox = spec.cls is not None and spec.cls.is_sandbox  # those isolate by themselves
        if spec.image is None and (self._executors == "process" or is_sandbox):
            return None
        return self.environments.of(spec)

    def _fork(self, line: Line, effect: StartExecutor) -> Start:
        spec = effect.spec
        flags = orders.BY_VALUE if effect.code.codec != "ref" else 0
        if self.keeper.wants_processes:
            flags |= orders.TELL_PID
        handed = line.channels.to_hand_over
        if spec.service is not None:
            handed += self.aside.doors.to_hand_over(f"{spec.app_name}/{spec.name}")

        def forked() -> None:
            line.channels.handed_over()
            self._watch(line.number)
            if line.needs:
                self.delivery.begin(line, spec)

        return Start(effect, handed, pack(self.keeper.allow(line.number, spec)), flags, forked)

    def _variables(self, effect: StartExecutor, environment: Environment | None) -> dict[str, str]:
        mark = self.zygote.mark
        if environment is not None:
            mark = self.zygotes.mark(environment, effect.executor)
        own = {MARK: mark, **self.keeper.environment(effect.spec)}
        if effect.gpus:
            own |= {_VISIBLE: ",".join(effect.gpus), "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
        elif effect.spec.gpu_count:
            from apothic_emulator.agent.missing import tell_missing  # seldom  # noqa: PLC0415

            tell_missing(effect.spec)
            own[_VISIBLE] = ""
        return {**os.environ, **own}

    def _recall(self, effect: Recall) -> Line | None:
        line = self.lines.get(effect.executor)
        if line is None:
            return None
        # Reports of jobs that the executor takes meanwhile must not overtake this. Whoever buries
        # it holds `reading` when it asks for `_burying`: nobody may ask in the other order.
        with line.reading:
            if not line.is_closed:
                self.post(Recalled(line.number, line.take_back(all_of_them=False)))
        return line

    def _dump_stack(self, line: Line, effect: Effect) -> None:
        line.asked_for_stack = True
        self.zygotes.signal(line.number, wire.DUMP_SIGNAL)

    def _terminate(self, line: Line, effect: Effect) -> None:
        self.post(StackDumped(line.number, line.read_stack()))
        self.zygotes.signal(line.number, signal.SIGTERM)

    # --- what comes back ------------------------------------------------------------------------

    def read_channel(self, fd: int, events: int) -> bool:
        """Something can be read from, or written to, an executor; False if it is not one's."""
        line = self.by_fd.get(fd)
        if line is None:
            return False
        if events & EPOLLOUT:
            self._write_on(fd, line)
            if events == EPOLLOUT:
                return True
        with line.reading:
            if line.is_closed:
                return True
            is_good = line.read_bulk() if fd == line.bulk_fd else line.read_session(self.answer)
            if not is_good:
                self._hung_up(line)
                return True
        if line.preload and line.is_loaded:
            self.zygotes.preload(line.number, line.preload)
            line.preload = ()
        return True

    def _hung_up(self, line: Line) -> None:
        """A channel has ended: its process is ending, or is to be ended if it is not.

        The caller holds `reading`, so that the line is not closed, and the numbers of its
        descriptors given to others, before the last of them is forgotten.
        """
        self._forget_channels(line)
        self.zygotes.hung_up(line.number, 0 if line.fault else _HANG_UP_MS)

    def flush(self, line: Line) -> None:
        """Write what can be written, and ask to be told when there is room for the rest."""
        for outgoing in line.outgoing:
            if outgoing.waiting and not outgoing.flush():
                self._want(outgoing.socket.fileno(), line, EPOLLOUT)

    def _write_on(self, fd: int, line: Line) -> None:
        """There is room again."""
        for outgoing in line.outgoing:
            if outgoing.socket.fileno() == fd and outgoing.flush():
                self._want(fd, line, 0)
                self.flush(line)  # what another thread has added meanwhile

    def _want(self, fd: int, line: Line, more: int) -> None:
        """Be told when there is something to read, except of `jobs`, and of `more`."""
        reads = 0 if fd == line.jobs_out.socket.fileno() else EPOLLIN
        try:
            self.channels.modify(fd, reads | more)
        except (OSError, ValueError):
            return  # its executor was buried meanwhile

    def run_errand(self, fd: int, busy: Callable[[], list[int]]) -> None:
        """Something has come that no caller waits for; `busy` says who is at work."""
        if fd in self.pipes:
            self._read_pipe(fd)
        elif (said := self.zygotes.hear(fd)) is not None:
            self._hear(said, busy)
        else:
            self.aside.knocked(fd)

    def _read_pipe(self, fd: int) -> None:
        """An executor has printed."""
        line, pipe = self.pipes[fd]
        if line.is_closed or not line.read_log(pipe):
            self.errands.unregister(fd)
            del self.pipes[fd]

    def _hear(self, said: list[Message], busy: Callable[[], list[int]]) -> None:
        """Executors have ended, or were started, or use too much."""
        for message in said:
            line = self.lines.get(message.number)
            if message.kind == orders.WATCHED:
                for number in busy():
                    self.zygotes.watch(number)
            elif line is None:
                continue
            elif message.kind == orders.STARTED:
                self.keeper.started(line.number, message.value)
            elif message.kind == orders.OVER:
                self.keeper.over(line.number, message.value, message.flags)
            else:
                self._bury(line, self.ends.reason(line, message))

    def _bury(self, line: Line, end: Ended) -> None:
        """Take what a dead executor has left, then report its end."""
        with line.reading:
            if line.is_closed:
                return  # its zygote ended while it was asked for it, and that was heard first
            self._forget_channels(line)
            line.drain(self.answer)
            stack = line.read_stack()
            if stack:
                self.post(StackDumped(line.number, stack))
            for _, request, reply in line.lent.take_all_back():
                self.post(GivenUp(request, reply))
            with self._burying:
                end.unstarted = line.take_back(all_of_them=True)
                self.lines.pop(line.number, None)
                self.ends.report(end)
            self.keeper.ended(line.number)
            for pipe in line.logs:
                if self.pipes.pop(pipe.fd, None) is not None:
                    self.errands.unregister(pipe.fd)
            line.close()

    def kill_all(self) -> None:
        """Kill every executor; each end is reported."""
        for number in list(self.lines):
            self.zygotes.signal(number, signal.SIGKILL)

    def end_all(self) -> None:
        """Kill every executor and see it end; some are left only if the zygote does not answer."""
        self.aside.end(_SILENCE_S)
        for number in self.lines:
            self.zygotes.signal(number, signal.SIGKILL)
        while self.lines and (said := self.zygotes.wait(_SILENCE_S)) is not None:
            for message in said:  # an end that came later would be taken for one of the next host's
                if message.kind in (orders.ENDED, orders.FAILED) and message.number in self.lines:
                    self.lines.pop(message.number).close()
        self.zygotes.end_guests()

    def close(self) -> None:
        """Let go of everything but the zygote, whose executors have ended."""
        self.zygotes.end_guests()
        for line in list(self.lines.values()):
            line.close()
        self.keeper.close()
        self.aside.close()

    def _forget_channels(self, line: Line) -> None:
        for channel in (line.bulk, line.session, line.jobs_out.socket):
            fd = channel.fileno()
            if self.by_fd.pop(fd, None) is not None:
                self.channels.unregister(fd)
