"""Agent processes with their executors, each of which is killed and starts again at any moment."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from apothic_backends import codec
from apothic_backends.commands.queues import PutItems
from apothic_backends.model.jobs import ErrorInfo
from apothic_backends.model.payloads import Payload
from apothic_backends.model.queues import alone
from apothic_emulator.agent import channel
from apothic_emulator.agent.channel import ChannelError, parse
from apothic_emulator.agent.messages import Answer, Ask, Devices
from apothic_emulator.agent.outpost import Outpost
from apothic_emulator.core import effects as e, facts as f
from apothic_emulator.core.hellos import Capacity, Gpu
from apothic_emulator.executors import wire
from tests.simulation.chance import draw
from tests.simulation.history import sure
from tests.simulation.links import Link

if TYPE_CHECKING:
    from tests.simulation.agents import World

LONGEST_S = 45.0
"""What the longest calls take."""

_MODELS = (("H100", "H100"), ("H100", "T4"), ())
"""The devices of each machine, of 17 GB each."""


def capacity_of(number: int) -> Capacity:
    """What a machine has."""
    models = _MODELS[number % len(_MODELS)]
    gpus = tuple(Gpu(f"GPU-{number}-{i}", name, 16_384) for i, name in enumerate(models))
    return Capacity(3, 4096, gpus)


class Executor:
    """A process on an agent: it takes as many calls at once as it has slots."""

    def __init__(self, machine: Machine, effect: e.StartExecutor) -> None:
        self.machine, self.number = machine, effect.executor
        self.name = effect.spec.name
        self.slots = effect.spec.concurrent_requests
        self.queue: deque[tuple[int, int]] = deque()
        self.running: dict[int, int] = {}
        self.gpus, self.spec = effect.gpus, effect.spec
        self.is_loaded, self.is_alive = False, True
        self.questions = 0
        self.unanswered: dict[int, int] = {}
        """What its code awaits, and which job's it is."""
        machine.after(0.02 + machine.chance(3) * 0.2, self.load)

    def load(self) -> None:
        if self.is_alive:
            self.is_loaded = True
            self.machine.say(f.Loaded(self.number))
            self.go_on()

    def go_on(self) -> None:
        while self.is_loaded and self.is_alive and self.queue and len(self.running) < self.slots:
            job, attempt = self.queue.popleft()
            self.running[job] = attempt
            self.machine.world.begins(job, attempt, self)
            if job in self.machine.world.endless:
                continue  # until it is stopped
            lasts_s = (0.001, 0.01, 0.5, 3.0, LONGEST_S)[self.machine.chance(5)]
            self.machine.after(lasts_s, self.finish, job, attempt)
            if self.machine.chance(3) == 0:
                self.machine.after(lasts_s * 0.9, self.ask, job)

    def ask(self, job: int) -> None:
        """Code of the job puts an item, and awaits the reply."""
        if self.is_alive and job in self.running:
            self.questions += 1
            self.unanswered[self.questions] = job
            name = b"%d/%d" % (self.number, self.questions)
            buffers: list[Any] = []
            body = codec.to_bytes(PutItems("sim", alone(name), 1), buffers)
            blobs = tuple(map(bytes, buffers))
            self.machine.say(Ask(self.number, job, self.questions, body, blobs))

    def answered(self, answer: Answer) -> None:
        del self.unanswered[answer.request]
        if answer.kind == wire.REPLY:
            self.machine.world.reached["answered"] += 1
            self.machine.world.put.append(b"%d/%d" % (self.number, answer.request))

    def finish(self, job: int, attempt: int) -> None:
        if self.is_alive and self.running.get(job) == attempt:
            if job in self.unanswered.values():
                self.machine.after(0.5, self.finish, job, attempt)
                return
            del self.running[job]
            self.machine.world.finishes(job, attempt)
            result = Payload(b"%d %d" % (job, attempt))
            self.machine.say(f.Reported(self.number, job, attempt, result))
            self.go_on()

    def raise_in(self, job: int) -> None:
        attempt = self.running.pop(job, None)
        if attempt is not None:
            self.machine.world.leaves(job)
            error = ErrorInfo("user_error", "stopped", type_name="KeyboardInterrupt")
            self.machine.say(f.Reported(self.number, job, attempt, None, error))
            self.go_on()

    def die(self, reason: str = "signal") -> None:
        if self.is_alive:
            self.is_alive = False
            unstarted = tuple(job for job, _ in self.queue)
            self.running.clear()
            del self.machine.executors[self.number]
            self.machine.say(f.Ended(self.number, reason, unstarted, 9))


