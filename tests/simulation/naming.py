"""Instances under faults: people call, stop, restart and redeploy what has a name and a state.

    python -m tests.simulation.naming --seeds 1000

Processes count the calls that they have had, die at random, and take their time to end. The control
plane is killed between two steps, before a commit, or between a commit and its replies.

O1  No name has two processes at a time.
O2  The calls of a name begin in the order in which they were made.
O3  A process runs the code that was live when it was made, with the arguments of its instance.
O4  One whose process was lost more often than it may takes no calls, until it is made again.
O5  All that was taken comes to an end.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

from apothic_backends.commands import SubmitJob
from apothic_backends.commands.deployments import Deploy
from apothic_backends.commands.instances import (
    GetInstance,
    OpenInstance,
    RestartInstance,
    StopInstance,
)
from apothic_backends.model.deployments import DeployedFunction
from apothic_backends.model.errors import NotFound, QueueFull
from apothic_backends.model.functions import FunctionSpec
from apothic_backends.model.instances import ClassSpec, InstanceDead, MethodSpec
from apothic_backends.model.payloads import Payload
from apothic_emulator.core import effects as e, facts as f
from apothic_emulator.core.effects import Outcome
from apothic_emulator.core.facts import Asked, GivenUp
from apothic_emulator.core.plane import Plane
from tests.simulation import driving
from tests.simulation.driving import Client, Driven, Replies, Reply, Script
from tests.simulation.history import sure

CLIENTS = 5
NAMES = ("a", "b", None)
CLASSES = {"once": 0, "again": 1, "always": -1}
"""How often the instances of each may be lost."""
LASTS_S = (0.01, 0.1, 1.0)
ENDS_S = (0.01, 0.5, 3.0)
"""How long exit hooks take."""


class Process:
    """A process that holds an object."""

    def __init__(self, world: NameWorld, effect: e.StartExecutor) -> None:
        self.world, self.number = world, effect.executor
        cls = effect.spec.cls
        assert cls is not None, "an instance has a class"
        self.name, self.kind = cls.name, effect.spec.name
        self.arguments, self.code = map(bytes, effect.code.buffers)
        self.waiting: deque[tuple[int, int]] = deque()
        self.running: tuple[int, int] | None = None
        self.is_loaded = self.is_ending = False
        world.after(world.chance.choice((0.02, 0.2)), self._load)
        if world.chance.random() < world.deadly:
            world.after(world.chance.uniform(0.0, 20.0), self.die)

    @property
    def who(self) -> tuple[str, str] | None:
        """The class and the name, if there is one."""
        return None if self.name is None else (self.kind, self.name)

    @property
    def is_there(self) -> bool:
        """Whether it has not ended yet."""
        return self.world.processes.get(self.number) is self

    def _load(self) -> None:
        self.is_loaded = True
        self.world.hear(self, f.Loaded(self.number))
        self.go_on()

    def go_on(self) -> None:
        is_free = self.is_loaded and not self.is_ending and self.running is None
        if is_free and self.waiting and self.is_there:
            self.running = self.waiting.popleft()
            self.world.begins(self, self.running[0])
            self.world.after(self.world.chance.choice(LASTS_S), self._finish, self.running)

    def _finish(self, call: tuple[int, int]) -> None:
        if self.running == call:
            self.running = None
            self.world.hear(self, f.Reported(self.number, *call, Payload(b"done")))
            self.go_on()

    def die(self) -> None:
        """It is lost."""
        if self.is_there and not self.is_ending:
            self.world.reached["lost"] += self.is_loaded
            self.world.bury(
                self, f.Ended(self.number, "signal", tuple(self._unstarted()), signal=9)
            )

    def _taken_back(self) -> tuple[int, ...]:
        """What it has not received; it goes on receiving meanwhile."""
        kept = [call for call in self.waiting if self.world.chance.random() < 0.3]
        back = tuple(job for job, _ in self.waiting if job not in {it for it, _ in kept})
        self.waiting = deque(kept)
        return back

    def _unstarted(self) -> list[int]:
        return [job for job, _ in self.waiting]

    def carry_out(self, effect: Any) -> None:
        """What the core wants of it."""
        match effect:
            case e.Dispatch():
                self.waiting.append((effect.job, effect.attempt))
                self.go_on()
            case e.Recall():
                self.world.hear(self, f.Recalled(self.number, self._taken_back()))
            case e.Interrupt():
                self.world.after(0.05, self._stop, effect.job)
            case e.Retire():
                self.is_ending = True
                ended = f.Ended(self.number, "exit", (), exit_code=0)
                self.world.after(self.world.chance.choice(ENDS_S), self.world.bury, self, ended)
            case e.Kill():
                ended = f.Ended(self.number, "signal", tuple(self._unstarted()), signal=9)
                self.world.after(0.01, self.world.bury, self, ended)
            case _:
                pass

    def _stop(self, job: int) -> None:
        if self.running is not None and self.running[0] == job:
            self._finish(self.running)


class NameWorld(Driven):
    """One run."""

    expected = (NotFound, InstanceDead, QueueFull)

    def __init__(self, seed: int) -> None:
        self.processes: dict[int, Process] = {}
        self.last: dict[tuple[str, str], int] = {}
        """The call that began last, of each name."""
        self.taken: set[int] = set()
        self._owed: dict[int, Reply] = {}
        self._asked: dict[object, Any] = {}
        self._lives = 0
        self.deadly = 0.0
        super().__init__(seed)
        self.deadly = self.chance.choice((0.0, 0.3, 1.0))
        self.clients = [Client(self, i) for i in range(CLIENTS)]

    def run(self) -> None:
        """From the first event to the last look."""
        self._tokens += 1
        self._owed[self._tokens] = lambda *_: None
        first: Any = self._deployment(b"one")
        self.step([Asked(first, self._tokens)])
        self.settle()
        for client in self.clients:
            self.at(self.now + self.chance.random(), client.go_on)
        for _ in range(self.chance.choice((0, 3, 10))):
            kind = self.chance.choice(driving.CRASHES)
            self.at(self.chance.uniform(1.0, self.chaos_s), self.crash, kind)
        while self.following < self.chaos_s + 120.0:
            self.happen()
            if self.now > self.chaos_s:
                self.deadly = 0.0
        self.settle()
        self._judge()

    # --- between the core and the rest ----------------------------------------------------------

    def ask(self, command: Any, reply: Reply) -> int:
        """Ask for something; the token of the reply."""
        self._tokens += 1
        token = self._tokens
        self._owed[token] = reply
        self._asked[token] = command
        self.reached[type(command).__name__] += 1
        self.step([Asked(command, token)])
        return token

    def give_up(self, token: int) -> None:
        """Wait for a reply no more."""
        if self._owed.pop(token, None) is not None and not self.is_unsaid(token):
            self.step([GivenUp(token)])

    def told(self, name: str, told: Any) -> None:
        """Watchers would hear of something."""
        if name == "instance.changed":
            self.reached[told["what"]] += 1

    def committed(self) -> None:
        """What was decided up to here stands."""

    def release(self, outcome: Outcome) -> None:
        """Have done what the core wants, and tell whoever waits."""
        for effect in outcome.effects:
            if isinstance(effect, e.StartExecutor):
                self._starts(effect)
            elif effect.executor in self.processes:
                self.processes[effect.executor].carry_out(effect)
        super().release(outcome)

    def _begin(self) -> Plane:
        plane = super()._begin()
        decide = plane.step

        def step(inputs: Sequence[Any], now: float) -> Outcome:
            outcome = decide(inputs, now)
            for effect in outcome.effects:
                if isinstance(effect, e.StartExecutor):
                    self._decided(plane, effect)
            return outcome

        plane.step = step  # type: ignore[method-assign]
        return plane

    def _decided(self, plane: Plane, effect: e.StartExecutor) -> None:
        """A process is to start: of the version that is live, unless for calls from before."""
        rules: Any = plane.shared.part("instances")
        deployments: Any = plane.shared.part("deployments")
        live = deployments.live["app"].entries[effect.spec.name].pool.function.code.data
        is_late = effect.function in rules.leaving.pools
        owner = rules.leaving.owners[effect.function]
        sure(not owner.dead, "O4", "%s is dead, and gets a process", owner.shown)
        sure(is_late or effect.code.buffers[1] == live, "O3", "%d is of another", effect.executor)

    def _starts(self, effect: e.StartExecutor) -> None:
        one = self.processes[effect.executor] = Process(self, effect)
        others = [it for it in self.processes.values() if it.who == one.who and it is not one]
        sure(one.who is None or not others, "O1", "%s has two processes", one.who)

    def say(self, replies: Replies) -> None:
        """Replies leave the control plane."""
        for token, value, error in replies:
            if isinstance(self._asked.get(token), SubmitJob) and error is None:
                self.taken.add(int(value[5:]))
            reply = self._owed.pop(token, None)  # type: ignore[call-overload]
            if reply is not None:
                self.at(self.now + self.chance.choice((0.0, 0.01)), reply, value, error)

    def restarted(self, unsaid: Sequence[Outcome]) -> None:
        """All processes are gone, and what was not committed has not been."""
        self._lives += 1
        self.processes.clear()
        owed, self._owed = self._owed, {}
        for reply in owed.values():
            self.at(self.now + 0.1, reply, None, ConnectionError("it was killed"))
        for number in self.taken:
            sure(number in self.plane.ledger.jobs, "O5", "jobs:%d is gone", number)

    def after(self, delay_s: float, what: Any, *args: Any) -> None:
        """Have something happen, unless the control plane is killed before."""
        life = self._lives

        def act() -> None:
            if life == self._lives:
                what(*args)

        self.at(self.now + delay_s, act)

    def hear(self, process: Process, fact: Any) -> None:
        """A process says something."""
        if process.is_there:
            self.after(0.0, self.step, [fact])

    def bury(self, process: Process, fact: f.Ended) -> None:
        """A process has ended."""
        if self.processes.pop(process.number, None) is process:
            self.step([fact])

    def begins(self, process: Process, job: int) -> None:
        """A process begins a call."""
        function = self.plane.ledger.jobs[job].function
        sure(function.code.buffers[1] == process.code, "O3", "jobs:%d runs on other code", job)
        sure(process.arguments == b"args", "O3", "%d has other arguments", process.number)
        if process.who is not None:
            before = self.last.get(process.who, 0)
            sure(before < job, "O2", "jobs:%d begins after jobs:%d", job, before)
            self.last[process.who] = job
            self.reached["begun"] += 1

    # --- what people do -------------------------------------------------------------------------

    def draw_script(self, client: Client) -> Script:
        """What a client does next."""
        if client.number == 0:
            return self.chance.choice((self._deploy, self._stop, self._restart, self._look))()
        return self._call()

    def _deployment(self, code: bytes) -> Deploy:
        methods = (MethodSpec("add"),)
        return Deploy(
            "app",
            tuple(
                DeployedFunction(
                    FunctionSpec(
                        "app",
                        name,
                        max_pending_tasks=6,
                        max_containers=2,
                        timeout_s=5.0,
                        cls=ClassSpec(methods, max_restarts=most, keep_warm_s=self._warm_s()),
                    ),
                    Payload(code),
                )
                for name, most in CLASSES.items()
            ),
        )

    def _warm_s(self) -> float | None:
        return self.chance.choice((None, None, 0.5))

    def _deploy(self) -> Script:
        yield self._deployment(self.chance.choice((b"one", b"two")))
        yield self.chance.choice((1.0, 5.0))

    def _whom(self) -> str:
        return f"app/{self.chance.choice([*CLASSES])}/{self.chance.choice(('a', 'b'))}"

    def _stop(self) -> Script:
        yield StopInstance(self._whom(), self.chance.random() < 0.5, 2.0)
        yield self.chance.choice((0.0, 2.0))

    def _restart(self) -> Script:
        yield RestartInstance(self._whom())
        yield self.chance.choice((0.0, 2.0))

    def _look(self) -> Script:
        yield GetInstance(self._whom())
        yield 0.5

    def _call(self) -> Script:
        chance = self.chance
        kind, name = chance.choice([*CLASSES]), chance.choice(NAMES)
        instance = yield OpenInstance(f"app/{kind}", Payload(b"args"), "()", name)
        for _ in range(chance.choice((1, 3, 6))):
            submit = SubmitJob(instance, Payload(b"x"), method="add")
            submit.wait_for_room = chance.random() < 0.7
            yield submit
            yield chance.choice((0.0, 0.1, 1.0))

    # --- what has to be true --------------------------------------------------------------------

    def _judge(self) -> None:
        rules: Any = self.plane.shared.part("instances")
        for number in self.taken:
            job = self.plane.ledger.jobs[number]
            sure(job.is_final, "O5", "jobs:%d has not ended: %s", number, job.status)
            self.reached[job.status.value] += 1
            if job.error is not None:
                self.reached[job.error.code] += 1
        for it in rules.instances.values():
            most = CLASSES[it.kind]
            is_over = it.name is not None and 0 <= most < it.restarts
            sure(
                bool(it.dead) is is_over, "O4", "%s: %d losses, %s", it.shown, it.restarts, it.dead
            )
        sure(not rules.leaving.pools, "L1", "%d pools do not end", len(rules.leaving.pools))


def failure_of(seed: int) -> str:
    """What a seed finds; empty if nothing."""
    return driving.failure_of(NameWorld, seed)


if __name__ == "__main__":
    driving.main(NameWorld, "python -m tests.simulation.naming")
