"""An agent on a machine that has come up, in the simulation of rented machines."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from apothic_backends.model.agents import MachineGivenUp
from apothic_backends.model.payloads import Payload
from apothic_emulator.core import effects as e, facts as f
from apothic_emulator.core.hellos import (
    BEGUN,
    Capacity,
    Cut,
    Gpu,
    Heard,
    HeldExecutor,
    HeldJob,
    Join,
    Welcome,
)
from tests.simulation.chance import draw
from tests.simulation.clients import ignore
from tests.simulation.lying_cloud import Box

if TYPE_CHECKING:
    from tests.simulation.renting import World

BEAT_S = 50.0


class Agent:
    """A machine that has come up, and what runs on it."""

    def __init__(self, world: World, box: Box) -> None:
        self.world, self.box = world, box
        self.executors: dict[int, e.StartExecutor] = {}
        self.loaded: set[int] = set()
        self.running: dict[int, tuple[int, int]] = {}
        """Jobs that were told to begin: attempt and executor."""
        self.lines: dict[int, deque[e.Dispatch]] = {}
        self.welcome: Welcome | None = None
        self.is_alive = True

    def dial(self) -> None:
        if not self.is_alive or self.welcome is not None:
            return
        gpus = int(self.box.offer.values.get("num_gpus", 0))
        those = tuple(Gpu(f"{self.box.provider_id}-{i}", "RTX 4090", 24_000) for i in range(gpus))
        held = tuple(self.held(number) for number in self.executors)
        name, capacity = self.box.provider_id, Capacity(8, 32_000, those)
        join = Join(name, "1", capacity, "", held, tag=self.box.tag)
        self.world.ask(join, self.welcomed, self.refused)
        if self.welcome is None and self.is_alive:
            self.world.at(self.world.now + 20.0, self.dial)

    def held(self, number: int) -> HeldExecutor:
        jobs = [(job, it) for job, it in self.running.items() if it[1] == number]
        those = tuple(HeldJob(job, attempt, BEGUN) for job, (attempt, _) in jobs)
        function = self.executors[number].function
        return HeldExecutor(number, function, number in self.loaded, those)

    def welcomed(self, welcome: Welcome) -> None:
        self.welcome = welcome
        self.world.cloud.came_up(self.box)
        for line in self.lines.values():
            line.clear()
        for number in welcome.kills:
            self.end(number)
        self.world.agents[welcome.agent] = self
        self.beat(welcome)

    def refused(self, error: Exception) -> None:
        if isinstance(error, MachineGivenUp):
            self.world.reached["told to go"] += 1
            self.is_alive = False

    def beat(self, welcome: Welcome) -> None:
        if self.is_alive and self.welcome is welcome:
            self.world.ask(Heard(welcome.agent, welcome.session, is_beat=True), ignore, ignore)
            self.world.at(self.world.now + BEAT_S, self.beat, welcome)

    def cut(self) -> None:
        """Its connection ends; the control plane hears of that, unless it is that which ended."""
        welcome, self.welcome = self.welcome, None
        if welcome is not None:
            self.world.ask(Cut(welcome.agent, welcome.session), ignore, ignore)

    def die(self) -> None:
        self.is_alive = False
        self.executors.clear()
        self.running.clear()
        self.cut()

    def say(self, fact: Any, welcome: Welcome | None = None) -> None:
        """Over the connection that there is, or was then."""
        if self.welcome is not None and welcome in (None, self.welcome):
            self.world.post(fact)

    def soon(self, fact: Any) -> None:
        self.world.at(self.world.now + 0.1, self.say, fact, self.welcome)

    def carry_out(self, effect: Any) -> None:
        number = effect.executor
        if isinstance(effect, e.StartExecutor):
            self.executors[number], self.lines[number] = effect, deque()
            self.world.at(self.world.now + 2.0, self.load, number)
        elif number not in self.executors:
            return
        elif isinstance(effect, e.Dispatch):
            self.lines[number].append(effect)
            self.accept(number)
        elif isinstance(effect, e.Go):
            self.begin(number, effect.job)
        elif isinstance(effect, e.Recall):
            back = tuple(it.job for it in self.lines[number])
            self.lines[number].clear()
            self.soon(f.Recalled(number, back))
        elif isinstance(effect, e.Kill | e.Retire):
            self.end(number)
            self.soon(f.Ended(number, "exit"))

    def load(self, number: int) -> None:
        if self.is_alive and number in self.executors and self.welcome is not None:
            self.loaded.add(number)
            self.say(f.Loaded(number))
            self.accept(number)
        elif self.is_alive and number in self.executors:
            self.world.at(self.world.now + 5.0, self.load, number)

    def accept(self, number: int) -> None:
        if number in self.loaded:
            for it in self.lines[number]:
                self.soon(f.Accepted(number, it.job, it.attempt))

    def begin(self, number: int, job: int) -> None:
        its = next((it for it in self.lines[number] if it.job == job), None)
        if its is not None:
            self.lines[number].remove(its)
            self.running[job] = its.attempt, number
            takes_s = (1.0, 20.0, 100.0, 300.0)[draw(self.world.seed, 92, job) % 4]
            self.world.at(self.world.now + takes_s, self.finish, job, self.running[job])

    def finish(self, job: int, what: tuple[int, int]) -> None:
        if not self.is_alive or self.running.get(job) != what:
            return
        if self.welcome is None:
            self.world.at(self.world.now + 5.0, self.finish, job, what)
            return
        del self.running[job]
        self.say(f.Reported(what[1], job, what[0], Payload(b"done")))

    def end(self, number: int) -> None:
        self.executors.pop(number, None)
        self.loaded.discard(number)
        self.running = {job: it for job, it in self.running.items() if it[1] != number}