class Machine:
    """An agent process, again and again under one name."""

    def __init__(self, world: World, number: int) -> None:
        self.world, self.number = world, number
        self.rate = 0.96 + draw(world.seed, 70, number) % 9 / 100
        self.draws = 0
        self.lives = 0
        self.begin()

    def begin(self) -> None:
        self.lives += 1
        self.is_alive = True
        self.executors: dict[int, Executor] = {}
        self.link: Link | None = None
        capacity = capacity_of(self.number)
        self.outpost = Outpost(
            f"m{self.number}", str(self.lives), capacity, self.carry_out, self.answer
        )
        self.after(0.1, self.dial)
        self.after(0.5, self.tick)

    @property
    def clock(self) -> float:
        return self.world.now * self.rate

    def chance(self, most: int) -> int:
        self.draws += 1
        return draw(self.world.seed, 71 + self.number, self.draws) % most

    def after(self, delay_s: float, what: Callable[..., None], *args: Any) -> None:
        life = self.lives

        def act() -> None:
            if self.is_alive and self.lives == life:
                what(*args)
                self.write()

        self.world.at(self.world.now + delay_s, act)

    def dial(self) -> None:
        if self.link is None or not self.link.is_up:
            self.link = Link(self.world, self)
            self.link.up(self.outpost.hello(self.clock))

    def tick(self) -> None:
        if self.outpost.tick(self.clock):
            self.world.reached["fenced"] += 1
        if self.outpost.is_draining and self.outpost.is_empty:
            sure(not self.executors, "I12", "m%d leaves and has work", self.number)
            self.world.reached["drained"] += 1
            self.die()
        self.after(1.0, self.tick)

    def answer(self, message: Any) -> None:
        executor = self.executors.get(message.executor)
        if executor is not None:
            executor.answered(message)

    def say(self, fact: Any) -> None:
        self.outpost.say(fact, self.clock)

    def heard(self, link: Link, data: bytes) -> None:
        if link is not self.link or not self.is_alive:
            return
        frame = parse(data)
        try:
            if frame.kind == channel.WELCOME:
                self.outpost.welcomed(frame, self.clock)
                link.is_welcome = True
            elif frame.kind != channel.REFUSED:
                self.outpost.take(frame, self.clock)
        except ChannelError:
            link.cut()
        self.write()

    def write(self) -> None:
        link = self.link
        while link is not None and link.is_up and link.is_welcome:
            data = self.outpost.channel.next_frame() or self.outpost.beat(self.clock)
            if data is None:
                return
            link.up(data)

    def carry_out(self, effect: Any) -> None:
        if isinstance(effect, e.StartExecutor):
            self.executors[effect.executor] = Executor(self, effect)
            self.world.shares.started(self, effect)
            return
        executor = self.executors.get(effect.executor)
        if executor is None:
            return
        match effect:
            case e.Dispatch():
                executor.queue.append((effect.job, effect.attempt))
                self.after(0.001, executor.go_on)
            case e.Recall():
                back = tuple(job for job, _ in executor.queue)
                executor.queue.clear()
                self.say_later(f.Recalled(executor.number, back))
            case e.Interrupt():
                self.after(0.05, executor.raise_in, effect.job)
            case e.DumpStack():
                self.say_later(f.StackDumped(executor.number, "stack"))
            case e.Terminate():
                for job in executor.running:
                    self.after(0.02, executor.raise_in, job)
            case e.Kill():
                self.after(0.01, executor.die)
            case e.Retire():
                self.after(0.05, executor.die, "exit")
            case _:
                pass

    def lose_gpu(self, i: int) -> None:
        """A device falls off the bus, and may come back."""
        gpus = list(self.outpost.capacity.gpus)
        gpu = gpus[i % len(gpus)]
        gpus[i % len(gpus)] = gpu.replace(trouble="" if gpu.trouble else "it is lost")
        self.outpost.found(Devices(tuple(gpus)))
        if not gpu.trouble:
            self.after(20.0 + self.chance(60), self.lose_gpu, i)

    def say_later(self, fact: Any) -> None:
        self.after(0.0, self.say, fact)

    def die(self) -> None:
        self.is_alive = False
        for executor in self.executors.values():
            executor.is_alive = False
            executor.running.clear()
        if self.link is not None:
            self.link.cut()
        self.world.at(self.world.now + 1.0 + self.chance(80), self.begin)
