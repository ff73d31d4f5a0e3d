"""The processes of a run: what the core has done to them, and what it may not."""

from __future__ import annotations

from collections.abc import Iterable

from apothic_emulator.core.effects import (
    Credit,
    Dispatch,
    DispatchBatch,
    DumpStack,
    Effect,
    Interrupt,
    Kill,
    Recall,
    Retire,
    StartExecutor,
    Terminate,
    sent,
)
from apothic_emulator.core.facts import Ended, Input, Recalled, Reported
from tests.simulation.batches import Company, process_of
from tests.simulation.history import Violation, sure
from tests.simulation.plan import DEPTH
from tests.simulation.processes import Process
from tests.simulation.surroundings import Surroundings


class Fleet:
    """All processes that are alive, and what the core knows of them."""

    def __init__(self, world: Surroundings, company: Company) -> None:
        self.world = world
        self.history = world.history
        self.company = company
        self.processes: dict[int, Process] = {}
        self.owned: dict[int, set[int]] = {}
        """Jobs that end with an executor, because its code waits for them."""
        self.last = 0
        """The highest number of one."""
        self._ends: dict[int, Ended] = {}
        self._used_up: list[Process] = []
        """Those that have said in this very step that they take nothing more."""

    # --- what the core hears --------------------------------------------------------------------

    def about_to_hear(self, batch: Iterable[Input]) -> None:
        """A step begins."""
        for process in self._used_up:
            process.told_to_end = True
        self._used_up.clear()
        for item in batch:
            if isinstance(item, Ended):
                self.history.dies(item.executor)
                self.history.asked_to_cancel.update(self.owned.pop(item.executor, ()))

    def kept(self, batch: Iterable[Input]) -> None:
        """The next core knows that, and this one says no more."""
        for item in batch:
            if isinstance(item, Reported):
                self.company.reported(item)

    def heard(self, item: Input) -> None:
        """What the core knows from now on."""
        if isinstance(item, Reported):
            process = self.processes.get(item.executor)
            if process is not None and process.retired:
                self._used_up += [process] if item.retire else []
            self.company.reported(item)
            self._take_off(item.executor, item.job, item.attempt)
        elif isinstance(item, Recalled):
            for job in item.jobs:
                self._take_off(item.executor, job, self.history.dispatched[job][0])
        elif isinstance(item, Ended):
            self._ends.pop(item.executor, None)
            for job, executor in list(self.history.holder.items()):
                if executor == item.executor:
                    self.history.let_go(job, executor)

    def _take_off(self, executor: int, job: int, attempt: int) -> None:
        if self.history.dispatched.get(job) == (attempt, executor):
            self.history.let_go(job, executor)
            process = self.processes.get(executor)
            if process is not None:
                process.line -= 1

    # --- what the core wants --------------------------------------------------------------------

    def carry_out(self, effect: Effect) -> None:
        """Do to a process what the core wants done."""
        if isinstance(effect, StartExecutor):
            self._check_containers(effect)
            self.last = effect.executor
            self.processes[effect.executor] = process_of(self.world, effect)
            return
        process = self.processes.get(effect.executor)
        if process is None:
            self._too_late(effect)
            return
        match effect:
            case Dispatch():
                process.line += 1
                sure(not process.told_to_end, "I12", "%s to an ending process", effect)
                self.history.dispatch(effect, process.spec, process.line)
                process.dispatch(effect)
            case DispatchBatch():
                self.company.dispatched(effect, process.spec, self.world.now)
                sure(not process.told_to_end, "I12", "%s to an ending process", effect)
                process.line += len(effect.jobs)
                for one in effect.jobs:
                    self.history.dispatch(one, process.spec, process.line)
                process.dispatch(*effect.jobs)
            case Recall():
                process.recall()
            case Interrupt():
                process.interrupt(effect)
            case Credit():
                process.credit(effect)
            case DumpStack():
                process.told_to_end = process.told_to_end or not process.loaded
                process.dump_stack()
            case Terminate():
                self._dies(process)
                process.terminate()
            case Kill():
                self._dies(process)
                process.kill()
            case Retire():
                process.retire()
            case _:
                raise Violation("I15", f"{effect}, and there is no agent")

    def _dies(self, process: Process) -> None:
        self.history.dies(process.number)
        self.history.innocent.update(process.running.keys())

    def _too_late(self, effect: Effect) -> None:
        """The process is gone, and the core is about to hear of it."""
        end = self._ends.get(effect.executor)
        if end is None:
            raise Violation("I15", f"{effect} for a process that has ended")
        end.unstarted = (*end.unstarted, *sent(effect))
        for one in effect.jobs if isinstance(effect, DispatchBatch) else (effect,):
            if isinstance(one, Dispatch):
                self.history.dispatch(one, self.world.plan.specs[0], 0)

    def _check_containers(self, effect: StartExecutor) -> None:
        alive = [p for p in self.processes.values() if p.function == effect.function]
        count = sum(1 for p in alive if not p.told_to_end and not p.retired) + 1
        most = effect.spec.max_containers
        if "nested" in self.world.plan.features:
            most *= 2 * DEPTH + 2
        sure(count <= most, "I12", "%d containers of %s", count, effect.spec.name)

    # --- ends -----------------------------------------------------------------------------------

    def gone(self, end: Ended) -> None:
        """A process has ended."""
        if self.processes.pop(end.executor, None) is not None:
            self._ends[end.executor] = end
            self.world.send(end)

    def end_all(self) -> None:
        """The control plane was killed, and all that it has started went down with it."""
        for process in self.processes.values():
            process.alive = False
        for things in (self.processes, self.owned, self._ends, self._used_up):
            things.clear()
