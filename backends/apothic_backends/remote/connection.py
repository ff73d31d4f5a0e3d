"""One WebSocket to a server, which comes back when it was cut, and what is pending on it.

    start() ──► outbox ──► writer ══════════► server
                                                 │
    tickets ◄── reader, which also connects ◄════╛

`start` never blocks: it numbers a command, notes it, and leaves the rest to two threads. When the
connection is cut, the reader dials again, a little later each time, and asks again for all that is
pending; what changes something carries its number as an operation, so that it happens once.
"""

from __future__ import annotations

import contextlib
import secrets
import sys
import threading
import time
from _queue import Empty, SimpleQueue
from random import Random
from typing import Any

from apothic_backends.commands import Command
from apothic_backends.interrupts import DEFERRED
from apothic_backends.model.errors import ApothicError, BackendClosed
from apothic_backends.remote import dialing, frames
from apothic_backends.remote.address import Address
from apothic_backends.remote.dialing import Wire
from apothic_backends.remote.errors import Unreachable
from apothic_backends.remote.frames import Hello, Message, Welcome
from apothic_backends.remote.pending import Answer, Pending

FIRST_S = 5.0
"""How long it is tried to reach a server that was never reached."""

PATIENCE_S = 60.0
"""How long it is tried to come back to a server; it keeps what is owed for as long."""

CLOSE_S = 5.0
"""How long the end waits for what is on its way."""

_LAZY_S, _MOST_LAZY = 0.05, 64
"""How long, and how much of it, is put off that nobody waits for."""

_PAUSES_S = (0.05, 10.0)
"""Before the second attempt, and at the most; twice as much each time."""


