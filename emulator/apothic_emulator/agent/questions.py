"""What code on one agent asks, at the host's end: to the core, and its replies on their way back.

Nobody knows whether a reply has arrived until the agent has acknowledged it. If the control plane
ends before that, the agent asks the next one again, so what changes something carries an operation,
which is forgotten with the acknowledgement. A call in code (`SubmitJob`, then `WaitJob`) has to be
there still, so its job is kept, and let go of when its outcome has arrived.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from apothic_backends import codec
from apothic_backends.commands import Command, ReleaseJob, SubmitJob, WaitJob
from apothic_backends.model.errors import ApothicError, UsageError
from apothic_backends.model.record import Record
from apothic_backends.remote.operations import changes_something
from apothic_emulator.agent import messages
from apothic_emulator.agent.channel import ChannelError
from apothic_emulator.agent.messages import Answer, Ask
from apothic_emulator.core.facts import Asked, GivenUp, Input, Origin
from apothic_emulator.core.operations import ForgetOperations
from apothic_emulator.executors import wire
from apothic_emulator.unheard import Unheard

MOST_LENT = 10_000
"""Replies to one executor's code that go back unless it takes them; of older ones it has."""

Post = Callable[[Input], None]


class Beside(Protocol):
    """The agent of this machine, which has what the core is not to know."""

    @property
    def delivery(self) -> Any:
        """What gives secrets."""
        ...

    def carry_out_beside(self, command: Any, token: Any) -> None:
        """Do what is asked without the core."""
        ...


class Questions:
    """What code on one agent waits for. Its owner holds `lock` where nothing else is said."""

    def __init__(self, lock: threading.Lock, post: Post, beside: Beside) -> None:
        self.lock = lock
        self.send: Callable[[Record], int] = lambda _: 0
        """Sends a message; gives the number of its last frame."""
        self.ring: Callable[[], object] = lambda: None
        self._post = post
        self._beside = beside
        self._open: dict[tuple[int, int], RemoteRequest] = {}
        self._lent: dict[int, dict[int, tuple[RemoteRequest, Any]]] = {}
        self._told: deque[tuple[int, RemoteRequest]] = deque()
        """Whose replies are on their way, and up to which frame."""

    def ask(self, ask: Ask) -> None:
        """Code there asks for something.

        Raises:
            ChannelError: that is nothing that can be asked.
        """
        request = RemoteRequest(self, ask.executor, ask.request)
        try:
            command = _command_in(ask)
        except (ValueError, RecursionError) as error:
            raise ChannelError(f"a command that cannot be read: {error}") from error
        except ApothicError as error:
            body = messages.error_to_bytes(error)
            self.send(Answer(ask.executor, ask.request, wire.FAILURE, body))
            return
        if ask.request:
            self._open[ask.executor, ask.request] = request
        if command.beside_core:
            threading.Thread(
                target=self._beside.carry_out_beside, args=(command, request), daemon=True
            ).start()
            return
        command = request.note(command)
        origin = Origin(ask.executor, ask.job)
        self._post(Asked(command, request, origin, request.operation, unheard=True))

    def gave_up(self, executor: int, number: int) -> None:
        """Code there wants no reply any more, or has not taken the one that came."""
        request = self._open.pop((executor, number), None)
        if request is not None:
            self._post(GivenUp(request))
            return
        held = self._lent.get(executor, {}).pop(number, None)
        if held is not None:
            self._post(GivenUp(held[0], held[1]))

    def answer(self, request: RemoteRequest, kind: int, value: Any) -> bool:
        """Send a reply, without the lock; False if nobody is there to get it."""
        key = request.executor, request.number
        buffers: list[Any] = []
        body = codec.to_bytes(value, buffers)
        with self.lock:
            if self._open.pop(key, None) is not request:
                return False
            is_lent = getattr(value, "undo", None) is not None
            if is_lent:
                self._lend(request, value)
            told = Answer(*key, kind, body, tuple(map(bytes, buffers)), is_lent)
            number = self.send(told)
            if request.is_noted:
                self._told.append((number, request))
        self.ring()
        return True

    def _lend(self, request: RemoteRequest, value: Any) -> None:
        held = self._lent.setdefault(request.executor, {})
        held[request.number] = request, value
        if len(held) > MOST_LENT:
            del held[next(iter(held))]

    def acknowledged(self, number: int) -> None:
        """The agent has all that was sent up to that frame: nobody will ask for it again."""
        told = self._told
        operations: list[str] = []
        while told and told[0][0] <= number:
            request = told.popleft()[1]
            if request.operation is not None:
                operations.append(request.operation)
            if request.releases is not None:
                self._have_done(ReleaseJob(request.releases))
        if operations:
            self._have_done(ForgetOperations(tuple(operations)))

    def _have_done(self, command: Any) -> None:
        self._post(Asked(command, Unheard()))

    def clear(self) -> None:
        """The channel begins anew: whoever still waits asks again."""
        self._open.clear()
        self._lent.clear()
        self._told.clear()

    def bury(self, executor: int) -> None:
        """An executor has ended."""
        self._lent.pop(executor, None)
        for key in [key for key in self._open if key[0] == executor]:
            del self._open[key]


class RemoteRequest:
    """What a ticket is to commands of this process: it sends the reply to an agent."""

    __slots__ = ("_questions", "done", "executor", "number", "operation", "releases")

    def __init__(self, questions: Questions, executor: int, number: int) -> None:
        self._questions = questions
        self.executor, self.number = executor, number
        self.operation: str | None = None
        """By what a repetition is known; no executor on an agent has the number of another."""
        self.releases: str | None = None
        """The job that nobody asks for any more once the reply has arrived."""
        self.done = False

    @property
    def is_noted(self) -> bool:
        """Whether something is to be done when its reply has arrived."""
        return self.operation is not None or self.releases is not None

    def note(self, command: Command[Any]) -> Command[Any]:
        """See to it that a repetition leads to the same; gives what to ask the core for."""
        if not self.number:
            return command  # it is known by nothing
        if type(command) is WaitJob and command.last:
            self.releases = command.job_id
            return command.replace(last=False)
        if changes_something(command):
            self.operation = f"e{self.executor}/{self.number}"
        if type(command) is SubmitJob and command.owned:
            return command.replace(owned=False)
        return command

    def complete(self, value: Any) -> bool:
        """Send the reply; False if nobody is there to get it, and what it holds goes back."""
        self.done = True
        return self._questions.answer(self, wire.REPLY, value) or not self.number

    def fail(self, error: BaseException) -> bool:
        """Send the error."""
        self.done = True
        return self._questions.answer(self, wire.FAILURE, error)


def _command_in(ask: Ask) -> Any:
    """What code asks.

    Raises:
        ValueError: nothing that can be read.
        UsageError: it is no command.
    """
    command = codec.from_bytes(ask.body, ask.buffers)
    if not isinstance(command, Command):
        raise UsageError("code asks for something that is no command")
    return command  # pyright: ignore[reportUnknownVariableType] - whose reply may be anything
