"""What runs over shared state have in common: clients with scripts, and a plane that is killed.

Everything is drawn from the seed, and time is virtual. Nobody hears of a step before it is
committed, and what was not is undone when the control plane is killed: between two steps, before a
commit, or between a commit and its replies.
"""

from __future__ import annotations

import argparse
import sys
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Sequence
from random import Random
from typing import Any

from apothic_backends.model.errors import ApothicError
from apothic_emulator.core.check import check
from apothic_emulator.core.costs import PriceOf
from apothic_emulator.core.effects import Outcome
from apothic_emulator.core.facts import Input, Tick
from apothic_emulator.core.journal import Journal
from apothic_emulator.core.plane import Plane
from apothic_emulator.core.quotas import DEFAULT
from apothic_emulator.core.schedules import Calendar
from tests.simulation.disk import Disk
from tests.simulation.history import Violation, sure
from tests.simulation.timeline import NEVER, Timeline

Script = Generator[Any, Any, object]
Reply = Callable[..., None]
Replies = Iterable[tuple[object, Any, BaseException | None]]

CRASHES = ("crash", "crash_before_commit", "crash_after_commit")
LAGS_S = (0.0, 0.0, 0.001, 0.05, 0.2)
"""How long a commit takes."""

MOST_STEPS = 40_000


class Client:
    """Runs one script after another; each yields commands, or seconds to pass."""

    def __init__(self, world: Driven, number: int) -> None:
        self.world = world
        self.number = number
        self.token = 0
        self.frozen_until = 0.0
        self.is_gone = False
        self.script = world.draw_script(self)

    def go_on(self, value: object = None, error: BaseException | None = None) -> None:
        """What was waited for is here."""
        world = self.world
        if self.is_gone:
            return
        if world.now < self.frozen_until:
            world.at(self.frozen_until, self.go_on, value, error)
            return
        self.token = 0
        try:
            wish = self.script.throw(error) if error is not None else self.script.send(value)
        except StopIteration:
            self._begin_again(world.chance.choice((0.0, 0.1, 1.0)))
        except (ApothicError, ConnectionError) as raised:
            is_expected = isinstance(raised, (ConnectionError, *world.expected))
            sure(is_expected, "I15", "%r", raised)
            self._begin_again(0.1)
        else:
            if isinstance(wish, float):
                world.at(world.now + wish, self.go_on)
            else:
                self.token = world.ask(wish, self.go_on)

    def _begin_again(self, after_s: float) -> None:
        """Do something else."""
        world = self.world
        if world.now < world.chaos_s:
            self.script = world.draw_script(self)
            world.at(world.now + after_s, self.go_on)
        else:
            world.done.add(self.number)

    def vanish(self) -> None:
        """Its process dies; another takes its place."""
        if self.token:
            self.world.give_up(self.token)
        self.replace()

    def replace(self) -> None:
        """Another one takes its place, and nobody hears of this one."""
        world = self.world
        self.is_gone = True
        self.script.close()
        other = world.clients[self.number] = Client(world, self.number)
        world.at(world.now + 0.5, other.go_on)


