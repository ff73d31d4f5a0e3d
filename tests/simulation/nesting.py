"""Calls that hold GPUs and wait for calls that need some.

    python -m tests.simulation.nesting --seeds 1000

N1  whoever waits hears of it: in the end no job is left, and nobody waits
N2  who is the only one that waits is refused only what there is no device for while it waits
N3  a refusal undoes what was asked for: nobody waits for it, and nothing runs for it
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

from apothic_backends.commands import RegisterFunction, RunJob, SubmitJob, WaitJob
from apothic_backends.model.errors import SlotDeadlock
from apothic_backends.model.functions import FunctionSpec
from apothic_backends.model.payloads import Payload
from apothic_emulator.core import effects as e, facts as f
from apothic_emulator.core.effects import Outcome
from apothic_emulator.core.facts import Asked, Origin
from apothic_emulator.core.hellos import Gpu, GpusFound
from tests.simulation import driving
from tests.simulation.driving import Client, Driven, Replies, Reply, Script
from tests.simulation.history import sure

CLIENTS = 3
LASTS_S = (0.01, 0.1, 1.0)
QUIET_S = 600.0
MOST_JOBS = 150


class Worker:
    """A process that takes so many calls at once as it has slots; some call others, and wait."""

    def __init__(self, world: NestWorld, effect: e.StartExecutor) -> None:
        self.world, self.number, self.function = world, effect.executor, effect.function
        self.spec, self.gpus = effect.spec, effect.gpus
        self.queue: deque[tuple[int, int]] = deque()
        self.running: dict[int, int] = {}
        self.waiting: set[int] = set()
        """Calls whose code waits."""
        self.is_loaded = False
        world.after(world.chance.choice((0.02, 0.2)), self._load)

    def _load(self) -> None:
        self.is_loaded = True
        self.world.step([f.Loaded(self.number)])
        self._go_on()

    def _go_on(self) -> None:
        while self.is_loaded and self.queue and len(self.running) < self.spec.concurrent_requests:
            job, attempt = self.queue.popleft()
            self.running[job] = attempt
            calls = self.world.chance.choice((0, 0, 1, 1, 2))
            self.world.after(self.world.chance.choice(LASTS_S), self._call, job, calls)

    def _call(self, job: int, calls: int) -> None:
        """Go on with a call, which has so many others to call."""
        command = self.world.draw_call(job) if calls else None
        if command is None:
            self._finish(job)
            return
        self.waiting.add(job)

        def reply(value: object = None, error: BaseException | None = None) -> None:
            self.waiting.discard(job)
            self.world.after(self.world.chance.choice(LASTS_S), self._call, job, calls - 1)

        self.world.ask_inside(command, self, job, reply)

    def _finish(self, job: int) -> None:
        attempt = self.running.pop(job)
        self.world.step([f.Reported(self.number, job, attempt, Payload(b"x"))])
        self._go_on()

    def carry_out(self, effect: Any) -> None:
        """What the core wants of it."""
        match effect:
            case e.Dispatch():
                self.queue.append((effect.job, effect.attempt))
                self._go_on()
            case e.Recall():
                back = tuple(job for job, _ in self.queue)
                self.queue.clear()
                self.world.after(0.0, self.world.step, [f.Recalled(self.number, back)])
            case e.Retire() | e.Kill():
                self.world.after(0.01, self._end)
            case _:
                raise AssertionError(effect)

    def _end(self) -> None:
        del self.world.workers[self.number]
        unstarted = tuple(job for job, _ in self.queue)
        self.world.step([f.Ended(self.number, "exit", unstarted, exit_code=0)])


class NestWorld(Driven):
    """One run: a machine with one to three devices."""

    chaos_s = 30.0

    def __init__(self, seed: int) -> None:
        self.workers: dict[int, Worker] = {}
        self._owed: dict[int, Reply] = {}
        self._inside: dict[int, tuple[Any, Worker, int]] = {}
        """What code in workers waits for."""
        self._refused: set[int] = set()
        self._is_stepping = False
        self._inbox: list[Any] = []
        super().__init__(seed)
        self.gpus = self.chance.choice((1, 2, 3))
        self.clients = [Client(self, i) for i in range(CLIENTS)]

    def run(self) -> None:
        """From the first event to the last look."""
        for name, count in (("plain", 0), ("one", 1), ("two", 2)):
            slots = self.chance.choice((1, 1, 2))
            options: dict[str, Any] = {"concurrent_requests": slots, "max_containers": 3}
            spec = FunctionSpec("sim", name, 9000.0, gpu_count=count, **options)
            self.ask(RegisterFunction(spec, Payload(name.encode())), self._ignore)
        gpus = tuple(Gpu(f"GPU-{n}", "L4", 24_000) for n in range(self.gpus))
        self.ask(GpusFound(gpus), self._ignore)
        for client in self.clients:
            self.at(self.chance.random(), client.go_on)
        while self.following < self.chaos_s + QUIET_S:
            self.happen()
        self.settle()
        self._judge()

    def _ignore(self, value: object = None, error: BaseException | None = None) -> None:
        pass

    def after(self, delay_s: float, what: Any, *args: Any) -> None:
        """Have something happen."""
        self.at(self.now + delay_s, what, *args)

    # --- between the core and the rest ----------------------------------------------------------

    def ask(self, command: Any, reply: Reply) -> int:
        """Ask for something; the token of the reply."""
        self._tokens += 1
        self._owed[self._tokens] = reply
        self.step([Asked(command, self._tokens)])
        return self._tokens

    def ask_inside(self, command: Any, worker: Worker, job: int, reply: Reply) -> None:
        """Code of a job asks, and waits."""
        self._tokens += 1
        self._owed[self._tokens] = reply
        self._inside[self._tokens] = command, worker, job
        self.reached[type(command).__name__] += 1
        self.step([Asked(command, self._tokens, Origin(worker.number, job))])

    def say(self, replies: Replies) -> None:
        """Replies leave the control plane."""
        for token, value, error in replies:
            inside = self._inside.pop(token, None)  # type: ignore[call-overload]
            if inside is not None and isinstance(error, SlotDeadlock):
                self._judge_refusal(error, *inside)
            reply = self._owed.pop(token, None)  # type: ignore[call-overload]
            if reply is not None:
                self.at(self.now, reply, value, error)

    def release(self, outcome: Outcome) -> None:
        """Have done what the core wants, and tell whoever waits."""
        super().release(outcome)
        for effect in outcome.effects:
            if isinstance(effect, e.StartExecutor):
                self.workers[effect.executor] = Worker(self, effect)
            elif effect.executor in self.workers:
                self.after(0.0, self._carry_out, effect)

    def _carry_out(self, effect: Any) -> None:
        if effect.executor in self.workers:
            self.workers[effect.executor].carry_out(effect)

    def give_up(self, token: int) -> None:
        """Nobody does."""

    def told(self, name: str, told: Any) -> None:
        """Watchers would hear of something."""

    def committed(self) -> None:
        """Nothing is undone."""

    def restarted(self, unsaid: Sequence[Outcome]) -> None:
        """There are no restarts: whoever waits in a worker ends with it."""

    # --- what people and code do ----------------------------------------------------------------

    def draw_script(self, client: Client) -> Script:
        """What a client does next."""
        yield SubmitJob(self._function(), Payload(b"x"), wait_for_room=True)
        yield self.chance.choice((0.0, 0.1, 1.0, 5.0))

    def _function(self) -> str:
        return f"functions:{self.chance.choice((1, 2, 2, 3 if self.gpus > 1 else 2))}"

    def draw_call(self, job: int) -> Any:
        """What code of a job calls: a function, or a job that somebody else has called."""
        jobs = self.plane.ledger.jobs
        if len(jobs) > MOST_JOBS or self.now > self.chaos_s:
            return None
        others = [it.job_id for it in jobs.values() if not it.is_final and it.number != job]
        if others and self.chance.random() < 0.3:
            return WaitJob(self.chance.choice(others))
        return RunJob(self._function(), Payload(b"x"))

    # --- what has to be true --------------------------------------------------------------------

    def _judge_refusal(self, error: SlotDeadlock, command: Any, worker: Worker, job: int) -> None:
        if "for ever" not in str(error):
            return
        self.reached["refused"] += 1
        if not isinstance(command, RunJob):
            return
        waiting = [it for it in self.workers.values() if it.waiting - {job}]
        if not waiting:
            need = int(command.function_id[10:]) - 1
            left = self.gpus - len(worker.gpus)
            sure(left < need, "N2", "%d of %d are left, and %d are too many", left, self.gpus, need)
        waits = self.plane.ledger.executors[worker.number].waits
        mine = [wait for wait in waits.values() if wait.caller and wait.caller.number == job]
        sure(not mine, "N3", "jobs:%d was refused, and waits", job)

    def _judge(self) -> None:
        jobs = self.plane.ledger.jobs.values()
        left = [job.job_id for job in jobs if not job.is_final]
        sure(not left, "N1", "%s never ended", left)
        sure(not self._inside and not self._owed, "N1", "%d wait for ever", len(self._owed))
        for job in jobs:
            self.reached[job.status.value] += 1


def failure_of(seed: int) -> str:
    """What a seed finds; empty if nothing."""
    return driving.failure_of(NestWorld, seed)


if __name__ == "__main__":
    driving.main(NestWorld, "python -m tests.simulation.nesting")
