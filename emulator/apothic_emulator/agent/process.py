"""`apothic agent`: this machine's executors, for a control plane elsewhere.

    main thread   executors (the very same `Agent` that programs have), the outpost, the clock
    reader        dials, again and again; reads what comes
    writer        writes what waits

The main thread never waits for the network. It starts the zygote, so it must live as long.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from select import EPOLLIN, epoll
from typing import Any

from apothic_backends.home import home
from apothic_backends.model.agents import AgentSuperseded
from apothic_emulator.agent import channel, messages, post
from apothic_emulator.agent.agent import Agent
from apothic_emulator.agent.channel import ChannelError, Frame
from apothic_emulator.agent.dialing import Dialer
from apothic_emulator.agent.inlets import Inlets
from apothic_emulator.agent.limits import Keeper
from apothic_emulator.agent.line import Line
from apothic_emulator.agent.messages import Answer, Devices, Dial, GaveUp, Give
from apothic_emulator.agent.outpost import NEVER, Outpost
from apothic_emulator.agent.zygote import Zygote
from apothic_emulator.core.effects import Kill, Retire, StartExecutor
from apothic_emulator.core.facts import Ended, GivenUp
from apothic_emulator.core.hellos import Capacity, Gpu
from apothic_emulator.executors.wire import Frame as WireFrame

LONGEST_WAIT_S = 60.0
SHORTEST_WAIT_S = 0.1
"""Between two looks at what is due: a beat is, for as long as there is no connection."""
CACHE_BYTES = 4 << 30
"""Archives of code that an agent keeps, unless it is told otherwise."""

_MOST_EVENTS = 64
GRACE_S = 30.0
"""What running calls get to end when an agent is asked to stop."""

_LEAVE_S = 5.0
"""What executors get to end, and the control plane to hear of that, when an agent leaves."""


class Station:
    """One agent process; a `tag` is that of its machine, which was rented then."""

    def __init__(
        self,
        dialer: Dialer,
        name: str,
        capacity: Capacity,
        grace_s: float = GRACE_S,
        cache_bytes: int = CACHE_BYTES,
        *,
        tag: str = "",
        tell: Callable[[str], object] = bool,
    ) -> None:
        """`tell` is for whoever looks on: what becomes of the connection, in a line."""
        self.channels, self.errands = epoll(), epoll()
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.zygote = Zygote()
        self._said: deque[Any] = deque()
        """What executors have said, and questions of their code, in order."""
        self._handed = post.Handed()
        self.agent = Agent(
            self.zygote,
            self.channels,
            self.errands,
            self._said.append,
            self._asked,
            keeper=Keeper(),
            delivery=self._handed,
            archives=home() / "agents" / "archives",
        )
        self.agent.stock.most = cache_bytes
        self._inlets = Inlets(self.errands, dialer.streams)
        self.agent.aside.use(self._inlets)
        self.agent.aside.wake = self.wake
        self.agent.aside.gives(capacity.gpus, self._gpus_changed)
        self.errands.register(self._wake_fd, EPOLLIN)
        self.errands.register(self.channels, EPOLLIN)
        self.lock = threading.Lock()
        """Of the outpost."""
        self._touched: set[Line] = set()
        self.outpost = Outpost(
            name,
            os.urandom(8).hex(),
            capacity,
            self._carry_out,
            self._answer,
            python=f"{sys.version_info.major}.{sys.version_info.minor}",
            platform=f"{sys.platform}-{os.uname().machine}",
            tag=tag,
        )
        self._heard: deque[tuple[Any, Frame]] = deque()
        """What came, and on which connection."""
        self.dialer = dialer
        self._connection: Any = None
        self.ending: BaseException | None = None
        self.grace_s = grace_s
        self._stops = 0
        """How often it was asked to stop."""
        self._leave_at = NEVER
        self._tell_user = tell
        self._told = ""

    # --- threads of the connection --------------------------------------------------------------

    def hello(self) -> bytes:
        """What is said first on a connection."""
        with self.lock:
            return self.outpost.hello(time.monotonic())

    def heard(self, connection: Any, frame: Frame) -> None:
        """A frame has come."""
        self._heard.append((connection, frame))
        self.wake()

    def next_frame(self, connection: Any) -> bytes | None:
        """What is to be written next on a connection; None if nothing is."""
        with self.lock:
            if connection is not self._connection:
                return None
            outpost = self.outpost
            return outpost.channel.next_frame() or outpost.beat(time.monotonic())

    @property
    def heard_at(self) -> float:
        """When something was said that the control plane has acknowledged; the latest."""
        return self.outpost.heard_at

    def wake(self) -> None:
        """Have the main thread look."""
        os.eventfd_write(self._wake_fd, 1)

    def cut(self, why: str) -> None:
        """There is no connection; one is dialled in a moment."""
        if not self._stops:
            self._tell(f"not connected to {self.dialer.url} ({why}); trying again")

    def end(self, cause: BaseException) -> None:
        """Stop all work, and end."""
        self.ending = self.ending or cause
        self.wake()

    def stop(self) -> None:
        """Take nothing new, and end when all has ended that runs; at once if asked again."""
        self._stops += 1  # and nothing else: a signal interrupts whoever holds the lock
        self.wake()

    # --- the main thread ------------------------------------------------------------------------

    def run(self) -> None:
        """Work until it is to end.

        Raises:
            AgentSuperseded: a later process has the same name, or this machine is to go.
            ApothicError: the control plane does not take this agent.
        """
        self.zygote.start()
        try:
            self.agent.find_limits()
            self.dialer.start(self)
            while self.ending is None and not self._is_to_leave():
                self._turn(self._patience_s())
            if self.ending is None:
                self._leave()
        finally:
            self.dialer.stop()
            self.agent.end_all()
            self.zygote.end()
            self.zygote.wait()
            self.zygote.close()
            self.agent.keeper.close()
        if self.ending is not None:
            raise self.ending

    def _patience_s(self) -> float:
        """How long to wait for something to happen: until the next beat, or the fence."""
        with self.lock:
            due = min(self.outpost.beat_at, self.outpost.fence_at, self._leave_at)
        return min(LONGEST_WAIT_S, max(SHORTEST_WAIT_S, due - time.monotonic()))

    def _turn(self, patience_s: float) -> None:
        """Wait for something, and do all that comes of it."""
        for fd, _ in self.errands.poll(patience_s):
            self._run_errand(fd)
        with self.lock:
            while self._said:
                said = self._said.popleft()
                if isinstance(said, Devices):
                    self.outpost.found(said)
                    continue
                if isinstance(said, Ended):
                    self._inlets.ended(said.executor)
                self.outpost.say(_as_message(said), time.monotonic())
            self._take_in()
            now = time.monotonic()
            self.outpost.tick(now)
            if now >= self.outpost.beat_at:
                self.dialer.ring()
            is_behind = self.outpost.channel.is_behind
        self._flush()
        if is_behind:
            self.dialer.ring()

    def _gpus_changed(self, gpus: tuple[Gpu, ...], reason: str) -> None:
        self._said.append(Devices(gpus, reason))
        self.wake()

    def _run_errand(self, fd: int) -> None:
        agent = self.agent
        if fd == self._wake_fd:
            os.eventfd_read(fd)
        elif fd == self.channels.fileno():
            for channel_fd, mask in self.channels.poll(0, _MOST_EVENTS):
                agent.read_channel(channel_fd, mask)
        else:
            agent.run_errand(fd, self._busy)

    def _busy(self) -> list[int]:
        return list(self.agent.lines)

    def _take_in(self) -> None:
        """Do what the control plane says, for as long as nothing has to end before."""
        while self._heard and not self.outpost.dying:
            connection, frame = self._heard.popleft()
            try:
                self._hear(connection, frame)
            except ChannelError:
                self._connection = None
                connection.close()

    def _hear(self, connection: Any, frame: Frame) -> None:
        if frame.kind == channel.WELCOME and connection is not self._connection:
            self.outpost.welcomed(frame, time.monotonic())
            self._connection = connection
            self.dialer.succeeded()
            self._tell(f"joined {self.dialer.url} as {self._introduction()}")
        elif frame.kind == channel.REFUSED:
            error = messages.error_from_bytes(frame.body)
            if isinstance(error, AgentSuperseded):
                self.ending = error
            else:
                self._tell(f"{self.dialer.url} does not take this agent: {error}; trying again")
        elif connection is self._connection:
            self.outpost.take(frame, time.monotonic())

    def _flush(self) -> None:
        while self._touched:
            self.agent.flush(self._touched.pop())

    def _introduction(self) -> str:
        """Who this is, and what it gives."""
        outpost, gives = self.outpost, self.outpost.capacity
        gpus = "".join(f", {gpu.name}" for gpu in gives.gpus)
        return f"{outpost.name}: {gives.cpu:g} cores, {gives.memory_mb} MB{gpus}"

    def _tell(self, line: str) -> None:
        """Tell whoever looks on, unless that is what was told last."""
        if line != self._told:
            self._told = line
            self._tell_user(line)

    # --- what the outpost wants -----------------------------------------------------------------

    def _carry_out(self, effect: Any) -> None:
        if isinstance(effect, Dial):
            self._inlets.dial(effect.service, effect.stream)
            return
        if isinstance(effect, StartExecutor) and effect.spec.service is not None:
            self._inlets.started(effect.executor, f"{effect.spec.app_name}/{effect.spec.name}")
        elif isinstance(effect, (Retire, Kill)):
            self._inlets.ends(effect.executor)
        self.agent.carry_out(effect, self._touched)

    def _answer(self, message: Answer | Give) -> None:
        line = self.agent.lines.get(message.executor)
        if line is None:
            return
        if isinstance(message, Give):
            self._handed.give(message)
        else:
            post.reply(line, message)
        self._touched.add(line)

    def _asked(self, line: Line, frame: WireFrame) -> None:
        self._said.append(post.question_of(line, frame))
        self._touched.add(line)

    # --- the end --------------------------------------------------------------------------------

    def _is_to_leave(self) -> bool:
        """Whether it was asked to stop, and nothing is left to wait for."""
        if not self._stops:
            return False
        with self.lock:
            if not self.outpost.is_draining:
                self._leave_at = time.monotonic() + self.grace_s
                self.outpost.drain()
                self.dialer.ring()
            is_over = self.outpost.is_empty or time.monotonic() >= self._leave_at
        return is_over or self._stops > 1

    def _leave(self) -> None:
        """Kill all executors, and see to it that the control plane knows."""
        with self.lock:
            for number in list(self.agent.lines):
                self._carry_out(Kill(number))
        deadline = time.monotonic() + _LEAVE_S
        while time.monotonic() < deadline and (self.agent.lines or self._is_unheard()):
            self._turn(0.05)
        self.dialer.say_last(Frame(channel.LEAVE, 0, 0).pack())

    def _is_unheard(self) -> bool:
        with self.lock:
            return self._connection is not None and bool(self.outpost.executors)


def _as_message(said: Any) -> Any:
    """What an executor's end of things means for the control plane."""
    if isinstance(said, GivenUp):
        request: Any = said.token
        return GaveUp(request.executor, request.number)
    return said
