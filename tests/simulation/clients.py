"""Clients in a run: what they ask, how they follow, and what they do when nobody answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from apothic_backends.commands import (
    CancelJob,
    GetJob,
    GetJobLogs,
    KeepJob,
    ReadEvents,
    ReleaseJob,
    RunJob,
    SubmitJob,
    WaitJob,
)
from apothic_backends.model.errors import BackendClosed
from apothic_backends.model.events import ALL_JOBS, Cursor, EventBatch
from apothic_backends.model.payloads import Payload
from apothic_emulator.core.facts import GivenUp, Input
from apothic_emulator.core.plane import Plane
from apothic_emulator.core.pools import RoomWait
from tests.simulation.chance import CLIENT, WATCH, draw, pick
from tests.simulation.history import sure
from tests.simulation.plan import Plan
from tests.simulation.streaming import Place, Reader
from tests.simulation.surroundings import Reply
from tests.simulation.watching import Watcher

CLIENTS = 4


@dataclass(frozen=True)
class Owed:
    """A reply that is owed: for what, who takes it, and whose it is."""

    command: Any
    reply: Reply
    client: int
    executor: int


class Around(Place, Protocol):
    """What clients need of the world."""

    plan: Plan
    plane: Plane
    owed: dict[int, Owed]
    inbox: Any

    def send(self, item: Input) -> None: ...
    def flush(self) -> None: ...


class Clients:
    """A few of them. What they hold and what they have been told is theirs to come back for."""

    def __init__(self, world: Around) -> None:
        self.world = world
        self.history = world.history
        self.mine: list[int] = []
        """Jobs of clients."""
        self.held: set[int] = set()
        """Those of them whose handle nobody has given up."""
        self.reading: dict[int, Watcher] = {}

    def act(self, op: str, i: int) -> None:
        """Do what the plan says."""
        plan, world = self.world.plan, self.world
        chance = draw(plan.seed, CLIENT, i)
        function, client = (chance >> 8) % len(plan.specs) + 1, chance % CLIENTS
        if op == "remote" and chance & 2048:
            self._run(client, function, 1)
        elif op == "remote":
            self._submit(client, function, last=True)
        elif op == "spawn":
            self._submit(client, function, last=False)
        elif op == "map" and chance & 2048:
            self._run(client, function, chance % 25 + 1, waits=True)
        elif op == "map":
            for _ in range(chance % 25 + 1):
                self._submit(client, function, last=True, waits=True)
        elif op == "keyed":
            self._submit_under(f"{function}-{chance % 3}", client, function)
        elif op == "items":
            Reader(world, chance >> 16, None, client, ignore).open(len(plan.specs) + 1)
        elif op == "keep":
            self._keep(client, chance)
        elif op == "watch":
            self._watch(client, i, chance)
        elif op == "give_up":
            self._give_up([t for t, it in world.owed.items() if it.client >= 0], chance)
        elif op == "bad":
            self._bad(client, chance)
        elif self.mine:
            self._on_a_job(op, client, self.mine[chance % len(self.mine)], chance)

    def _on_a_job(self, op: str, client: int, job: int, chance: int) -> None:
        ask, job_id, known = self.world.ask, f"jobs:{job}", self._known(job)
        if op == "wait":
            last = chance & 1024 > 0
            if last:
                self.held.discard(job)
            ask(WaitJob(job_id, last=last), known, None, client)
        elif op == "cancel":
            self.cancel(job)
        elif op == "release":
            self.held.discard(job)
            ask(ReleaseJob(job_id), known, None, client)
        elif op == "get":
            ask(GetJob(job_id), known, None, client)
        elif op == "logs":
            ask(GetJobLogs(job_id), known, None, client)

    def _known(self, job: int) -> Reply:
        def reply(_: object, error: BaseException | None) -> None:
            if error is not None:
                self.history.refused(error, job, is_held=job in self.held)

        return reply

    # --- calls ----------------------------------------------------------------------------------

    def _run(self, client: int, function: int, count: int, *, waits: bool = False) -> None:
        for _ in range(count):
            run = RunJob(f"functions:{function}", Payload(b"x" * 10), waits)
            self.world.ask(run, ignore, None, client)

    def _keep(self, client: int, chance: int) -> None:
        """Whoever runs a job will come for its result later."""
        waits = self.world.plane.ledger.waits.values()
        runs = [wait.awaited for wait in waits if wait.runs and wait.awaited is not None]
        runs = [job for job in runs if job.number not in self.mine]
        if not runs:
            return
        job = runs[chance % len(runs)]

        def kept(_: object, error: BaseException | None) -> None:
            if error is None and not job.is_final:
                self.mine.append(job.number)
                self.held.add(job.number)
                self.history.reached["kept"] += 1

        self.world.ask(KeepJob(job.job_id), kept, None, client)

    def _submit(self, client: int, function: int, *, last: bool, waits: bool = False) -> None:
        def submitted(value: object, error: BaseException | None) -> None:
            if error is not None:
                return
            job = int(str(value)[5:])
            self.mine.append(job)
            if last:
                self.world.ask(WaitJob(f"jobs:{job}", last=True), ignore, None, client)
            else:
                self.held.add(job)

        command = SubmitJob(f"functions:{function}", Payload(b"x" * 10), waits)
        self.world.ask(command, submitted, None, client)

    def _submit_under(self, key: str, client: int, function: int) -> None:
        """Submit, and if nobody can say whether that was heard, again, till somebody does."""
        command = SubmitJob(f"functions:{function}", Payload(b"x" * 10), True, key)

        def submitted(value: object, error: BaseException | None) -> None:
            if isinstance(error, BackendClosed):
                self.history.reached["submitted_again"] += 1
                self.world.ask(command, submitted, None, client)
            elif error is None:
                known = self.world.plane.ledger.jobs
                is_known = self.history.keys.get(key) in known
                self.history.queued_under(key, int(str(value)[5:]), is_known=is_known)

        self.world.ask(command, submitted, None, client)

    def cancel(self, job: int) -> None:
        """Have a job stopped."""
        history = self.history
        history.asked_to_cancel.add(job)

        def cancelled(_: object, error: BaseException | None) -> None:
            if error is None:
                history.acknowledging.add(job)

        self.world.ask(CancelJob(f"jobs:{job}"), cancelled, None)

    def _bad(self, client: int, chance: int) -> None:
        commands = (
            GetJob("jobs:99999999"),
            WaitJob("job:1"),
            CancelJob("jobs:" + "9" * 5000),
            GetJobLogs("jobs:0"),
            ReleaseJob("x"),
            SubmitJob("functions:77", Payload(b"")),
            ReadEvents("jobs:-1"),
            GetJob("jobs:١"),  # noqa: RUF001 - a digit, but not one of ours
        )
        self.world.ask(commands[chance % len(commands)], _must_fail, None, client)

    # --- giving up ------------------------------------------------------------------------------

    def _give_up(self, tokens: list[int], chance: int) -> None:
        if tokens and not self.world.inbox:
            self.give_up_later(tokens[chance % len(tokens)])

    def vanish(self, client: int) -> None:
        """A client is gone, with all that it waits for."""
        for token in [t for t, it in self.world.owed.items() if it.client == client]:
            self.give_up_later(token)

    def give_up_later(self, token: int) -> None:
        """Wait for a reply no more; the control plane hears of that after what was asked before."""
        world = self.world
        wait = world.plane.ledger.waits.get(token)
        if isinstance(wait, RoomWait):  # it may get room, and so a job, before this is heard
            world.flush()
            wait = world.plane.ledger.waits.get(token)
        if wait is None:
            return  # it is still on its way, and nobody could say which job goes with it
        if wait.runs and wait.awaited is not None:
            self.history.asked_to_cancel.add(wait.awaited.number)
        it = world.owed[token]
        world.owed[token] = Owed(it.command, ignore, it.client, it.executor)
        world.send(GivenUp(token))

    # --- watches --------------------------------------------------------------------------------

    def _watch(self, client: int, i: int, chance: int) -> None:
        topic = f"jobs:{self.mine[chance % len(self.mine)]}" if self.mine else ALL_JOBS
        if chance & 4096:
            topic = ALL_JOBS
        epoch = self.world.plane.ledger.events.epoch
        zero = Cursor(epoch, 0)
        starts = (None, None, zero, zero, Cursor("old", 5), Cursor(epoch, 1 << 40))
        start = starts[(chance >> 20) % len(starts)]
        snapshot = start is None and chance & 8192 > 0
        watcher = Watcher(self.history, topic, start, snapshot=snapshot)
        self._read(watcher, client, i * 1000)

    def _read(self, watcher: Watcher, client: int, counter: int) -> None:
        world, seed = self.world, self.world.plan.seed

        def more(value: object, error: BaseException | None) -> None:
            if isinstance(error, BackendClosed):
                self._read(watcher, client, counter + 1)
                return
            if error is not None:
                return
            assert isinstance(value, EventBatch)
            watcher.take(value, is_cut=draw(seed, WATCH, counter + 500) % 4 == 0)
            if watcher.is_over:
                watcher.close()
                return
            pauses = (0.1, 2.0, 20.0) if "far_reader" in world.plan.features else (0.1, 1.0)
            pause_s = 0.1 if world.is_healed else pick(seed, WATCH, counter, pauses)
            world.at(world.now + pause_s, self._read, watcher, client, counter + 1)

        token: Any = world.ask(watcher.command(seed, counter), more, None, client)
        self.reading[token] = watcher

    # --- the end --------------------------------------------------------------------------------

    def restarted(self) -> None:
        """Another control plane has taken over: what was asked is asked again, or is not."""
        self.reading.clear()
        known = self.world.plane.ledger.jobs
        lost = [job for job in self.held if job not in known]
        sure(not lost, "R7", "%s are held, and not known after a restart", lost)
        for job in self.held:
            self.world.ask(WaitJob(f"jobs:{job}"), self._known(job), None, job % CLIENTS)

    def leave(self) -> None:
        """Everybody has had time enough."""
        for token in list(self.world.owed):
            watcher = self.reading.get(token)
            sure(watcher is not None, "L1", "token %d is waited for and never answered", token)
            if watcher is not None:
                watcher.close()
                self.give_up_later(token)


def ignore(*_: object) -> None:
    """Whoever asked does not care."""


def _must_fail(_: object, error: BaseException | None) -> None:
    sure(error is not None, "I15", "nonsense was accepted")
