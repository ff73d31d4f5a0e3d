"""One client session: what its client has asked, and what has become of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from apothic_backends.commands import (
    CancelJob,
    Command,
    GetDurability,
    OpenItems,
    ReadItems,
    ReleaseJob,
    SubmitJob,
)
from apothic_backends.model.errors import ApothicError, TicketCancelled, UsageError
from apothic_backends.remote import frames
from apothic_backends.remote.errors import PayloadTooLarge
from apothic_backends.remote.frames import Message
from apothic_emulator.core.facts import Asked, GivenUp
from apothic_emulator.core.operations import ForgetOperations, UndoOperations
from apothic_emulator.host.host import Host
from apothic_emulator.server.outgoing import Outgoing
from apothic_emulator.unheard import Unheard

Allows = Callable[[Command[Any]], object]
"""Raises what a command is refused with that a key does not allow."""


class Ask:
    """A command of a client, as the token of its reply."""

    __slots__ = ("command", "done", "is_given_up", "number", "once", "session")

    def __init__(self, session: Session, message: Message) -> None:
        self.session = session
        self.number = message.number
        self.once = message.once
        self.command: Any = None
        self.is_given_up = False
        self.done = False

    @property
    def operation(self) -> str | None:
        """By what a repetition is known."""
        return self.session.operation(self.number) if self.once else None

    def complete(self, value: Any) -> bool:
        """Send the reply; False if nobody is there to get it."""
        return self.session.reply(self, frames.REPLY, value)

    def fail(self, error: BaseException) -> bool:
        """Send the error."""
        return self.session.reply(self, frames.FAIL, error)


class Word:
    """What a client says of replies: it is answered once that is durable, and said again else."""

    __slots__ = ("done", "number", "session")

    def __init__(self, session: Session, number: int) -> None:
        self.session = session
        self.number = number
        self.done = False

    def complete(self, value: Any) -> bool:
        """It is."""
        self.done = True
        self.session.answer(self.number)
        return True

    def fail(self, error: BaseException) -> bool:
        """The client says it again, to whoever comes next."""
        self.done = True
        return True


class Farewell(Word):
    """A command was given up: that is answered when what comes of it is durable, too.

    By then it may have been carried out; what undoes that follows, and is awaited by a second one.
    """

    __slots__ = ("is_last",)

    def __init__(self, session: Session, number: int, *, is_last: bool = False) -> None:
        super().__init__(session, number)
        self.is_last = is_last

    def complete(self, value: Any) -> bool:
        """All is durable that was asked for before."""
        self.done = True
        if self.is_last:
            self.session.refuse(self.number)
        else:
            self.session.part(self.number, is_last=True)
        return True


class Session:
    """One client: what is owed to it, and the connection that it has, if it has one."""

    def __init__(self, client: str, host: Host, most_bytes: int) -> None:
        self.client = client
        self.host = host
        self.connection: Outgoing | None = None
        self.last = 0
        """The highest number that came on this connection."""
        self.cuts = 0
        """How often it was cut off."""
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._asks: dict[int, Ask] = {}
        self._opened: dict[str, None] = {}
        """Jobs whose items it reads: they end with it."""
        self._unseen: set[int] = set()
        """Replies it was sent and has not said to have."""

    def operation(self, number: int) -> str:
        """The name of its operation with that number."""
        return f"{self.client}/{number}"

    # --- connections ----------------------------------------------------------------------------

    def attach(self, connection: Outgoing, pending: set[int]) -> Outgoing | None:
        """Go on over this connection; the one before, if there still is one."""
        with self._lock:
            before, self.connection, self.last = self.connection, connection, 0
            left = [ask for number, ask in self._asks.items() if number not in pending]
            for ask in left:
                del self._asks[ask.number]
        for ask in left:
            self.host.post(GivenUp(ask))
        return before

    def cut(self, connection: Outgoing) -> bool:
        """A connection has ended; whether that leaves the client without one."""
        with self._lock:
            if self.connection is not connection:
                return False
            self.connection = None
            self.cuts += 1
            return True

    def end(self, *, in_order: bool) -> None:
        """The client will not come back."""
        with self._lock:
            self.connection = None
            asks, self._asks = self._asks, {}
            opened, self._opened = self._opened, {}
            unseen, self._unseen = self._unseen, set()
        for ask in asks.values():
            self.host.post(GivenUp(ask, died=True))
        for job_id in opened:
            self._drop(job_id)
        operations = tuple(map(self.operation, sorted(unseen)))
        self._tell(UndoOperations(operations))
        if in_order:
            self._tell(ForgetOperations(operations))

    # --- what comes -----------------------------------------------------------------------------

    def take(self, message: Message, allows: Allows) -> None:
        """Do what a message says.

        Raises:
            UsageError: it is none that a client sends.
        """
        match message.kind:
            case frames.GIVE_UP:
                self._give_up(message.number)
            case _ if message.number <= self.last:
                return  # it came twice
            case frames.ASK:
                self._asked(message, allows)
            case frames.SEEN:
                self._seen(message.numbers(), message.number)
            case frames.BACK:
                self._back(message.body, message.number)
            case _:
                raise UsageError(f"a message of kind {message.kind!r:.20} from a client")
        self.last = max(self.last, message.number)

    def answer(self, number: int) -> None:
        """What came under that number is durable."""
        connection = self.connection
        if connection is not None:
            connection.put(frames.pack(frames.REPLY, number))

    def _asked(self, message: Message, allows: Allows) -> None:
        number = message.number
        with self._lock:
            if number in self._asks:
                return  # it is owed still
            ask = self._asks[number] = Ask(self, message)
        try:
            ask.command = _command_in(message)
            allows(ask.command)
        except ApothicError as error:
            ask.fail(error)
            return
        self._start(ask)

    def _start(self, ask: Ask) -> None:
        host = self.host
        if host.dead is not None:
            ask.fail(host.dead)
            return
        if ask.command.beside_core:
            host.agent.carry_out_beside(ask.command, ask)
            return
        host.post(Asked(ask.command, ask, None, ask.operation, unheard=True))
        if host.dead is not None:
            ask.fail(host.dead)  # it died, or was closed, in between
        host.reader.watch()

    def _give_up(self, number: int) -> None:
        with self._lock:
            ask = self._asks.pop(number, None)
        if ask is None:
            return  # the reply is on its way
        ask.is_given_up = True
        if self.host.dead is None:
            self.host.post(GivenUp(ask))
            self.host.reader.watch()
        if ask.once:
            self.part(number)

    def part(self, number: int, *, is_last: bool = False) -> None:
        """Tell the client that a command was given up, once that holds."""
        self._tell(GetDurability(), Farewell(self, number, is_last=is_last))

    def refuse(self, number: int) -> None:
        """What was given up is over, unless it was asked for again."""
        connection = self.connection
        if connection is not None and number not in self._asks:
            error = TicketCancelled("the reply was given up")
            connection.put(frames.pack_value(frames.FAIL, number, error))

    def _seen(self, numbers: list[int], said: int) -> None:
        with self._lock:
            self._unseen.difference_update(numbers)
        self._tell(ForgetOperations(tuple(map(self.operation, numbers))), Word(self, said))

    def _back(self, number: Any, said: int) -> None:
        (number,) = frames.numbers_in([number])
        with self._lock:
            self._unseen.discard(number)
        self._tell(UndoOperations((self.operation(number),)), Word(self, said))

    def _tell(self, command: Any, token: Any = None) -> None:
        """Have something done, whatever comes of it."""
        if self.host.dead is None:
            self.host.post(Asked(command, token or Unheard()))

    # --- what goes ------------------------------------------------------------------------------

    def reply(self, ask: Ask, kind: str, value: Any) -> bool:
        """Send a reply; False if it was given up, or the client is cut off: then it asks again."""
        with self._lock:
            is_wanted = self._asks.get(ask.number) is ask
            connection = self.connection if is_wanted else None
            if is_wanted:
                del self._asks[ask.number]
                ask.done = True
            if connection is not None:
                self._note(ask, value)
        if connection is None:
            if ask.is_given_up:
                self._unwanted(ask.command, value)
            return False
        try:
            packed = frames.pack_value(kind, ask.number, value, most=self._most_bytes)
        except PayloadTooLarge as error:
            connection.put(frames.pack_value(frames.FAIL, ask.number, error))
            return False
        connection.put(packed)
        return True

    def _unwanted(self, command: Any, value: Any) -> None:
        """A reply came just after it was given up: nobody knows of the job that it names."""
        is_call = type(command) is OpenItems or (type(command) is SubmitJob and not command.key)
        if is_call and isinstance(value, str):
            self._drop(value)

    def _drop(self, job_id: str) -> None:
        self._tell(ReleaseJob(job_id))
        self._tell(CancelJob(job_id))

    def _note(self, ask: Ask, value: Any) -> None:
        """Keep in mind what the client has not said to have, and which jobs end with it."""
        command = ask.command
        if ask.once:
            self._unseen.add(ask.number)
        if type(command) is OpenItems and isinstance(value, str):
            self._opened[value] = None
        elif type(command) is ReadItems and getattr(value, "outcome", None) is not None:
            self._opened.pop(command.job_id, None)


def _command_in(message: Message) -> Any:
    """What is asked.

    Raises:
        UsageError: it is no command.
    """
    command = message.value()
    if not isinstance(command, Command):
        raise UsageError("a message asks for something that is no command")
    return command  # pyright: ignore[reportUnknownVariableType] - whose reply may be anything
