"""Deployments under faults: people deploy, go back, stop and delete while jobs run.

    python -m tests.simulation.deploying --seeds 1000

Workers run the code that they were started with; the control plane is killed between two steps,
before a commit, or between a commit and its replies. `shelf.py` says what must be true.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

from apothic_backends.commands import SubmitJob
from apothic_backends.commands.deployments import (
    DeleteDeployment,
    Deploy,
    ListDeployments,
    RollbackDeployment,
    StopDeployment,
)
from apothic_backends.model.deployments import DeployedFunction
from apothic_backends.model.errors import NotFound
from apothic_backends.model.functions import FunctionSpec
from apothic_backends.model.jobs import JobStatus
from apothic_backends.model.payloads import Payload
from apothic_backends.model.schedules import PeriodSchedule
from apothic_emulator.core import effects as e, facts as f
from apothic_emulator.core.effects import Outcome
from apothic_emulator.core.facts import Asked, GivenUp
from apothic_emulator.core.jobs import Job
from apothic_emulator.core.plane import Plane
from tests.simulation import driving
from tests.simulation.driving import Client, Driven, Replies, Reply, Script
from tests.simulation.history import sure
from tests.simulation.scheduling import Multiples
from tests.simulation.shelf import Shelf

CLIENTS = 5
APPS, NAMES = ("a", "b"), ("f", "g")
LASTS_S = (0.01, 0.1, 1.0, 8.0)
EVERY = PeriodSchedule(seconds=5.0, overlap="allow", missed="skip")


class Worker:
    """A process that has one function's code."""

    def __init__(self, world: DeployWorld, effect: e.StartExecutor) -> None:
        self.world, self.number, self.function = world, effect.executor, effect.function
        self.code = bytes(effect.code.data)
        self.waiting: deque[tuple[int, int]] = deque()
        self.running: tuple[int, int] | None = None
        self.is_loaded = False
        world.after(world.chance.choice((0.02, 0.2)), self._load)

    def _load(self) -> None:
        self.is_loaded = True
        self.world.hear(self, f.Loaded(self.number))
        self.go_on()

    def go_on(self) -> None:
        if self.is_loaded and self.running is None and self.waiting:
            self.running = self.waiting.popleft()
            self.world.begins(self, self.running[0])
            self.world.after(self.world.chance.choice(LASTS_S), self._finish, self.running)

    def _finish(self, call: tuple[int, int]) -> None:
        if self.running == call:
            self.running = None
            job, attempt = call
            result = Payload(b"%s %d" % (self.code, job))
            self.world.hear(self, f.Reported(self.number, job, attempt, result))
            self.go_on()

    def carry_out(self, effect: Any) -> None:
        """What the core wants of it."""
        match effect:
            case e.Dispatch():
                self.waiting.append((effect.job, effect.attempt))
                self.go_on()
            case e.Recall():
                back = tuple(job for job, _ in self.waiting)
                self.waiting.clear()
                self.world.hear(self, f.Recalled(self.number, back))
            case e.Kill() | e.Retire():
                self.world.after(0.01, self.world.bury, self)
            case _:
                pass


