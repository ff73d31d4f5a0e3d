"""What is charged for: the seconds that executors are held by attempts, and services are up.

    an attempt begins ──► it is over, whatever became of it ──► a row of its function and day
                                                                  │ times its price
    top-ups ──────────────────────────► limit ◄── compared ── spent
                                          └── reached: nothing new is taken in, what is queued waits

* An attempt is charged once, when it is known to be over, and on the day (UTC) of that. What never
  began is free, whether it was sent to an executor or not.
* Calls that share an executor share its time: it is charged for while it has any.
* A process of a service is charged for as long as it is up: see `meters.py`.
* A machine of which nothing is heard stops by itself when its lease ends: up to then is charged.
* Where the control plane ended under an attempt, what is not known is free: all of an attempt of
  its own executors, which went down with it; of one that an agent had, and that was lost then, what
  was before the restart. An agent that brings the outcome says how long that took.

Everything is a whole number: microseconds, and atto-USD, which is what a microsecond at a price in
pico-USD for a second comes to. So the sum over the rows is what was spent, to the last digit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from apothic_backends.model.errors import BalanceExhausted
from apothic_backends.model.functions import FunctionSpec
from apothic_emulator.core.agent import cores
from apothic_emulator.core.executors import Executor
from apothic_emulator.core.facts import Asked
from apothic_emulator.core.jobs import NEVER, Job
from apothic_emulator.core.journal import Journal, Kept
from apothic_emulator.core.records import pack, unpack

MOST_ROWS = 50_000
"""More are not kept one by one: the oldest become one row, without names."""

DAY_S = 86_400
ATTO_IN_NANO = 10**9

JOB, SERVICE = "job", "service"
"""What was run."""

PriceOf = Callable[[FunctionSpec, str], int]
"""What a second of an executor of a function costs, in pico-USD, and with which GPUs."""

_BILLS = "apothic_emulator.core.bills"
_MODULES = ("apothic_backends.commands.costs", _BILLS)

Keep = Callable[[str, Kept], None]

Names = tuple[Any, ...]
"""What attempts have in common that are counted in one row."""


class Row(Kept):
    """What attempts took that have all of `names` in common."""

    __slots__ = ("attempts", "folded", "is_plain", "keep", "names", "number", "rate", "until", "us")

    def __init__(self, number: int, names: Names, rate: int, keep: Keep | None) -> None:
        self.number = number
        self.names = names
        """The day, counted from 1970; the kind, app and function; cores, MB, model and number of
        GPUs."""
        self.rate = rate
        """What a second costs, in pico-USD."""
        self.keep = keep
        """Writes it down."""
        self.is_plain = not rate and keep is None
        """Whether counting is all that there is to do."""
        self.until = -NEVER
        """When another row takes its place."""
        self.attempts = self.us = 0
        self.folded = 0
        """What was spent in the rows that have become this one, in atto-USD."""

    @property
    def key(self) -> str:
        """Where it is written down."""
        return f"cost/{self.number}"

    @property
    def atto(self) -> int:
        """What was spent, in atto-USD."""
        return self.folded + self.us * self.rate

    def pack(self) -> bytes:
        """All of it."""
        return pack((self.names, self.rate, self.attempts, self.us, self.folded))


class Costs:
    """The rows, what was spent, and how much may be."""

    model_of: Callable[[Executor], str]
    """What the GPUs of an executor are called."""

    def __init__(
        self, wall_offset: float, price_of: PriceOf | None, journal: Journal | None
    ) -> None:
        self.wall_offset = wall_offset
        self.price_of = price_of
        self.journal = journal
        self.rows: dict[int, Row] = {}
        """By number, the oldest first."""
        self.spent = 0
        """What all rows come to, in atto-USD."""
        self.limit: float = NEVER
        """What may be spent, in atto-USD; it is infinite without a balance."""
        self.is_exhausted = False
        """Whether nothing new may begin."""
        self.go_on: Callable[[float], object] = bool
        """Has what waited for a top-up begin."""
        self.settle: Callable[[float], object] = bool
        """Charges for what is up."""
        self.credits: dict[str, Any] = {}
        """Every top-up by its operation, the first one first."""
        self._same: dict[tuple[Names, int], Row] = {}
        """The rows of today."""
        self._day_ends = -NEVER
        self._last = 0
        self._since = -NEVER
        """When a control plane began that goes on from what another one had written down."""

    # --- counting -------------------------------------------------------------------------------

    def charge(self, executor: Executor, job: Job, now: float, ran_s: float | None = None) -> None:
        """An attempt is over that held this executor, and has left its line.

        Whoever ran it elsewhere may know better for how long: it counts if that is less.
        """
        begun = job.started_at
        if begun is None:
            return
        row = executor.row
        if row is None or now >= row.until:
            row = executor.row = self._row_of(executor, now)
        seconds = now - begun
        if executor.slots > 1 or executor.agent:
            seconds = self._held_s(executor, begun, now, ran_s)
        us = int(seconds * 1e6)
        row.us += us
        row.attempts += 1
        if not row.is_plain:
            self._settle(row, us)

    def begin_holding(self, executor: Executor, now: float) -> None:
        """A process of a service is up from now on."""
        executor.row = self._row_of(executor, now)
        executor.row.attempts += 1
        executor.charged_to = now

    def charge_holding(self, executor: Executor, now: float) -> None:
        """It was up until now: what was before the end of a day is that day's."""
        row, until = executor.row, min(now, executor.silent_at)
        self._hold(executor, row, min(until, row.until))
        if now >= row.until:
            row = executor.row = self._row_of(executor, now)
        self._hold(executor, row, until)

    def _hold(self, executor: Executor, row: Row, until: float) -> None:
        us = int((until - executor.charged_to) * 1e6)
        if us > 0:
            row.us += us
            executor.charged_to += us / 1e6
            if not row.is_plain:
                self._settle(row, us)

    def _settle(self, row: Row, us: int) -> None:
        self.spent += us * row.rate
        self.is_exhausted = self.spent >= self.limit
        if row.keep is not None:
            row.keep(row.key, row)

    def _held_s(self, executor: Executor, begun: float, now: float, ran_s: float | None) -> float:
        """For how long the executor was held and not charged for, up to when it surely was."""
        until = min(now, executor.silent_at)
        if executor.slots > 1:
            others = [job.started_at for job in executor.line if job.started_at is not None]
            begun = max(min([begun, *others]), executor.charged_to, self._since)
            executor.charged_to = until
        elif ran_s is not None and ran_s >= 0:
            return min(until - begun, ran_s)
        else:
            begun = max(begun, self._since)
        return max(0.0, until - begun)

    # --- rows -----------------------------------------------------------------------------------

    def _row_of(self, executor: Executor, now: float) -> Row:
        """The row of a function today; the first of a day begins that."""
        if now >= self._day_ends:
            self._begin_day(now)
        spec = executor.function.spec
        day = self._day(now)
        gpu = self.model_of(executor) if executor.gpus else ""
        what = cores(spec), spec.memory_mb, gpu, len(executor.gpus)
        kind = SERVICE if executor.serves else JOB
        names = (day, kind, spec.app_name, spec.name, *what)
        rate = 0 if self.price_of is None else self.price_of(spec, gpu)
        row = self._same.get((names, rate)) or self._new(names, rate)
        row.until = self._day_ends
        return row

    def _day(self, now: float) -> int:
        return int((now + self.wall_offset) // DAY_S)

    def _begin_day(self, now: float) -> None:
        today = self._day(now)
        self._day_ends = (today + 1) * DAY_S - self.wall_offset
        self._same = {(it.names, it.rate): it for it in self.rows.values() if it.names[0] == today}

    def _new(self, names: Names, rate: int) -> Row:
        self._last += 1
        row = self._add(self._last, names, rate)
        self._same[names, rate] = row
        if len(self.rows) > MOST_ROWS:
            self._fold()
        return row

    def _add(self, number: int, names: Names, rate: int) -> Row:
        keep = None
        if self.journal is not None:
            keep = self.journal.keep if rate else self.journal.keep_along
        row = self.rows[number] = Row(number, names, rate, keep)
        return row

    def _fold(self) -> None:
        """Have the second oldest row go into the oldest: what was spent stays the same."""
        first, second = [row for row, _ in zip(self.rows.values(), range(2), strict=False)]
        for row in (first, second):
            row.until = -NEVER
            self._same.pop((row.names, row.rate), None)
        first.folded = first.atto + second.atto
        first.rate = 0
        first.names = (second.names[0], JOB, "", "", 0, 0, "", 0)
        first.us += second.us
        first.attempts += second.attempts
        del self.rows[second.number]
        if self.journal is not None:
            self.journal.keep(first.key, first)
            self.journal.drop(second.key)

    # --- the balance ----------------------------------------------------------------------------

    def allow(self, limit: float) -> None:
        """So much may be spent, in atto-USD."""
        self.limit = limit
        self.is_exhausted = self.spent >= limit

    def refusal(self) -> BalanceExhausted:
        """What is said to those who want something new while nothing is left."""
        left = self.balance
        return BalanceExhausted(
            "nothing is left of the balance of this account: top it up, or have its operator do "
            "so. What runs goes on, and what is queued begins then",
            balance_nano_usd=left,
        )

    @property
    def balance(self) -> int | None:
        """What is left, in nano-USD; None where no balance was ever given."""
        return None if self.limit == NEVER else int(self.limit - self.spent) // ATTO_IN_NANO

    def rule(self, command: type) -> Callable[[Any, Asked, float], Any] | None:
        """The rule for a command; what it needs is loaded for it."""
        if command.__module__ not in _MODULES:
            return None
        rule: Callable[[Any, Asked, float], Any] = import_module(_BILLS).RULES[command](self)
        return rule

    # --- restarts -------------------------------------------------------------------------------

    def load(self, rows: Mapping[int, bytes], top_ups: Mapping[int, bytes], now: float) -> None:
        """Take everything back that was kept."""
        self._since = now
        for number, record in sorted(rows.items()):
            (names, rate, attempts, us, folded), _ = unpack(record)
            row = self._add(number, tuple(names), rate)
            row.attempts, row.us, row.folded = attempts, us, folded
            self.spent += row.atto
            self._last = number
        if top_ups:
            import_module(_BILLS).load(self, top_ups)
