"""How executors have ended: why, and what the core has not heard of yet."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from apothic_emulator.agent.limits import Keeper
from apothic_emulator.agent.line import Line, Post
from apothic_emulator.agent.zygote import failure
from apothic_emulator.core.effects import Effect, sent
from apothic_emulator.core.facts import Ended
from apothic_emulator.executors import orders, wire
from apothic_emulator.executors.orders import Message

_MOST = 256


class Ends:
    """The latest ends of an agent's executors."""

    def __init__(self, post: Post, keeper: Keeper, looked_into: Callable[[Ended], bool]) -> None:
        """An end that is `looked_into` is posted by whoever does that."""
        self._post, self._looked_into = post, looked_into
        self._keeper = keeper
        self._latest: dict[int, Ended] = {}

    def report(self, end: Ended) -> None:
        """Post it, and keep it for jobs that the core dispatches before it has heard of it."""
        self._latest[end.executor] = end
        if len(self._latest) > _MOST:
            del self._latest[next(iter(self._latest))]
        if not self._looked_into(end):
            self._post(end)

    def give_back(self, effect: Effect) -> None:
        """The executor has ended, as the core is about to hear: these jobs have not begun."""
        end = self._latest.get(effect.executor)
        if end is not None:
            end.unstarted += sent(effect)

    def reason(self, line: Line, message: Message) -> Ended:
        """Turn a wait status into a reason."""
        if message.kind == orders.FAILED:
            return Ended(line.number, "start", detail=failure(message))
        code = os.waitstatus_to_exitcode(message.value)
        excess = self._keeper.excess(line.number) if code == -signal.SIGKILL else None
        if excess is not None:
            return Ended(line.number, "oom", signal=-code, excess=excess)
        was_killed = bool(message.flags & orders.WAS_KILLED)
        if line.fault or was_killed or code == wire.CHANNEL_LOST:
            return Ended(line.number, "protocol", detail=line.fault or "its channel was closed")
        if code < 0:
            return Ended(line.number, "signal", signal=-code)
        return Ended(line.number, "exit", exit_code=code)
