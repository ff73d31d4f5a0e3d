"""Looking at costs, and adding to a balance: loaded when somebody does.

A balance begins with the first top-up, and with what is used from then on; an account without one
may use whatever it likes, as may one whose limit was lifted again. A top-up is remembered by the
name that whoever made it has given it: the same again changes nothing. Of those before the latest
`MOST_CREDITS` only the sum is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from apothic_backends.commands.base import Command
from apothic_backends.commands.costs import GetCosts
from apothic_backends.model.costs import CostLine, CostReport, Prices
from apothic_backends.model.errors import IdempotencyConflict, InvalidOption
from apothic_emulator.core.agent import cores
from apothic_emulator.core.costs import ATTO_IN_NANO, DAY_S, Costs, Names, PriceOf, Row
from apothic_emulator.core.facts import Asked
from apothic_emulator.core.jobs import NEVER
from apothic_emulator.core.journal import Kept
from apothic_emulator.core.records import pack, unpack

MOST_NANO_USD = 10**18
"""The most that one top-up may add, or take away."""

LONGEST_OPERATION = 128

MOST_CREDITS = 10_000
"""More top-ups are not remembered by name."""

Rule = Callable[[Any, Asked, float], Any]


class TopUp(Command[int | None]):
    """Add to the balance, once for each `operation`; the reply is what it is then, in nano-USD.

    Less than nothing takes away what was added by mistake; None lifts the limit, until the next
    top-up. Inside a control plane only: nobody can send it.
    """

    nano_usd: int | None
    operation: str


class Credit(Kept):
    """A top-up, or the end of the limit; without a name it is the sum of several."""

    def __init__(
        self, number: int, operation: str, nano_usd: int | None, at: float, before: int
    ) -> None:
        self.number = number
        self.operation = operation
        self.nano_usd = nano_usd
        """None if it has lifted the limit."""
        self.at = at
        """In Unix time."""
        self.before = before
        """What had been spent until then, in atto-USD."""

    @property
    def key(self) -> str:
        """Where it is written down."""
        return f"credit/{self.number}"

    def pack(self) -> bytes:
        """All of it."""
        return pack((self.operation, self.nano_usd, self.at, self.before))

    def with_next(self, other: Credit) -> Credit:
        """What both come to, in the place of this one."""
        if self.nano_usd is None or other.nano_usd is None:
            return Credit(self.number, "", other.nano_usd, other.at, other.before)
        return Credit(self.number, "", self.nano_usd + other.nano_usd, other.at, self.before)


def pricing(prices: Prices) -> PriceOf:
    """What executors of functions cost at these prices."""
    return lambda spec, gpu: prices.of(cores(spec), spec.memory_mb, gpu, spec.gpu_count)


def _topping_up(costs: Costs) -> Rule:
    def top_up(command: TopUp, _: Asked, now: float) -> int | None:
        known: Credit | None = costs.credits.get(command.operation)
        if known is None:
            _check(command)
            at = now + costs.wall_offset
            last: Credit | None = next(reversed(costs.credits.values()), None)
            number = 1 if last is None else last.number + 1
            _add(costs, Credit(number, command.operation, command.nano_usd, at, costs.spent))
            _settle(costs)
            costs.go_on(now)
        elif known.nano_usd != command.nano_usd:
            raise IdempotencyConflict(
                f"the top-up {command.operation!r} was {_told(known.nano_usd)} before; give each "
                "its own operation",
                operation=command.operation,
            )
        return costs.balance

    return top_up


def _told(nano_usd: int | None) -> str:
    return "without a limit" if nano_usd is None else f"of {nano_usd} nano-USD"


def _add(costs: Costs, credit: Credit) -> None:
    """Remember a top-up; of too many the oldest become one."""
    costs.credits[credit.operation] = credit
    if costs.journal is not None:
        costs.journal.keep(credit.key, credit)
    if len(costs.credits) > MOST_CREDITS:
        first, second, *others = costs.credits.values()
        both = first.with_next(second)
        costs.credits = {one.operation: one for one in (both, *others)}
        if costs.journal is not None:
            costs.journal.keep(both.key, both)
            costs.journal.drop(second.key)


def _check(command: TopUp) -> None:
    if not 0 < len(command.operation) <= LONGEST_OPERATION:
        raise InvalidOption(
            f"the operation of a top-up has 1 to {LONGEST_OPERATION} characters",
            option="operation",
        )
    if not -MOST_NANO_USD <= (command.nano_usd or 0) <= MOST_NANO_USD:
        raise InvalidOption(
            f"a top-up is of at most {MOST_NANO_USD} nano-USD, not {command.nano_usd}",
            option="nano_usd",
        )


def _settle(costs: Costs) -> None:
    """Find out how much may be spent."""
    counted: list[Credit] = []
    given = 0
    for credit in costs.credits.values():
        if credit.nano_usd is None:
            counted.clear()
            given = 0
        else:
            counted.append(credit)
            given += credit.nano_usd
    costs.allow(counted[0].before + given * ATTO_IN_NANO if counted else NEVER)


def load(costs: Costs, records: Mapping[int, bytes]) -> None:
    """Take top-ups back."""
    for number, record in sorted(records.items()):
        (operation, nano_usd, at, before), _ = unpack(record)
        costs.credits[operation] = Credit(number, operation, nano_usd, at, before)
    _settle(costs)


def _reading(costs: Costs) -> Rule:
    def look(command: GetCosts, _: Asked, now: float) -> CostReport:
        costs.settle(now)
        return read(costs, command)

    return look


def read(costs: Costs, command: GetCosts) -> CostReport:
    """What is asked for."""
    found: dict[Names, list[Row]] = {}
    for row in costs.rows.values():
        if _is_meant(command, row):
            found.setdefault(row.names, []).append(row)
    lines = [_line(names, rows) for names, rows in found.items()]
    lines.sort(key=lambda line: (line.day_at, line.app_name, line.function_name))
    return CostReport(tuple(lines), costs.price_of is not None, costs.balance)


def _is_meant(command: GetCosts, row: Row) -> bool:
    day, _, app_name, function_name, *_ = row.names
    return (
        command.app_name in (None, app_name)
        and command.function_name in (None, function_name)
        and (command.since is None or (day + 1) * DAY_S > command.since)
    )


def _line(names: Names, rows: list[Row]) -> CostLine:
    day, kind, app_name, function_name, *what = names
    return CostLine(
        day * DAY_S,
        app_name,
        function_name,
        kind,
        *what,
        attempts=sum(row.attempts for row in rows),
        microseconds=sum(row.us for row in rows),
        nano_usd=sum(row.atto for row in rows) // ATTO_IN_NANO,
    )


RULES: dict[type[Command[Any]], Callable[[Costs], Rule]] = {
    GetCosts: _reading,
    TopUp: _topping_up,
}
