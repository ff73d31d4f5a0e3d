"""An executor of a generator function: each item is made when somebody wants it.

A generator stands still between its items, so any thread that waits can go on with it: one item at
a time, once its reader has had the one before.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from apothic_backends.ticket import Ticket
from apothic_emulator.core.effects import StartExecutor
from apothic_emulator.core.facts import Fact
from apothic_emulator.executors.stops import Stopped
from apothic_emulator.inline.calls import AfterError, Call
from apothic_emulator.inline.executor import Executor, Work, is_interrupt

Items = Generator[Any, Any, Any]


class GeneratorExecutor(Executor):
    """One generator function, and the generators that it has made."""

    def __init__(self, effect: StartExecutor, after_error: AfterError | None) -> None:
        super().__init__(effect, after_error)
        self._made: dict[int, Items] = {}
        self._busy: set[int] = set()
        self._cancelled: set[int] = set()

    def claim(self, job: int, others: set[int]) -> Work | None:
        """Take a generator whose next item is wanted."""
        if self.function is None:
            return super().claim(job, others)
        for call in self._waiting():
            if call.job == job or (not job and call.job not in others):
                call.begun = True
                self._busy.add(call.job)
                return Step(self, call)
        return None

    def _waiting(self) -> list[Call]:
        return [
            call
            for call in self.line[: self.slots]
            if call.job not in self._busy and (call.may_go_on or call.job in self._cancelled)
        ]

    @property
    def oldest(self) -> float:
        """The number of the oldest job that can go on."""
        return min((call.job for call in self._waiting()), default=float("inf"))

    def cancel(self, job: int = 0) -> None:
        """Close one generator, or all, where they stand."""
        self._cancelled.update(call.job for call in self.line if not job or call.job == job)

    def stop(self) -> tuple[int, ...]:
        """It is to be stopped: no generator needs to be interrupted, as they stand still."""
        back = super().stop()
        self.cancel()
        return back

    def let_go(self, call: Call) -> None:
        """An item is made."""
        self._busy.discard(call.job)

    # --- user code, outside of the lock ---------------------------------------------------------

    def run(self, call: Call) -> Fact:
        """Go on to the next item, or to the end."""
        try:
            for item in self._items(call):
                return call.produced(item)
            done = call.succeeded(None)
        except BaseException as error:
            if not is_interrupt(error):
                self.look_at(call, error)
            done = self._closed(call, error)
            if is_interrupt(error):
                raise
        self._made.pop(call.job, None)
        call.leave()
        return done

    def _items(self, call: Call) -> Items:
        if call.job in self._cancelled:
            raise Stopped
        if call.job not in self._made:
            assert self.function is not None, "loaded before it is claimed"
            args, kwargs = call.unpack()
            self._made[call.job] = self.function(*args, **kwargs)
        return self._made[call.job]

    def _closed(self, call: Call, error: BaseException) -> Fact:
        """Have the generator clean up; what that raises counts."""
        try:
            made = self._made.pop(call.job, None)
            if made is not None:
                made.close()
        except Exception as another:  # noqa: BLE001 - it is the user's
            error = another
        return call.failed(error, skip=1)

    def close(self) -> None:
        """Close what was not read to its end."""
        left, self._made = self._made, {}
        for generator in left.values():
            try:
                generator.close()
            except Exception:  # noqa: BLE001, S112 - nobody is left to tell
                continue


class Step(Work):
    """One item of a generator."""

    executor: GeneratorExecutor
    call: Call

    def run(self, awaited: Ticket[Any] | None, deadline: float | None) -> Fact:
        """Make it in this thread."""
        with self.executor.lent():
            return self.call.context.run(self.executor.run, self.call)

    def let_go(self) -> None:
        """Another thread may make the next."""
        self.executor.let_go(self.call)
