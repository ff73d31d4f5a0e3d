"""Rounds: every subject once per round, round-robin, each on a machine as quiet as it gets."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import procs
from processes import Driver, Failed, Staying, run_program
from rows import Row, Samples


class Collector:
    """The samples of one row; a subject that fails is dropped, with a word."""

    def __init__(self, row: str, subjects: list[str], say: Callable[[str], None]) -> None:
        self.samples: Samples = {subject: {} for subject in subjects}
        self.quiet: list[bool] = []
        self.failures: dict[str, str] = {}
        self._row = row
        self._say = say

    def order(self, turn: int) -> list[str]:
        """Who is still in, first one first in even rounds and last in odd ones."""
        left = [subject for subject in self.samples if subject not in self.failures]
        return left[::-1] if turn % 2 else left

    @contextmanager
    def guard(self, subject: str) -> Iterator[None]:
        """Drop the subject if this fails."""
        try:
            yield
        except Failed as failure:
            self.failures[subject] = str(failure)
            self.samples[subject] = {}
            self._say(f"{self._row}: {subject} is out: {failure}")

    def add(self, subject: str, figures: dict[str, float]) -> None:
        """Keep one round's figures."""
        for metric, value in figures.items():
            self.samples[subject].setdefault(metric, []).append(value)

    def rest(self) -> None:
        """Wait for a quiet machine and note whether it came."""
        self.quiet.append(procs.wait_for_quiet())


def drivers(name: str, row: Row, rounds: int, collector: Collector) -> None:
    """Rows measured inside the subjects' own processes."""
    running: dict[str, Driver] = {}
    try:
        for turn in range(0 if row.fresh else -1, rounds):  # the first time warms up
            for subject in collector.order(turn):
                if subject not in running:
                    running[subject] = Driver(subject, row.workers)
                with collector.guard(subject):
                    collector.rest()
                    figures = running[subject].ask(name)
                    if turn >= 0:
                        collector.add(subject, figures)
                if row.fresh:
                    running.pop(subject).close(patience_s=1)
    finally:
        for driver in running.values():
            driver.close()


def programs(name: str, row: Row, rounds: int, collector: Collector) -> None:
    """Rows that time a whole program."""
    del name
    for turn in range(-1, rounds):  # the first time fills the page cache and writes bytecode
        for subject in collector.order(turn):
            with collector.guard(subject):
                collector.rest()
                figures = run_program(row.programs.get(subject, f"hello_{subject}"))
                if turn >= 0:
                    collector.add(subject, figures)


def idle(name: str, row: Row, rounds: int, collector: Collector) -> None:
    """Rows that look at programs which do nothing, all of them side by side."""
    del name, row
    for turn in range(rounds):
        with ExitStack() as stack:
            staying: dict[str, Staying] = {}
            for subject in collector.order(turn):
                with collector.guard(subject):
                    staying[subject] = stack.enter_context(Staying(f"hello_{subject}"))
            time.sleep(3)
            before = {subject: _activity(it.pid) for subject, it in staying.items()}
            time.sleep(10)
            for subject, it in staying.items():
                (cpu_before, switches_before), (cpu, switches) = before[subject], _activity(it.pid)
                collector.add(
                    subject,
                    {
                        "pss_mb": procs.pss_bytes(it.pid) / 1e6,
                        "cpu_ms": (cpu - cpu_before) / 1e3,
                        "switches": switches - switches_before,
                    },
                )


def _activity(pid: int) -> tuple[float, int]:
    return procs.cpu_us(pid), procs.switches(pid)


COLLECTORS = {"drivers": drivers, "programs": programs, "idle": idle}
"""Every way to collect, by the name that rows use."""
