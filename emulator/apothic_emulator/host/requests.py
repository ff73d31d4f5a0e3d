"""A command that user code in an executor has sent: where its reply goes."""

from __future__ import annotations

from typing import Any

from apothic_backends import codec
from apothic_emulator.agent.line import Line
from apothic_emulator.executors import wire


class Unheard:
    """In place of a request whose reply nobody wants."""

    __slots__ = ()
    done = False

    def complete(self, value: Any) -> bool:
        """Drop the reply."""
        return True

    def fail(self, error: BaseException) -> bool:
        """Drop the error."""
        return True


class SessionRequest:
    """What a ticket is to commands of this process: it writes the reply to the channel."""

    __slots__ = ("_agent", "_line", "_number", "done")

    def __init__(self, agent: Any, line: Line, number: int) -> None:
        self._agent = agent
        self._line = line
        self._number = number
        self.done = False
        line.requests[number] = self

    def complete(self, value: Any) -> bool:
        """Send the reply; False if nobody is there to get it."""
        return self._send(wire.REPLY, value)

    def fail(self, error: BaseException) -> bool:
        """Send the error."""
        return self._send(wire.FAILURE, error)

    def _send(self, kind: int, value: Any) -> bool:
        if self._line.is_closed or self._line.requests.pop(self._number, None) is None:
            return False
        self.done = True
        buffers: list[Any] = []
        body = codec.to_bytes(value, buffers)
        self._line.reply(kind, self._number, body, tuple(buffers))
        self._agent.flush(self._line)
        return True
