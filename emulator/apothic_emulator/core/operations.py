"""Commands that may come twice: each is carried out once, and a repetition hears the first outcome.

A client whose connection broke does not know whether its command was carried out, so it sends it
again under the same operation:

    asked ──► owed ──► answered, and written down in the same step ──► seen, or too old: forgotten
                │           ├── the reply reached nobody, and what came with it went back: forgotten
                │           └── repeated: the same reply; unless whoever asks says that the one
                │               before was not heard, nothing goes back from now on
                ├── repeated: whoever repeats it takes the place of the one before
                └── given up: forgotten, so that a repetition is carried out anew

An outcome is remembered until its client says that it has it, or for a day; of the latest
`MOST_ANSWERS`, and of those no more than `MOST_BYTES`. What came with an outcome can go back after
a restart, too; it does so if nobody asks for it within `AWAITED_S`.
"""

from __future__ import annotations

from binascii import crc32
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from apothic_backends import codec
from apothic_backends.commands import Command, ReadItems
from apothic_backends.model.errors import IdempotencyConflict
from apothic_emulator.core.facts import Asked
from apothic_emulator.core.jobs import NEVER
from apothic_emulator.core.journal import Journal, Kept
from apothic_emulator.core.ledger import Ledger
from apothic_emulator.core.records import Buffer, pack, unpack

MOST_ANSWERS = 100_000
MOST_BYTES = 64 << 20
KEPT_S = 24 * 3600.0

AWAITED_S = 60.0
"""How long after a restart a client may ask for what has gone down on its way to it."""

_LOOKED_AT = 64 << 10
"""How much of each large buffer says whether a command is the same."""

KIND = "operation"


class ForgetOperations(Command[None]):
    """Say that the outcomes of these operations have come, and will not be asked for again.

    Inside a control plane only: nobody can send it.
    """

    operations: tuple[str, ...]


class UndoOperations(Command[None]):
    """Say that the outcomes of these operations reached nobody: what came with them goes back.

    Inside a control plane only: nobody can send it.
    """

    operations: tuple[str, ...]


Undo = Callable[[float], None]
UndoOf = Callable[[list[Any], Any], Undo | None]
"""What puts back what came with a reply, out of what is kept of it and that reply."""


class Answer(Kept):
    """The outcome of an operation, as bytes."""

    __slots__ = (
        "at",
        "blobs",
        "is_awaited",
        "is_error",
        "is_kept",
        "likeness",
        "number",
        "operation",
        "text",
        "told",
        "undo",
    )

    def __init__(self, number: int, operation: str, likeness: int, at: float) -> None:
        self.number = number
        self.operation = operation
        self.likeness = likeness
        """What the command looked like."""
        self.at = at
        """When it was given, in Unix time."""
        self.is_kept = True
        self.text = b""
        self.is_error = False
        self.blobs: tuple[Buffer, ...] = ()
        self.undo: Undo | None = None
        """Puts back what came with it, if that can go back."""
        self.told: list[Any] | None = None
        """What is kept of that."""
        self.is_awaited = False
        """Whether it was given before a restart, and nobody has asked for it since."""

    def hold(self, value: Any, error: BaseException | None) -> None:
        """Note a reply."""
        buffers: list[Any] = []
        self.is_error = error is not None
        self.text = codec.to_bytes(value if error is None else error, buffers)
        self.blobs = tuple(bytes(buffer) for buffer in buffers)
        self.undo = getattr(value, "undo", None)
        tell = getattr(self.undo, "tell", None)
        self.told = None if tell is None else tell()

    def value(self) -> Any:
        """The reply, or the error."""
        return codec.from_bytes(self.text, self.blobs)

    @property
    def key(self) -> str:
        """Where it is written down."""
        return f"{KIND}/{self.number}"

    @property
    def nbytes(self) -> int:
        """What it takes, about."""
        return len(self.text) + sum(len(blob) for blob in self.blobs)

    def pack(self) -> bytes:
        """All of it, with what it takes to put back what came with it."""
        head = (self.operation, self.likeness, self.at, self.is_error, self.told)
        return pack(head, self.text, *self.blobs)

    @classmethod
    def unpack(cls, number: int, record: bytes) -> Answer:
        """What `pack` made."""
        (operation, likeness, at, is_error, told), (text, *blobs) = unpack(record)
        answer = cls(number, operation, likeness, at)
        answer.told = told
        answer.is_error, answer.text, answer.blobs = is_error, text, tuple(blobs)
        return answer


class _Owed:
    """An operation that has no outcome yet."""

    __slots__ = ("is_kept", "likeness", "operation", "token")

    def __init__(self, operation: str, likeness: int, token: object, *, is_kept: bool) -> None:
        self.operation = operation
        self.likeness = likeness
        self.token = token
        self.is_kept = is_kept


