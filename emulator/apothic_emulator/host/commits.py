"""What was decided becomes durable before anybody hears of it.

    step ──► held ──► one commit of all that waits ──► effects ──► frames, replies
               │
               └── it fails: nobody hears anything but the error; the executors end, and the core
                   is what the store says

A step's changes, effects and replies stay together. One thread takes everything that is held and
commits it as one batch, so that many writers share one fsync. A step that has changed nothing is
carried out at once, unless something is held: what it has read may depend on that.

While a store has hardly any room left, what would add to it is refused before it is decided, so
that nothing which runs has to pay for it.
"""

from __future__ import annotations

import contextlib
import gc
import threading
import time
from _queue import SimpleQueue  # `queue` brings more, at the start of every program
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeGuard

from apothic_backends.model.errors import StoreCorrupt, StoreError, StoreFenced, StoreFull
from apothic_emulator.agent.agent import Agent
from apothic_emulator.agent.line import Line
from apothic_emulator.core.effects import Effect, Outcome, sent
from apothic_emulator.core.facts import Asked, Ended, Input, Reported
from apothic_emulator.core.plane import Plane
from apothic_emulator.core.records import Change
from apothic_emulator.host import room
from apothic_emulator.host.clocks import Clock
from apothic_emulator.host.durable import Decide
from apothic_emulator.host.witness import Witness
from apothic_emulator.stores.base import Found
from apothic_emulator.stores.store import Store

_NOTHING = Outcome([], [], [])
_PAUSE_S = 1.0
"""Between two attempts to go on with a store that takes nothing."""

Reply = tuple[Any, object, BaseException | None]


class Steered(Protocol):
    """The host whose steps are held."""

    plane: Plane
    agent: Agent
    lock: threading.Lock
    clock: Clock

    def carry_out(self, effect: Effect, touched: set[Any]) -> None:
        """Do one thing, under the core's lock."""
        ...

    def flush(self, touched: Any) -> None:
        """Write what can be written."""
        ...

    def begin_anew(self, records: Sequence[tuple[str, bytes]]) -> None:
        """Have a core that knows these records and nothing else."""
        ...

    def deliver(self, replies: list[Reply]) -> None:
        """Give replies."""
        ...

    def pump(self) -> None:
        """Step the core until there is nothing to step it with."""
        ...

    def die(self, cause: BaseException) -> None:
        """The control plane cannot go on."""
        ...


