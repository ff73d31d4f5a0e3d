"""A store that is put back from copies: `python -m tests.simulation.putting_back --seeds 1000`.

Whatever was handed out is collected: the ids of jobs, functions and deployments, revisions and
fences, receipts, the executors of agents. Copies are made at any moment, and any of them may take
the place of the store when the control plane has been killed; a witness, or an agent, may tell.

B1  what was handed out is never handed out again for something else
B2  a fence or a receipt of before does nothing to what came after
B3  what an agent runs on behalf of a state that is gone is stopped
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from random import Random
from typing import Any

from apothic_backends.commands import RegisterFunction, SubmitJob
from apothic_backends.commands.deployments import Deploy
from apothic_backends.commands.dicts import AcquireLock, PutKey
from apothic_backends.commands.queues import AckItems, ClaimItems, OpenQueue, PutItems
from apothic_backends.model.deployments import DeployedFunction
from apothic_backends.model.errors import ApothicError, Fenced
from apothic_backends.model.functions import FunctionSpec
from apothic_backends.model.payloads import EMPTY_CALL, Payload
from apothic_backends.model.queues import Receipt, StaleClaim, joined
from apothic_emulator.core.agents import LAST_EXECUTOR
from apothic_emulator.core.check import check
from apothic_emulator.core.effects import StartExecutor
from apothic_emulator.core.facts import Asked, Tick
from apothic_emulator.core.floors import FLOOR, PUT_BACK
from apothic_emulator.core.hellos import BEGUN, Capacity, HeldExecutor, HeldJob, Join
from apothic_emulator.core.journal import Journal
from apothic_emulator.core.plane import Plane
from tests.simulation.history import sure

STEPS = 120
DEEDS = (
    *("submit", "register", "deploy", "write", "claim") * 4,
    *("lock", "use an old fence", "use an old receipt", "join") * 2,
    *("copy", "kill", "put back"),
)
UNSEEN = 0.3
"""How often nobody but agents knows that a copy was put back."""


class PuttingBack:
    """One run of a seed."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.now = 0.0
        self.wall = 1_800_000_000.0
        self.records: dict[str, bytes] = {}
        self.copies: list[tuple[dict[str, bytes], set[int]]] = []
        self.given: set[tuple[str, object]] = set()
        self.fences: list[int] = []
        self.receipts: list[Receipt] = []
        self.present: set[int] = set()
        """Fences, also of receipts, that the state has given which there is."""
        self.held: dict[int, HeldExecutor] = {}
        """What the one agent has."""
        self.is_unseen = False
        """Whether a copy was put back of which the control plane cannot know so far."""
        self.reached: Counter[str] = Counter()
        self._fresh = 0
        self._begin()

    def _begin(self) -> None:
        self.plane = Plane("sim", self.wall, journal=Journal(), has_home=False)
        self.plane.load(list(self.records.items()), self.now)
        self._step(Tick())
        self.ask(OpenQueue("q"))

    def run(self) -> None:
        self.register()
        for _ in range(STEPS):
            self.now += self.random.choice((0.0, 0.1, 3.0))
            deed = self.random.choice(DEEDS)
            if self.is_unseen and deed not in ("kill", "copy"):
                deed = "join"  # whoever knows better comes first
            getattr(self, deed.replace(" ", "_"))()

    # --- what happens ---------------------------------------------------------------------------

    def _step(self, *inputs: Any) -> Any:
        outcome = self.plane.step(inputs, self.now)
        check(self.plane)
        for key, record in outcome.changes:
            if record is None:
                self.records.pop(key, None)
            else:
                self.records[key] = record
        for effect in outcome.effects:
            if isinstance(effect, StartExecutor):
                self.give("executor", effect.executor)
                self.held[effect.executor] = HeldExecutor(effect.executor, effect.function, False)
        return outcome

    def ask(self, command: Any) -> Any:
        [(_, value, error)] = self._step(Asked(command, object())).replies
        if error is not None:
            raise error
        return value

    def give(self, kind: str, what: object) -> None:
        """Something was handed out."""
        sure((kind, what) not in self.given, "B1", "%s %r was handed out before", kind, what)
        self.given.add((kind, what))
        self.reached[kind] += 1

    def _text(self) -> bytes:
        self._fresh += 1
        return b"%d" % self._fresh

    def submit(self) -> None:
        deployed, pools = self.plane.registry.deployed, self.plane.pools
        functions = [it.function.function_id for n, it in pools.items() if n not in deployed]
        if functions:
            self.give("job", self.ask(SubmitJob(self.random.choice(functions), EMPTY_CALL)))

    def register(self) -> None:
        self.give("function", self.ask(RegisterFunction(FunctionSpec("a", "f"), self._code())))

    def _code(self) -> Payload:
        return Payload(self._text())

    def deploy(self) -> None:
        entry = DeployedFunction(FunctionSpec("live", "f"), self._code())
        told = self.ask(Deploy("live", (entry,)))
        self.give("deployment", told.deployment.deployment_id)

    def write(self) -> None:
        self.give("revision", self.ask(PutKey("d", "k", self._code(), create=True)))

    def claim(self) -> None:
        self.ask(PutItems("q", joined([self._text()]), 1))
        (receipt,) = self.ask(ClaimItems("q")).receipts
        self.give("revision", receipt.fence)
        self.receipts.append(receipt)
        self.present.add(receipt.fence)

    def lock(self) -> None:
        name = f"l{self.random.randrange(3)}"
        who = self._text().decode()
        fence = self.ask(AcquireLock("d", "lock", name, who, who, 9.0, 0.0, create=True))
        if fence is not None:
            self.give("revision", fence)
            self.fences.append(fence)
            self.present.add(fence)

    def use_an_old_fence(self) -> None:
        old = [it for it in self.fences if it not in self.present]
        if old:
            self._refused(PutKey("d", "k", EMPTY_CALL, fence=self.random.choice(old)), Fenced)

    def use_an_old_receipt(self) -> None:
        old = [it for it in self.receipts if it.fence not in self.present]
        if old:
            self._refused(AckItems((self.random.choice(old),)), StaleClaim)

    def _refused(self, command: Any, kind: type[ApothicError]) -> None:
        try:
            self.ask(command)
        except kind:
            self.reached["refused"] += 1
        else:
            sure(False, "B2", "%r was carried out", command)

    def join(self) -> None:
        """The agent comes, with what it has; what it began for one state it says to the next."""
        jobs = self.plane.ledger.jobs
        held = tuple(self.held.values())
        capacity = Capacity(4, 1 << 20)
        before = {*self.held}
        welcome = self.ask(Join("agent", "1", capacity, "", held))
        killed, known = {*welcome.kills}, {*self.plane.ledger.executors}
        sure(before - killed <= known, "B3", "%r were left", before - killed - known)
        self.reached["stopped"] += len(killed)
        for number in killed:
            self.held.pop(number, None)
        for number, executor in self.held.items():
            begun = [it for it in jobs.values() if it.executor == number and it.started_at]
            now = tuple(HeldJob(it.number, it.attempt, BEGUN) for it in begun)
            self.held[number] = executor.replace(jobs=now)
        self.is_unseen = False

    # --- copies ---------------------------------------------------------------------------------

    def copy(self) -> None:
        self.copies.append((dict(self.records), {*self.present}))

    def kill(self) -> None:
        self.wall += 1.0
        self._begin()

    def put_back(self) -> None:
        if not self.copies:
            return
        records, present = self.random.choice(self.copies)
        self.records, self.present = dict(records), {*present}
        last = max(int(self.records.get(key, b"0")) for key in (LAST_EXECUTOR, FLOOR))
        knows = max(self.held, default=0) > last
        is_known = any(key.startswith("agent/") for key in self.records)
        self.is_unseen = knows and is_known and self.random.random() < UNSEEN
        if not self.is_unseen:
            self.records[PUT_BACK] = b"1"
        self.reached["put back unseen" if self.is_unseen else "put back"] += 1
        self.kill()


def failure_of(seed: int) -> str:
    """What a seed finds; empty if nothing."""
    try:
        PuttingBack(seed).run()
    except Exception as error:
        return repr(error)
    return ""


def main() -> None:
    """Run seeds and tell what was reached."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.putting_back")
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args()
    reached: Counter[str] = Counter()
    for seed in range(options.first, options.first + options.seeds):
        run = PuttingBack(seed)
        try:
            run.run()
        except Exception:
            sys.stderr.write(f"seed {seed}\n")
            raise
        reached += run.reached
    for what, times in sorted(reached.items()):
        sys.stdout.write(f"  {what:20} {times:8}\n")


if __name__ == "__main__":
    main()
