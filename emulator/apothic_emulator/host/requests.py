"""Commands that user code in an executor has sent: to the core, and their replies back."""

from __future__ import annotations

from typing import Any

from apothic_backends import codec
from apothic_backends.model.errors import ApothicError, OverLimit, TicketCancelled
from apothic_emulator.agent.agent import Agent
from apothic_emulator.agent.line import Line
from apothic_emulator.core.facts import Asked, GivenUp, Origin
from apothic_emulator.executors import wire
from apothic_emulator.executors.wire import Frame
from apothic_emulator.unheard import Unheard


class SessionRequest:
    """What a ticket is to commands of this process: it writes the reply to the channel."""

    __slots__ = ("_agent", "_line", "_number", "done")

    def __init__(self, agent: Agent, line: Line, number: int) -> None:
        self._agent = agent
        self._line = line
        self._number = number
        self.done = False
        line.requests[number] = self

    def complete(self, value: Any) -> bool:
        """Send the reply; False if nobody is there to get it, and what it holds goes back."""
        if not self._is_awaited():
            return False
        place = 0
        if getattr(value, "undo", None) is not None:
            place = self._line.lent.hold(self._number, self, value)
            if not place:
                self._send(wire.FAILURE, _too_many())
                return False
        self._send(wire.REPLY, value, place)
        return True

    def fail(self, error: BaseException) -> bool:
        """Send the error."""
        is_awaited = self._is_awaited()
        if is_awaited:
            self._send(wire.FAILURE, error)
        return is_awaited

    def _is_awaited(self) -> bool:
        """Whether a reply is owed still; none is from now on."""
        line = self._line
        if line.is_closed or line.requests.pop(self._number, None) is None:
            return False
        self.done = True
        return True

    def _send(self, kind: int, value: Any, place: int = 0) -> None:
        buffers: list[Any] = []
        body = codec.to_bytes(value, buffers)
        self._line.reply(kind, self._number, body, tuple(buffers), place)
        self._agent.flush(self._line)


def _too_many() -> ApothicError:
    return OverLimit("a worker has asked for more than 65,000 items and taken none of them yet")


def input_from(agent: Agent, line: Line, frame: Frame) -> Asked | GivenUp | None:
    """What the core is asked; None if that is nothing.

    Raises:
        WireError: it is not what executors ask.
    """
    if frame.kind == wire.GIVE_UP:
        return _given_up(line, frame.attempt)
    if frame.kind != wire.COMMAND:
        raise wire.WireError(f"a frame of kind {frame.kind} where commands are expected")
    number = frame.attempt
    request = SessionRequest(agent, line, number) if number else Unheard()
    try:
        command = codec.from_bytes(frame.body, frame.buffers)
    except (ValueError, RecursionError) as error:
        raise wire.WireError(f"a command that cannot be read: {error}") from error
    except ApothicError as error:
        request.fail(error)
        return None
    if command.beside_core:
        agent.carry_out_beside(command, request)
        return None
    if line.veils is not None:
        line.veils.hide_in(command)
    return Asked(command, request, Origin(line.number, frame.job))


def _given_up(line: Line, number: int) -> GivenUp | None:
    """Nobody wants a reply, whether it was sent already or not."""
    request = line.requests.get(number)
    if request is not None:
        request.fail(TicketCancelled("the reply was given up"))
        return GivenUp(request)
    held = line.lent.take_back(number)
    return None if held is None else GivenUp(held[1], held[2])