def take_back(store: Store, load: Callable[[list[Found]], None]) -> None:
    """Load what a store holds, without collections.

    All of it stays, and they would go through it again and again: that took a third of the time.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        load(store.load())
    finally:
        if collects:
            gc.enable()


class Commits:
    """The thread that commits, and what it has not committed."""

    def __init__(self, store: Store, witness: Witness | None = None) -> None:
        """Over a store that is open; the `witness` knows how far it should be."""
        self.store = store
        self._witness = witness
        self._held: deque[Outcome] = deque()
        """What was decided and not carried out, in order; under the core's lock."""
        self._is_telling = False
        """Whether replies are on their way, before which no later one is to be heard."""
        self._queue: SimpleQueue[Outcome | None] = SimpleQueue()
        self._is_over = False
        self._is_full = store.is_full
        self._failed_at = 0.0
        self._thread = threading.Thread(target=self._run, name="apothic-commits", daemon=True)

    @property
    def durability(self) -> str:
        """What an acknowledged change outlives."""
        return self.store.durability

    @property
    def place(self) -> str:
        """Where the state is, for people."""
        return self.store.place

    @property
    def archives(self) -> Path | None:
        """Where archives of code lie beside the state; None where it is on a server."""
        return self.store.archives

    def attach(self, host: Steered) -> Decide:
        """Serve this host, once its core knows what was kept."""
        self._take_back(lambda records: host.plane.load(records, host.clock.now()))
        self._host = host
        self._thread.start()
        return self.decide

    def _take_back(self, load: Callable[[list[Found]], None]) -> None:
        def look_and_load(found: list[Found]) -> None:
            load(found if self._witness is None else self._witness.look_at(found))

        take_back(self.store, look_and_load)

    def _keep(self, changes: Sequence[Change]) -> None:
        """Have the store commit these."""
        witness = self._witness
        if witness is None:
            self.store.commit(changes)
            return
        changes = witness.come_along(changes)
        self.store.commit(changes)
        witness.note(changes)

    def decide(self, inputs: Sequence[Input], now: float) -> Outcome:
        """Step the core; what has to wait for a commit comes later, and not as the outcome."""
        refused: list[Reply] = []
        if any(map(room.is_large, inputs)):
            inputs, refused = self._fit(inputs)
        if not self._is_full and not refused:
            return self._decide(inputs, now)
        admitted, more = self._admit(inputs)
        refused += more
        outcome = self._decide(admitted, now)
        return Outcome([*refused, *outcome.replies], outcome.effects, [])

    def _admit(self, inputs: Sequence[Input]) -> tuple[Sequence[Input], list[Reply]]:
        """What may be done now, and the errors for what would add to a store without room."""
        error = self.store.refusal() if any(map(self._adds, inputs)) else None
        if error is None:
            self._is_full = self.store.is_full
            return inputs, []
        refused: list[Reply] = [(it.token, None, error) for it in inputs if self._adds(it)]
        return [it for it in inputs if not self._adds(it)], refused

    def _fit(self, inputs: Sequence[Input]) -> tuple[Sequence[Input], list[Reply]]:
        """The same for what is large; a report that brings it says that there was no room."""
        plane, fitting, refused = self._host.plane, list[Input](), list[Reply]()
        nbytes = room.nbytes_in(self._held)
        for item in inputs:
            more = room.nbytes_of(item, plane) if room.is_large(item) else 0
            error = self.store.too_large(nbytes + more) if more else None
            if error is None:
                fitting.append(item)
                nbytes += more
            elif type(item) is Reported:
                fitting.append(room.without_result(item, error))
            elif self._adds(item):
                refused.append((item.token, None, error))
            else:
                fitting.append(item)
        return fitting, refused

    def _adds(self, item: Input) -> TypeGuard[Asked]:
        """Whether somebody asks for what would add to the store, and has not been answered yet."""
        if type(item) is not Asked or not item.command.adds:
            return False
        is_kept = not getattr(item.command, "owned", False)
        return is_kept and item.operation not in self._host.plane.operations.answers

    def _decide(self, inputs: Sequence[Input], now: float) -> Outcome:
        held = self._held
        if held:
            self._note_unsent(inputs)
        outcome = self._host.plane.step(inputs, now)
        if not held and not outcome.changes and not self._is_telling:
            return outcome
        held.append(outcome)
        self._queue.put(outcome)
        return _NOTHING

    def _note_unsent(self, inputs: Sequence[Input]) -> None:
        """Jobs that an executor was to get, and that are held, have certainly not begun there."""
        for item in inputs:
            if type(item) is Ended:
                effects = [effect for outcome in self._held for effect in outcome.effects]
                mine = [effect for effect in effects if effect.executor == item.executor]
                item.unstarted += tuple(job for effect in mine for job in sent(effect))

    def tokens(self) -> list[object]:
        """Those whose reply is held."""
        return [reply[0] for outcome in self._held for reply in outcome.replies]

    # --- the thread -----------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._is_over:
                self._commit(self._take())
        except BaseException as error:  # noqa: BLE001 - nobody may hang
            self._host.die(error)

    def _take(self) -> list[Outcome]:
        """Everything that waits, once something does."""
        batch: list[Outcome] = []
        while not batch or not self._queue.empty():
            outcome = self._queue.get()
            if outcome is None:
                self._is_over = True
                break
            batch.append(outcome)
        return batch

    def _commit(self, batch: list[Outcome]) -> None:
        changes: list[Change] = []
        for outcome in batch:
            changes += outcome.changes
        try:
            if changes:
                self._keep(changes)
        except StoreError as error:
            self._is_full = self.store.is_full
            self._failed(error)
        else:
            self._is_full = self.store.is_full
            self._release(batch)

    def _release(self, batch: list[Outcome]) -> None:
        """It is durable: do what was decided, and tell everybody."""
        host = self._host
        touched: set[Line] = set()
        with host.lock:
            for outcome in batch:
                for effect in outcome.effects:
                    host.carry_out(effect, touched)
                self._held.popleft()
            self._is_telling = True
        for line in touched:
            host.flush(line)
        host.deliver([reply for outcome in batch for reply in outcome.replies])
        self._is_telling = False
        host.pump()

    def _failed(self, error: StoreError) -> None:
        """Nothing of what is held has happened."""
        host = self._host
        if isinstance(error, (StoreFenced, StoreCorrupt)):
            host.agent.kill_all()
            host.die(error)
            return
        pause_s = self._failed_at + _PAUSE_S - time.monotonic()
        if pause_s > 0:
            threading.Event().wait(pause_s)
        with host.lock:
            tokens: list[Any] = self.tokens() + host.plane.tokens()
            while not self._queue.empty():
                self._is_over |= self._queue.get() is None
            self._held.clear()
            host.agent.kill_all()
            broken = self._begin_anew()
        self._failed_at = time.monotonic()
        for token in tokens:
            with contextlib.suppress(Exception):  # the others must hear of it in any case
                token.fail(error)
        if broken is not None:
            host.die(broken)
            return
        host.deliver([])
        host.pump()

    def _begin_anew(self) -> Exception | None:
        """Go back to what the store says; gives the error if it says nothing."""
        try:
            self._take_back(self._host.begin_anew)
            self._keep_what_is_left()
        except Exception as error:  # noqa: BLE001 - whatever it is, the program cannot go on
            return error
        return None

    def _keep_what_is_left(self) -> None:
        """Loading has changed something, the same each time: it need not be kept now."""
        with contextlib.suppress(StoreFull):
            self._keep(self._host.plane.changes())

    # --- the end --------------------------------------------------------------------------------

    def finish(self, *, in_order: bool) -> None:
        """Commit all that is held, and let the store go. No step may come after this."""
        self._queue.put(None)
        if threading.current_thread() is not self._thread:
            self._thread.join()
        if in_order:
            with contextlib.suppress(StoreError):  # what was acknowledged is kept already
                self._keep(self._host.plane.last_changes())
        self.store.close()