class Driven(Timeline, ABC):
    """One run."""

    chaos_s = 60.0
    """How long clients begin new scripts, and faults fall."""
    expected: tuple[type[ApothicError], ...] = ()
    """What may end a script."""
    check_every = 16
    calendar: Calendar | None = None
    quotas = DEFAULT
    """How much there may be."""
    price_of: PriceOf | None = None

    def __init__(self, seed: int) -> None:
        super().__init__(0.0)
        self.chance = Random(seed)
        self.steps = 0
        self.reached: Counter[str] = Counter()
        self.done: set[int] = set()
        self.disk = Disk()
        self.clients: list[Client] = []
        self._tokens = 0
        self._armed: Counter[str] = Counter()
        self._is_committing = False
        self._tick_at = NEVER
        self.plane = self._begin()

    def _begin(self) -> Plane:
        """A control plane that knows nothing yet."""
        plane = Plane(
            f"sim{self.steps}",
            journal=Journal(),
            calendar=self.calendar,
            quotas=self.quotas,
            price_of=self.price_of,
        )
        log: Any = plane.shared.feed.events
        append = log.append

        def tapped(name: str, subject: Any, at: float, attempt: int, told: Any = None) -> None:
            self.told(name, told)
            append(name, subject, at, attempt, told)

        log.append = tapped
        return plane

    # --- what each kind of run does -------------------------------------------------------------

    @abstractmethod
    def draw_script(self, client: Client) -> Script:
        """What a client does next."""

    @abstractmethod
    def ask(self, command: Any, reply: Reply) -> int:
        """Ask for something; the token of the reply."""

    @abstractmethod
    def give_up(self, token: int) -> None:
        """Wait for a reply no more."""

    @abstractmethod
    def told(self, name: str, told: Any) -> None:
        """Watchers would hear of something."""

    @abstractmethod
    def say(self, replies: Replies) -> None:
        """Replies leave the control plane."""

    @abstractmethod
    def committed(self) -> None:
        """What was decided up to here stands."""

    @abstractmethod
    def restarted(self, unsaid: Sequence[Outcome]) -> None:
        """Another control plane has taken over; these steps stand, and nobody has heard of them."""

    # --- steps ----------------------------------------------------------------------------------

    def step(self, inputs: Sequence[Input]) -> Outcome:
        """Step the core; its replies leave when they may."""
        outcome = self.plane.step(inputs, self.now)
        self.steps += 1
        sure(self.steps < MOST_STEPS, "L1", "no end")
        if not self.disk.holds_back(outcome):
            self.release(outcome)
        elif not self._is_committing:
            self._commit_later()
        if self.steps % self.check_every == 0:
            check(self.plane)
        self._wake()
        return outcome

    def _commit_later(self) -> None:
        self._is_committing = True
        self.at(self.now + self.chance.choice(LAGS_S), self._commit, self.plane)

    def _commit(self, plane: Plane) -> None:
        if plane is not self.plane:
            return
        if self._falls("crash_before_commit"):
            self.restart()
            return
        self.disk.commit()
        self.committed()
        if self._falls("crash_after_commit"):
            self.restart()
            return
        self.at(self.now + self.chance.choice((0.0, 0.01)), self._release, plane)

    def _release(self, plane: Plane) -> None:
        if plane is not self.plane:
            return
        for outcome in self.disk.release():
            self.release(outcome)
        self._is_committing = False
        if self.disk.held:
            self._commit_later()

    def settle(self) -> None:
        """Commit what waits, and tell everybody."""
        self.disk.commit()
        self.committed()
        for outcome in self.disk.release():
            self.release(outcome)

    def release(self, outcome: Outcome) -> None:
        """What a step has led to may be heard of."""
        self.say(outcome.replies)

    def _wake(self) -> None:
        alarm = self.plane.alarm
        if alarm < self._tick_at:
            self._tick_at = alarm
            self.at(alarm + self.late_s(), self.tick, alarm)

    def late_s(self) -> float:
        """How late a tick comes."""
        return 0.0

    def tick(self, planned: float) -> None:
        """Something is due, perhaps."""
        if planned == self._tick_at:
            self._tick_at = NEVER
            self.step([Tick()])

    def is_unsaid(self, token: int) -> bool:
        """Whether a reply is held until it may leave."""
        waiting = (*self.disk.held, *self.disk.committed)
        return any(token == it for outcome in waiting for it, _, _ in outcome.replies)

    # --- faults ---------------------------------------------------------------------------------

    def crash(self, kind: str) -> None:
        """Have the control plane killed, now or at the next commit."""
        if kind == "crash":
            self.reached[kind] += 1
            self.restart()
        else:
            self._armed[kind] += 1

    def _falls(self, kind: str) -> bool:
        if not self._armed[kind]:
            return False
        self._armed[kind] -= 1
        self.reached[kind] += 1
        return True

    def restart(self) -> None:
        """The control plane is killed, and another one goes on with what was written down."""
        unsaid = self.disk.crash()
        self._is_committing = False
        self.plane = self._begin()
        self.plane.load(list(self.disk.records.items()), self.now)
        self._tick_at = NEVER
        self.restarted(unsaid)
        self.step([Tick()])
        check(self.plane)

    @abstractmethod
    def run(self) -> None:
        """From the first event to the last look."""


def failure_of(kind: type[Driven], seed: int) -> str:
    """What a seed finds; empty if nothing."""
    try:
        kind(seed).run()
    except (Violation, AssertionError, LookupError, ApothicError) as error:
        return f"seed {seed}: {type(error).__name__}: {error}"
    return ""


def main(kind: type[Driven], prog: str) -> None:
    """Run many seeds, up to the first that fails."""
    parser = argparse.ArgumentParser(prog=prog)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args()
    reached: Counter[str] = Counter()
    steps = 0
    for seed in range(options.first, options.first + options.seeds):
        world = kind(seed)
        try:
            world.run()
        except Exception:
            sys.stderr.write(f"seed {seed}\n")
            raise
        reached += world.reached
        steps += world.steps
    sys.stdout.write(f"{options.seeds} seeds, {steps} steps\n")
    for what, times in sorted(reached.items()):
        sys.stdout.write(f"  {what:20} {times:8}\n")