class DeployWorld(Driven):
    """One run."""

    expected = (NotFound,)
    calendar = Multiples()

    def __init__(self, seed: int) -> None:
        self.shelf = Shelf()
        self.kept = Shelf()
        """What was committed."""
        self.workers: dict[int, Worker] = {}
        self._asked: dict[object, Any] = {}
        self._owed: dict[int, Reply] = {}
        self._lives = 0
        super().__init__(seed)
        self.clients = [Client(self, i) for i in range(CLIENTS)]

    def run(self) -> None:
        """From the first event to the last look."""
        for client in self.clients:
            self.at(self.chance.random(), client.go_on)
        for _ in range(self.chance.choice((0, 3, 10))):
            kind = self.chance.choice(driving.CRASHES)
            self.at(self.chance.uniform(0, self.chaos_s), self.crash, kind)
        while self.following < self.chaos_s + 120.0:
            self.happen()
            if not self.steps % 64:
                self._look()
        self.settle()
        self._look()
        self._judge()

    # --- the control plane ----------------------------------------------------------------------

    def _begin(self) -> Plane:
        plane = super()._begin()
        decide, log = plane.step, plane.ledger.events
        append = log.append

        def step(inputs: Sequence[Any], now: float) -> Outcome:
            outcome = decide(inputs, now)
            self._stepped(inputs, outcome)
            return outcome

        def tapped(name: str, subject: Any, at: float, attempt: int, told: Any = None) -> None:
            if name == "schedule.fired":
                job = plane.ledger.jobs[int(told["job_id"][5:])]
                self.shelf.fired(job.function.number, told["scheduled_at"])
                self.reached["fired"] += 1
            append(name, subject, at, attempt, told)

        plane.step, log.append = step, tapped  # type: ignore[method-assign]
        return plane

    def _stepped(self, inputs: Sequence[Any], outcome: Outcome) -> None:
        """Take down what was decided."""
        replies = {token: (value, error) for token, value, error in outcome.replies}
        for item in inputs:
            if isinstance(item, Asked) and not isinstance(item.command, SubmitJob):
                value, error = replies[item.token]
                if error is None:
                    self._changed(item.command, value)
        asked = [item.token for item in inputs if isinstance(item, Asked)]
        for token, (value, error) in replies.items():
            self.reached["waited"] += token not in asked
            command = self._asked.get(token)
            if isinstance(command, SubmitJob):
                app, _, name = command.function_id.partition("/")
                if error is not None:
                    self.shelf.refused(app, name, error)
                else:
                    job = self._job(value)
                    self.shelf.admitted(app, name, job.number, job.function.number)

    def _job(self, job_id: Any) -> Job:
        return self.plane.ledger.jobs[int(job_id[5:])]

    def _changed(self, command: Any, value: Any) -> None:
        shelf = self.shelf
        kind = type(command).__name__
        self.reached[kind] += 1
        if isinstance(command, Deploy):
            codes = {one.spec.name: bytes(one.code.data) for one in command.functions}
            timed = command.functions[0].schedule is not None
            self.reached["no-op"] += not value.is_new
            shelf.deployed(command.app_name, codes, value, timed=timed)
        elif isinstance(command, RollbackDeployment):
            assert command.version is not None
            shelf.rolled_back(command.deployment, command.version, value)
        elif isinstance(command, StopDeployment):
            shelf.stopped(command.deployment, self._unfinished(), drain=command.drain)
        elif isinstance(command, DeleteDeployment):
            name, _, number = command.deployment.partition(":")
            it = shelf.versions[int(number)] if number else None
            app, version = (name, None) if it is None else (it.app, it.version)
            shelf.deleted(app, version, self._unfinished())

    def _unfinished(self) -> list[int]:
        """Jobs that had not ended before the step, whatever that has made of them."""
        jobs = self.plane.ledger.jobs
        return [n for n in self.shelf.jobs if jobs[n].status is not JobStatus.SUCCEEDED]

    # --- between the core and the rest ----------------------------------------------------------

    def ask(self, command: Any, reply: Reply) -> int:
        """Ask for something; the token of the reply."""
        self._tokens += 1
        self._asked[self._tokens] = command
        self._owed[self._tokens] = reply
        token = self._tokens
        self.step([Asked(command, token)])
        return token

    def give_up(self, token: int) -> None:
        """Wait for a reply no more."""
        if self._owed.pop(token, None) is not None and not self.is_unsaid(token):
            self.step([GivenUp(token)])

    def told(self, name: str, told: Any) -> None:
        """Watchers would hear of something."""

    def committed(self) -> None:
        """What was decided up to here stands."""
        self.kept = self.shelf.copy()

    def release(self, outcome: Outcome) -> None:
        """Have done what the core wants, and tell whoever waits."""
        for effect in outcome.effects:
            if isinstance(effect, e.StartExecutor):
                self.workers[effect.executor] = Worker(self, effect)
            elif effect.executor in self.workers:
                self.workers[effect.executor].carry_out(effect)
        super().release(outcome)

    def say(self, replies: Replies) -> None:
        """Replies leave the control plane."""
        for token, value, error in replies:
            reply = self._owed.pop(token, None)  # type: ignore[call-overload]
            if reply is not None:
                self.at(self.now + self.chance.choice((0.0, 0.01)), reply, value, error)

    def restarted(self, unsaid: Sequence[Outcome]) -> None:
        """All workers are gone, and what was not committed has not been."""
        self._lives += 1
        self.shelf = self.kept.copy()
        self.workers.clear()
        owed, self._owed = self._owed, {}
        for reply in owed.values():
            self.at(self.now + 0.1, reply, None, ConnectionError("it was killed"))
        for number in self.shelf.jobs:
            sure(number in self.plane.ledger.jobs, "D3", "jobs:%d is gone", number)
        self._look()

    def after(self, delay_s: float, what: Any, *args: Any) -> None:
        """Have something happen, unless the control plane is killed before."""
        life = self._lives

        def act() -> None:
            if life == self._lives:
                what(*args)

        self.at(self.now + delay_s, act)

    def hear(self, worker: Worker, fact: Any) -> None:
        """A worker says something."""
        if self.workers.get(worker.number) is worker:
            self.after(self.chance.choice((0.0, 0.001)), self.step, [fact])

    def begins(self, worker: Worker, job: int) -> None:
        """A worker runs a job: on the code of the version that it was admitted to."""
        function = self.shelf.jobs.get(job)
        if function is None:  # a schedule's
            function = self.plane.ledger.jobs[job].function.number
        sure(worker.function == function, "D1", "jobs:%d runs on %d", job, worker.function)
        sure(worker.code == self.shelf.code_of[function], "D1", "jobs:%d runs on other code", job)

    def bury(self, worker: Worker) -> None:
        """A worker has ended."""
        if self.workers.pop(worker.number, None) is worker:
            unstarted = tuple(job for job, _ in worker.waiting)
            self.step([f.Ended(worker.number, "exit", unstarted, exit_code=0)])

    # --- what people do -------------------------------------------------------------------------

    def draw_script(self, client: Client) -> Script:
        """What a client does next."""
        people = (self._deploy, self._deploy, self._roll_back, self._stop, self._delete)
        if client.number == 0:
            return self.chance.choice(people)()
        return self.chance.choice((self._call, self._call, self._call, self._crowd))()

    def _deploy(self) -> Script:
        chance, app = self.chance, self.chance.choice(APPS)
        timed = EVERY if chance.random() < 0.5 else None
        names = NAMES[: chance.choice((1, 2, 2))]
        functions = tuple(
            DeployedFunction(
                FunctionSpec(app, name, max_pending_tasks=4, max_containers=2),
                Payload(chance.choice((b"one", b"two"))),
                timed,
            )
            for name in names
        )
        yield Deploy(app, functions)
        yield chance.choice((0.0, 1.0, 4.0))

    def _roll_back(self) -> Script:
        known = [(it.app, it.version) for it in self.shelf.versions.values()]
        if known:
            yield RollbackDeployment(*self.chance.choice(known))
        yield 1.0

    def _stop(self) -> Script:
        yield self.chance.choice((1.0, 5.0))
        yield StopDeployment(self.chance.choice(APPS), self.chance.random() < 0.5)
        yield self.chance.choice((0.0, 2.0))

    def _delete(self) -> Script:
        known = [f"deployments:{number}" for number in self.shelf.versions]
        if known:
            app = self.chance.random() < 0.2
            yield DeleteDeployment(self.chance.choice(APPS if app else known))
        yield 3.0

    def _call(self) -> Script:
        app, name = self.chance.choice(APPS), self.chance.choice(NAMES)
        yield SubmitJob(f"{app}/{name}", Payload(b"x"), wait_for_room=True)
        yield self.chance.choice((0.0, 0.1, 1.0))

    def _crowd(self) -> Script:
        """So many that some wait for room."""
        app = self.chance.choice(APPS)
        for _ in range(8):
            yield SubmitJob(f"{app}/f", Payload(b"x"), wait_for_room=True)

    # --- what has to be true --------------------------------------------------------------------

    def _look(self) -> None:
        """Compare what there is with what there has to be."""
        rules = self.plane.shared.parts.get("deployments")
        if rules is not None:
            found: Any = rules
            listed = found._list(ListDeployments(), None, self.now)
            timed = {*self.plane.schedules.timetables}
            self.shelf.compare(listed, timed)

    def _judge(self) -> None:
        for number in self.shelf.jobs:
            job = self.plane.ledger.jobs[number]
            sure(job.is_final, "L1", "jobs:%d has not ended: %s", number, job.status)
            self.reached[job.status.value] += 1
            is_lost = job.status.value == "lost"
            sure(not is_lost or self._lives, "D2", "jobs:%d is lost", number)
            self.shelf.ended(number, job.status.value, job.result)


def failure_of(seed: int) -> str:
    """What a seed finds; empty if nothing."""
    return driving.failure_of(DeployWorld, seed)


if __name__ == "__main__":
    driving.main(DeployWorld, "python -m tests.simulation.deploying")
