"""Rented machines in virtual time: the core, a provider that lies, and control planes that die.

Agents join from machines that come up, and run jobs. `python -m tests.simulation.renting FIRST END`
runs many seeds.

C1  what really runs never costs more than may be spent, by what was asked for
C2  no machine is without an owner for longer than it may take to come up, and a quarter of an hour
C3  in the end those are alive that are wanted, and no others
C4  no tag is used twice, and nothing is asked for that is not written down
C5  every job ends; where nothing goes wrong it succeeds
C6  who is blocked is not asked again at once
C7  what is not wanted gets no work
C8  what has become too dear is not kept
C9  who is told that all are released can believe that
C10 where a machine has not come up none is rented for a while, if others do as well
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

from apothic_backends.commands import RegisterFunction, SubmitJob
from apothic_backends.commands.machines import AllowMachines, ReleaseMachines
from apothic_backends.model.functions import FunctionSpec, RetryPolicy
from apothic_backends.model.machines import DESTROYING, RETIRING, UP, CloudSnapshot
from apothic_backends.model.payloads import Payload
from apothic_backends.providers.base import RUNNING
from apothic_emulator.core import effects as e
from apothic_emulator.core.check import check
from apothic_emulator.core.facts import Asked, Input, Tick
from apothic_emulator.core.journal import Journal
from apothic_emulator.core.plane import Plane
from apothic_emulator.core.renting import Rent, Terms
from tests.simulation import seeds
from tests.simulation.chance import draw, pick
from tests.simulation.clients import ignore
from tests.simulation.history import sure
from tests.simulation.lying_cloud import FAULTS, NAME, Box, Cloud
from tests.simulation.rented_agents import Agent

CHAOS_S, END_S = 1800.0, 7200.0
LEASE_S, GRACE_S = 120.0, 120.0
LONGEST_S = 900.0
CRASHES = ("crash_before", "crash", "crash_after", "crash_between")
ASKED = ("cut", "release", "drain")
TERMS = Terms((NAME,), 1.2, boot_s=300.0, idle_s=120.0, lifetime_s=3000.0)


class World:
    """One run."""

    offset = 1000.0

    def __init__(self, seed: int) -> None:
        self.seed, self.now, self.terms = seed, 100.0, TERMS
        self.heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self.events = self.epoch = self.steps = 0
        self.records: dict[str, bytes] = {}
        self.reached: Counter[str] = Counter()
        self.armed: Counter[str] = Counter()
        self.calm = draw(seed, 90, 0) % 8 == 0
        self.cloud = Cloud(self)
        self.agents: dict[int, Agent] = {}
        self.of_box: dict[str, Agent] = {}
        self.inbox: deque[Input] = deque()
        self.is_pumping = False
        self.acknowledged: set[int] = set()
        self.specs = [
            FunctionSpec("sim", "cpu", cpu=4, max_containers=4, retries=RetryPolicy(5, 0.0)),
            FunctionSpec("sim", "gpu", gpu=("RTX 4090",), gpu_count=1, max_containers=3),
            FunctionSpec("sim", "two", gpu_count=2, retries=RetryPolicy(5, 0.0)),
        ]

    def at(self, when: float, what: Callable[..., None], *args: Any) -> None:
        self.events += 1
        heappush(self.heap, (when, self.events, what, args))

    def later(self, delay_s: float, what: Callable[..., None], *args: Any) -> None:
        """Unless the control plane has ended by then."""
        self.at(self.now + delay_s, self.if_still, self.epoch, what, *args)

    def if_still(self, epoch: int, what: Callable[..., None], *args: Any) -> None:
        if epoch == self.epoch:
            what(*args)

    # --- the run --------------------------------------------------------------------------------

    def run(self) -> None:
        self.open()
        for spec in self.specs:
            self.ask(RegisterFunction(spec, Payload(b"")), ignore, ignore)
        for i in range(24):
            self.at(100.0 + draw(self.seed, 93, i) % CHAOS_S, self.submit, i)
        mine = [
            kind for kind in (*FAULTS, *CRASHES, *ASKED) if draw(self.seed, 94, hash_of(kind)) % 3
        ]
        for i in range(0 if self.calm or not mine else 50):
            kind = pick(self.seed, 95, i, mine)
            self.at(100.0 + draw(self.seed, 96, i) % CHAOS_S, self.fault, kind)
        self.at(100.0 + CHAOS_S, self.heal)
        self.at(150.0, self.watch)
        while self.heap and self.now < END_S:
            self.now, _, what, args = heappop(self.heap)
            what(*args)
        self.judge()

    def open(self) -> None:
        self.epoch += 1
        self.inbox.clear()
        self.plane = Plane(
            f"p{self.epoch}",
            self.offset,
            journal=Journal(),
            has_home=False,
            lease_s=LEASE_S,
            grace_s=GRACE_S,
            terms=self.terms,
        )
        self.plane.load(list(self.records.items()), self.now)
        self.inbox.append(Tick())

    def restart(self) -> None:
        """The control plane is killed, and the next one knows what was committed."""
        self.reached["restarted"] += 1
        for agent in self.agents.values():
            agent.welcome = None
            self.at(self.now + 1.0 + draw(self.seed, 97, self.events) % 20, agent.dial)
        self.agents.clear()
        self.cloud.told_blocked_at = -1e9
        self.open()

    def ask(
        self, command: Any, told: Callable[[Any], None], refused: Callable[[Any], None]
    ) -> None:
        self.post(Asked(command, (self.epoch, told, refused)))

    def tell(self, fact: Any) -> None:
        self.ask(fact, ignore, _fail)

    def post(self, item: Input) -> None:
        self.inbox.append(item)
        if not self.is_pumping:
            self.is_pumping = True
            while self.inbox:
                self.step(self.inbox.popleft())
            self.is_pumping = False

    def falls(self, kind: str) -> bool:
        if not self.armed[kind]:
            return False
        self.armed[kind] -= 1
        self.reached[kind] += 1
        return True

    def step(self, item: Input) -> None:
        outcome = self.plane.step([item], self.now)
        if self.falls("crash_before"):
            self.restart()  # nothing was written down
            return
        for key, record in outcome.changes:
            if record is None:
                self.records.pop(key, None)
            else:
                self.records[key] = record
        self.steps += 1
        if self.steps % 8 == 0:
            check(self.plane)
        is_rent = any(isinstance(it, Rent) for it in outcome.effects)
        if self.falls("crash") or (is_rent and self.falls("crash_between")):
            self.restart()  # nobody has heard of it
            return
        self.reply(outcome.replies)  # an agent has its name before it has work
        for effect in outcome.effects:
            self.carry_out(effect)
        if self.falls("crash_after"):
            self.restart()
            return
        if self.plane.alarm < float("inf"):
            self.at(max(self.plane.alarm, self.now), self.tick, self.epoch)

    def reply(self, replies: Any) -> None:
        for token, value, error in replies:
            epoch, told, refused = token
            if epoch == self.epoch:
                told(value) if error is None else refused(error)

    def tick(self, epoch: int) -> None:
        if epoch == self.epoch and self.plane.alarm <= self.now:
            self.post(Tick())

    def carry_out(self, effect: Any) -> None:
        if isinstance(effect, e.Errand):
            if isinstance(effect, Rent):
                sure(f"machines/{effect.machine}" in self.records, "C4", "%s, unwritten", effect)
            self.cloud.carry_out(effect)
        elif isinstance(effect, e.Detach):
            agent = self.agents.pop(effect.agent, None)
            if agent is not None:
                agent.welcome = None
                self.at(self.now + 5.0, agent.dial)
        elif effect.executor:
            executor = self.plane.ledger.executors.get(effect.executor)
            number = executor.agent if executor is not None else 0
            agent = self.agents.get(getattr(effect, "agent", 0) or number)
            if agent is not None and agent.welcome is not None:
                if isinstance(effect, e.StartExecutor):
                    sure(self.wants(agent.box), "C7", "%s gets work", agent.box.tag)
                agent.carry_out(effect)

    # --- what happens ---------------------------------------------------------------------------

    def submit(self, i: int) -> None:
        function = f"functions:{draw(self.seed, 98, i) % len(self.specs) + 1}"
        told = lambda job_id: self.acknowledged.add(int(job_id[5:]))  # noqa: E731
        self.ask(SubmitJob(function, Payload(b"")), told, ignore)

    def fault(self, kind: str) -> None:
        if kind == "cut":
            agents = [it for it in self.agents.values() if it.welcome is not None]
            for agent in agents[:1]:
                self.reached["cut"] += 1
                agent.cut()
                self.at(self.now + 30.0 + draw(self.seed, 99, self.events) % 300, agent.dial)
        elif kind in ("release", "drain"):
            self.reached[kind] += 1
            self.ask(ReleaseMachines(drain=kind == "drain", timeout_s=400.0), self.released, ignore)
            self.at(self.now + 200.0, self.allow)
        elif kind in CRASHES:
            self.armed[kind] += 1
        else:
            self.cloud.befall(kind)

    def released(self, seen: CloudSnapshot) -> None:
        """Whoever is told that nothing is left can believe that."""
        self.reached["all released"] += not seen.machines
        alive = [it.tag for it in self.cloud.alive if not it.is_excess]
        sure(seen.machines or not alive, "C9", "nothing is left, and %s are", alive)

    def allow(self) -> None:
        self.ask(AllowMachines(), ignore, ignore)

    def heal(self) -> None:
        for i in range(5):
            self.at(self.now + 10.0 * i, self.allow)
        self.armed.clear()
        self.cloud.heal()

    def boots(self, box: Box) -> None:
        if box.gone_at > self.now and box.state == RUNNING:
            agent = self.of_box[box.provider_id] = Agent(self, box)
            agent.dial()

    def stops(self, box: Box) -> None:
        agent = self.of_box.pop(box.provider_id, None)
        if agent is not None:
            agent.die()

    # --- what the control plane makes of them ---------------------------------------------------

    def why(self, errand: Any) -> str:
        """Why a machine is to go."""
        part: Any = self.plane.shared.part("machines")
        machine = part.books.machines.get(errand.machine)
        return "" if machine is None else str(machine.note)

    def function_of(self, errand: Rent) -> int:
        """For which function it is asked for."""
        part: Any = self.plane.shared.part("machines")
        machine = part.books.machines.get(errand.machine)
        return 0 if machine is None else int(machine.function)

    # --- what must be true ----------------------------------------------------------------------

    def wants(self, box: Box) -> bool:
        """Whether a machine with that tag is to be there, and work."""
        part: Any = self.plane.shared.part("machines")
        machine = part.books.by_tag.get(box.tag)
        return machine is not None and machine.status in (UP, RETIRING) and box.state == RUNNING

    def owns(self, box: Box) -> bool:
        """Whether the control plane knows what this machine is for."""
        part: Any = self.plane.shared.part("machines")
        machine = part.books.by_tag.get(box.tag)
        return self.wants(box) and machine.provider_id in ("", box.provider_id)

    def watch(self) -> None:
        self.cloud.look(self.terms.max_usd_per_hour)
        self.cloud.look_for_owners(self.terms.boot_s + LONGEST_S)
        for box in self.cloud.alive:
            is_dear = box.usd_per_hour > box.most + 1e-6
            old_s = self.now - box.created_at
            sure(not is_dear or old_s < LONGEST_S, "C8", "%s is too dear for %g s", box.tag, old_s)
        self.at(self.now + 10.0, self.watch)

    def judge(self) -> None:
        part: Any = self.plane.shared.part("machines")
        check(self.plane)
        for number in self.acknowledged:
            job = self.plane.ledger.jobs[number]
            sure(job.is_final, "C5", "jobs:%d is %s", number, job.status)
            sure(not self.calm or job.status.value == "succeeded", "C5", "jobs:%d: %s", number, job)
            self.reached[job.status.value] += 1
        alive = {box.provider_id for box in self.cloud.alive}
        wanted = {it.provider_id for it in part.books.machines.values() if it.status != DESTROYING}
        sure(alive == wanted, "C3", "%s are alive, and %s are wanted", alive, wanted)
        sure(not alive, "C3", "%s are kept, and nothing runs", alive)
        sure(part.books.rate == 0, "C3", "$%g/h are counted", part.books.rate)


def hash_of(text: str) -> int:
    """A number for a name, the same in every process."""
    return sum(ord(letter) * 31**i for i, letter in enumerate(text)) % 65_521


def _fail(error: Exception) -> None:
    raise error


def failure_of(seed: int) -> str:
    """What is wrong in the run of a seed; nothing if nothing is."""
    return seeds.trouble(lambda it: World(it).run(), seed)


if __name__ == "__main__":
    seeds.main(failure_of)