class Connection:
    """A server, and what it was asked."""

    def __init__(
        self,
        address: Address,
        key: str | None,
        *,
        first_s: float = FIRST_S,
        patience_s: float = PATIENCE_S,
        random: Random | None = None,
    ) -> None:
        self.address = address
        self.welcome: Welcome | None = None
        """What the server has last said of itself."""
        self.key = key
        self._first_s, self._patience_s = first_s, patience_s
        self._random = random or Random()  # noqa: S311 - when to dial, nothing secret
        self._client = secrets.token_hex(16)
        self._lock = threading.RLock()
        self._pending: dict[int, Pending] = {}
        self._last = 0
        self._seen: list[int] = []
        """Replies that have come, and of which the server does not know that yet."""
        self._lazy: list[Command[Any]] = []
        """What is to be done some time, so that it need not be committed by itself."""
        self._outbox: SimpleQueue[tuple[Wire, bytes] | None] = SimpleQueue()
        self._wire: Wire | None = None
        """The connection that there is, once the server has said welcome."""
        self._reader: threading.Thread | None = None
        self._closing = threading.Event()
        self._idle = threading.Condition(self._lock)
        self.dead: ApothicError | None = None
        """Why nothing can be asked any more."""

    # --- what is asked --------------------------------------------------------------------------

    def ask(
        self, command: Command[Any], answer: Answer, *, once: bool, goes_back: bool = False
    ) -> int:
        """Send a command; its number. `answer` is called with its reply, maybe at once.

        What came with a reply that `goes_back` is put back unless `see` says that somebody has it.
        """
        with DEFERRED:
            number = 0
            try:
                with self._lock:
                    if self.dead is not None:
                        raise self.dead
                    self._last = number = self._last + 1
                    most = self.welcome.most_bytes if self.welcome else frames.MOST_BYTES
                    data = frames.pack_value(frames.ASK, number, command, most=most, once=once)
                    pending = self._pending[number] = Pending(number, data, answer, once=once)
                    pending.goes_back = goes_back
                    self._send(pending)
            except ApothicError as error:
                answer(None, error)
            return number

    def _send(self, pending: Pending) -> None:
        """Have it written if there is a connection; else it is when there is one."""
        wire = self._wire
        if wire is None:
            self._wake()
            return
        self._outbox.put((wire, pending.data))

    def tell(self, command: Command[Any], *, once: bool) -> None:
        """Send a command whose reply nobody wants."""
        self.ask(command, nobody, once=once)

    def tell_soon(self, command: Command[Any]) -> None:
        """The same for what may wait until there is more of it, and may come twice."""
        with DEFERRED, self._lock:
            self._lazy.append(command)
            is_much = len(self._lazy) >= _MOST_LAZY
        if is_much:
            self.catch_up()

    def see(self, number: int) -> None:
        """Somebody has what came with that reply: it cannot go back any more."""
        self._note(frames.SEEN, [number])

    def give_back(self, number: int) -> None:
        """What came with that reply reaches nobody."""
        self._note(frames.BACK, number)

    def _note(self, kind: str, body: Any) -> None:
        with DEFERRED, self._lock:
            if self.dead is None:
                self._last = number = self._last + 1
                data = frames.pack(kind, number, body)
                self._pending[number] = pending = Pending(number, data, nobody, once=False)
                self._send(pending)

    def catch_up(self) -> None:
        """Say what has been put off."""
        with self._lock:
            lazy, self._lazy = self._lazy, []
            seen, self._seen = self._seen, []
        for command in lazy:
            self.tell(command, once=False)
        if seen:
            self._note(frames.SEEN, seen)

    def give_up(self, number: int) -> None:
        """Nobody waits for this reply; one that changes something is heard of nevertheless."""
        with DEFERRED, self._lock:
            pending = self._pending.get(number)
            if pending is None:
                return
            if pending.once:
                pending.is_given_up = True
            else:
                del self._pending[number]
            if self._wire is not None:
                self._outbox.put((self._wire, frames.pack(frames.GIVE_UP, number)))

    def _wake(self) -> None:
        """See to it that somebody dials."""
        if self._reader is None:
            self._reader = threading.Thread(
                target=self._run, name="apothic-remote-reader", daemon=True
            )
            self._reader.start()

    # --- the reader -----------------------------------------------------------------------------

    def _run(self) -> None:
        outbox: SimpleQueue[tuple[Wire, bytes] | None] = SimpleQueue()
        self._outbox = outbox
        writer = threading.Thread(
            target=self._write, args=(outbox,), name="apothic-remote-writer", daemon=True
        )
        writer.start()
        try:
            while not self._closing.is_set():
                self._read(self._dial())
        except ApothicError as error:
            self._fail(error)
        except BaseException as error:  # noqa: BLE001 - nobody may hang
            self._fail(Unreachable(f"the connection to {self.address.url} broke: {error!r}"))
        finally:
            outbox.put(None)

    def _dial(self) -> Wire:
        """A connection whose server has said welcome.

        Raises:
            ApothicError: there is none, and there will be none soon.
        """
        patience_s = self._first_s if self.welcome is None else self._patience_s
        deadline, pause_s = time.monotonic() + patience_s, _PAUSES_S[0]
        while True:
            try:
                return self._greet(dialing.dial(self.address, self.key, self._closing))
            except dialing.Cut as error:
                pause_s = min(pause_s * 2, _PAUSES_S[1])
                wait_s = max(error.retry_s, self._random.uniform(pause_s / 2, pause_s))
                if time.monotonic() + wait_s > deadline:
                    raise error.error or Unreachable(
                        f"no control plane can be reached at {self.address.url}: {error}. Is it "
                        "running (`apothic serve`), and is APOTHIC_BACKEND its address?",
                        url=self.address.url,
                    ) from None
            if self._closing.wait(wait_s):
                raise BackendClosed("the backend was closed")

    def _greet(self, wire: Wire) -> Wire:
        """Say who this is, and ask again for what is pending."""
        wire.send(self.hello())
        self.welcomed(wire, wire.receive(dialing.DIAL_S))
        return wire

    def hello(self) -> bytes:
        """What is said first on a connection."""
        with self._lock:
            hello = Hello(self._client, list(self._pending), python=_python())
        return frames.pack_record(frames.HELLO, hello)

    def welcomed(self, wire: Wire, message: Message) -> None:
        """The server has answered: have all sent again that has no reply.

        Raises:
            ApothicError: it does not take this client.
        """
        if message.kind == frames.FAIL:
            raise _error_in(message)
        self.welcome = message.record(Welcome)
        with self._lock:
            self._wire = wire
            for pending in self._pending.values():
                self._outbox.put((wire, pending.data))
                if pending.is_given_up:
                    self._outbox.put((wire, frames.pack(frames.GIVE_UP, pending.number)))

    def _read(self, wire: Wire) -> None:
        """Take replies until the connection is cut."""
        try:
            while True:
                self.take(wire.receive())
        except dialing.Cut:
            pass
        finally:
            with self._lock:
                self._wire = None
            wire.close()

    def take(self, message: Message) -> None:
        """A message has come.

        Raises:
            ApothicError: it says that nothing more will.
        """
        if message.kind not in (frames.REPLY, frames.FAIL):
            return  # going: it is cut now, and there is nothing to do about it
        if not message.number:
            raise _error_in(message)
        with self._lock:
            pending = self._pending.pop(message.number, None)
            if pending is None:
                return  # it came twice, or was given up
            if pending.once and not pending.goes_back:
                self._seen.append(message.number)
            is_much = len(self._seen) >= _MOST_LAZY
            if not self._pending:
                self._idle.notify_all()
        pending.answer(*_outcome(message))
        if is_much:
            self.catch_up()

    # --- the writer -----------------------------------------------------------------------------

    def _write(self, outbox: SimpleQueue[tuple[Wire, bytes] | None]) -> None:
        while True:
            try:
                out = outbox.get(timeout=_LAZY_S if self._lazy else None)
            except Empty:
                self.catch_up()
                continue
            if out is None:
                return
            wire, data = out
            if wire is self._wire:
                wire.send(data)

    # --- the end --------------------------------------------------------------------------------

    def _fail(self, error: ApothicError) -> None:
        """Tell everybody who waits; whoever asks after that makes another attempt."""
        with self._lock:
            pending, self._pending = self._pending, {}
            self._reader = None
            self._wire = None
            self._idle.notify_all()
        for one in pending.values():
            with contextlib.suppress(Exception):  # the others must hear of it in any case
                one.answer(None, error)

    def close(self) -> None:
        """Let what is on its way arrive, and hang up."""
        with self._lock:
            if self.dead is not None:
                return
            closed = BackendClosed("the backend was closed")
            reader = self._reader
            lazy, self._lazy = self._lazy, []
            for command in lazy:
                self.tell(command, once=False)
            self.dead = closed
            waiting = [it for it in self._pending.values() if it.answer is not nobody]
        for one in waiting:
            one.answer(None, closed)
            self.give_up(one.number)
        if reader is None:
            return
        with self._lock:
            self._idle.wait_for(lambda: not self._pending, CLOSE_S if self.welcome else 0.0)
            wire = self._wire
        self._closing.set()
        if wire is not None:
            wire.say_goodbye(frames.pack(frames.GOING, 0))
        reader.join(CLOSE_S)

    def abandon(self) -> None:
        """In a fork of the process that opened it: be inert, and touch nothing."""
        self._lock = threading.RLock()
        self._idle = threading.Condition(self._lock)
        self.dead = BackendClosed(
            "this process is a fork of the one that opened the backend; open another one"
        )
        self._pending = {}
        self._wire = self._reader = None


def nobody(value: Any, error: BaseException | None) -> None:
    """In place of an answer that nobody wants."""


def _outcome(message: Message) -> tuple[Any, BaseException | None]:
    """The reply, or the error, that a message brings."""
    try:
        value = message.value()
    except ApothicError as error:
        return None, error
    return (None, value) if message.kind == frames.FAIL else (value, None)


def _error_in(message: Message) -> ApothicError:
    error = message.value()
    if isinstance(error, ApothicError):
        return error
    return Unreachable("the server has ended the connection, and did not say why")


def _python() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"
