"""What an agent does with what its control plane sends for code: secrets, and replies.

Secrets come over the channel, for one executor at a time, and are nowhere else on this machine.
"""

from __future__ import annotations

import json
from typing import Any

from apothic_backends import codec
from apothic_backends.model.errors import TicketCancelled
from apothic_backends.model.functions import FunctionSpec
from apothic_backends.model.masks import Masks
from apothic_emulator.agent import messages
from apothic_emulator.agent.line import Line
from apothic_emulator.agent.messages import Answer, Ask, GaveUp, Give
from apothic_emulator.agent.veils import Veils
from apothic_emulator.executors import wire
from apothic_emulator.executors.wire import Frame


class Handed:
    """In place of a `Delivery`: it has no secrets but those that are handed to it."""

    def __init__(self) -> None:
        self._awaited: dict[int, tuple[Line, FunctionSpec]] = {}

    def begin(self, line: Line, spec: FunctionSpec) -> None:
        """An executor waits for its secrets."""
        self._awaited[line.number] = line, spec

    def is_stale(self, line: Line) -> bool:
        """False: whether its secrets are old is looked at where jobs come from."""
        return False

    def give(self, given: Give) -> Line | None:
        """Pass an executor its secrets; gives its line, which is to be flushed."""
        line, spec = self._awaited.pop(given.executor, (None, None))
        if line is None or spec is None:
            return None
        if given.error:
            error = messages.error_from_bytes(given.error)
            told = {"code": error.code, "message": error.message, "type_name": "", "traceback": ""}
            line.reply(wire.FAILURE, 0, json.dumps(told).encode(), ())
            return line
        values, keys = json.loads(given.text)
        masks = Masks([*values.values(), *keys.values()])
        line.veils = Veils(masks, is_shared=spec.concurrent_requests > 1)
        line.secrets = ()
        line.reply(wire.REPLY, 0, given.text, ())
        return line


class Request:
    """What code in an executor has asked, while its reply may go back."""

    __slots__ = ("executor", "number")

    def __init__(self, executor: int, number: int) -> None:
        self.executor, self.number = executor, number


def question_of(line: Line, frame: Frame) -> Ask | GaveUp:
    """What is asked of the control plane.

    Raises:
        WireError: it is not what executors ask.
    """
    if frame.kind == wire.GIVE_UP:
        if line.requests.pop(frame.attempt, frame) is not frame:
            error = TicketCancelled("the reply was given up")
            line.reply(wire.FAILURE, frame.attempt, messages.error_to_bytes(error), ())
        line.lent.take_back(frame.attempt)
        return GaveUp(line.number, frame.attempt)
    if frame.kind != wire.COMMAND:
        raise wire.WireError(f"a frame of kind {frame.kind} where commands are expected")
    body, buffers = bytes(frame.body), tuple(map(bytes, frame.buffers))
    if line.veils is not None:
        body, buffers = _veiled(line.veils, body, buffers)
    if frame.attempt:
        line.requests[frame.attempt] = None
    return Ask(line.number, frame.job, frame.attempt, body, buffers)


def _veiled(veils: Any, body: bytes, buffers: tuple[bytes, ...]) -> tuple[bytes, tuple[bytes, ...]]:
    """A command without the values of secrets in what it tells."""
    if b"TellProgress" not in body:
        return body, buffers
    command = codec.from_bytes(body, buffers)
    veils.hide_in(command)
    hidden: list[Any] = []
    return codec.to_bytes(command, hidden), tuple(hidden)


def reply(line: Line, answer: Answer) -> None:
    """Pass code its reply, and see to it that what it holds goes back unless the code takes it."""
    if line.requests.pop(answer.request, answer) is answer:
        return  # it was given up meanwhile
    place = 0
    if answer.lent:
        place = line.lent.hold(answer.request, Request(line.number, answer.request), None)
    line.reply(answer.kind, answer.request, answer.body, answer.buffers, place)