class Operations:
    """The rules for commands that carry an operation, over the ledger."""

    def __init__(self, ledger: Ledger, journal: Journal | None) -> None:
        self.ledger = ledger
        self.journal = journal
        self.owed: dict[str, _Owed] = {}
        self.answers: dict[str, Answer] = {}
        """By operation, the oldest first."""
        self.nbytes = 0
        self._by_token: dict[object, str] = {}
        """Whose reply is owed."""
        self._last = 0
        self._await_until = NEVER

    def is_new(self, asked: Asked, now: float) -> bool:
        """Whether a command has to be carried out; one that comes again is dealt with."""
        operation, likeness = asked.operation, _likeness(asked.command)
        assert operation is not None
        owed = self.owed.get(operation)
        if owed is not None and owed.token not in self.ledger.waits:
            self.note(now)  # it was answered in this very step
        elif owed is not None:
            _check_same(operation, owed.likeness, likeness)
            self._take_over(owed, asked)
            return False
        answer = self.answers.get(operation)
        if answer is None:
            is_kept = type(asked.command) is not ReadItems  # what it reads does not survive either
            self.owed[operation] = _Owed(operation, likeness, asked.token, is_kept=is_kept)
            self._by_token[asked.token] = operation
            return True
        _check_same(operation, answer.likeness, likeness)
        self._say_again(answer, asked)
        return False

    def _say_again(self, answer: Answer, asked: Asked) -> None:
        """Give the same reply once more.

        Two have been told then, and either may have heard it: unless it is known that the one
        before was not, what came with it does not go back any more.
        """
        answer.is_awaited = False
        if not asked.unheard:
            answer.undo = None
        value = answer.value()
        if answer.is_error:
            self.ledger.replies.append((asked.token, None, value))
            return
        if answer.undo is not None:
            value.undo = partial(self._put_back, answer)
        self.ledger.replies.append((asked.token, value, None))

    def _put_back(self, answer: Answer, now: float) -> None:
        """What came with a reply has reached nobody: it goes back, once."""
        undo, answer.undo = answer.undo, None
        if undo is not None:
            undo(now)
            if self.answers.get(answer.operation) is answer:
                self._forget(answer.operation)

    def _take_over(self, owed: _Owed, asked: Asked) -> None:
        """Whoever asks again stands where the one before stood; nobody waits there any more."""
        wait = self.ledger.waits.pop(owed.token)
        wait.passes_to(asked)
        self.ledger.waits[asked.token] = wait
        del self._by_token[owed.token]
        owed.token = asked.token
        self._by_token[asked.token] = owed.operation

    def note(self, now: float) -> None:
        """Remember what was answered in this step."""
        for token, value, error in self.ledger.replies:
            operation = self._by_token.get(token)
            owed = None if operation is None else self.owed.pop(operation, None)
            if owed is not None:
                self._answered(owed, value, error, now)

    def _answered(
        self, owed: _Owed, value: object, error: BaseException | None, now: float
    ) -> None:
        self._last += 1
        at = now + self.ledger.events.wall_offset
        answer = Answer(self._last, owed.operation, owed.likeness, at)
        answer.is_kept = owed.is_kept
        answer.hold(value, error)
        if answer.undo is not None:
            assert value is not None
            value.undo = partial(self._put_back, answer)  # type: ignore[attr-defined]
        del self._by_token[owed.token]
        self._add(answer)
        if self.journal is not None and answer.is_kept:
            self.journal.keep(answer.key, answer)
        while self._is_too_much(at):
            self._forget(next(iter(self.answers)))

    def _add(self, answer: Answer) -> None:
        self.answers[answer.operation] = answer
        self.nbytes += answer.nbytes

    def _is_too_much(self, at: float) -> bool:
        answers = self.answers
        if len(answers) > MOST_ANSWERS or (self.nbytes > MOST_BYTES and len(answers) > 1):
            return True
        oldest: Answer = next(iter(answers.values()))
        return oldest.at + KEPT_S < at

    def given_up(self, token: object) -> None:
        """Nobody waits for a reply any more."""
        operation = self._by_token.pop(token, None)
        if operation is not None:
            del self.owed[operation]

    def undo(self, command: UndoOperations, asked: Asked, now: float) -> None:
        """Put back what came with outcomes that have reached nobody."""
        for operation in command.operations:
            answer = self.answers.get(operation)
            if answer is not None:
                self._put_back(answer, now)

    def forget(self, command: ForgetOperations, asked: Asked, now: float) -> None:
        """Drop outcomes that have come."""
        for operation in command.operations:
            if operation in self.answers:
                self._forget(operation)

    def _forget(self, operation: str) -> None:
        answer = self.answers.pop(operation)
        self.nbytes -= answer.nbytes
        if self.journal is not None and answer.is_kept:
            self.journal.drop(answer.key)

    # --- restarts -------------------------------------------------------------------------------

    def load(self, records: Mapping[int, bytes], now: float) -> None:
        """Take outcomes back."""
        for number, record in sorted(records.items()):
            answer = Answer.unpack(number, record)
            self._last = number
            self._add(answer)

    def loaded(self, undo_of: UndoOf, now: float) -> None:
        """All else is back, too: what came with outcomes can go there again."""
        for answer in self.answers.values():
            if answer.told is not None:
                answer.undo = undo_of(answer.told, answer.value())
                answer.is_awaited = answer.undo is not None
                self._await_until = now + AWAITED_S

    def tick(self, now: float) -> float:
        """Put back what nobody has come for; when to look again."""
        if self._await_until <= now:
            self._await_until = NEVER
            for answer in [it for it in self.answers.values() if it.is_awaited]:
                self._put_back(answer, now)
        return self._await_until

    def check(self) -> None:
        """See to it that everything agrees; for tests."""
        for operation, owed in self.owed.items():
            assert owed.token in self.ledger.waits, f"{operation} is owed to nobody"
        assert sorted(self._by_token.values()) == sorted(self.owed), "a token is left"
        assert self.nbytes == sum(answer.nbytes for answer in self.answers.values())


def _check_same(operation: str, before: int, now: int) -> None:
    if before != now:
        raise IdempotencyConflict(
            f"the operation {operation!r} was another command before; give each its own",
            operation=operation,
        )


def _likeness(command: Command[Any]) -> int:
    """What a command looks like, in a few bytes."""
    buffers: list[Any] = []
    seen = crc32(codec.to_bytes(command, buffers))
    for buffer in buffers:
        view = memoryview(buffer).cast("B")
        seen = crc32(view[:_LOOKED_AT], crc32(b"%d" % view.nbytes, seen))
    return seen
