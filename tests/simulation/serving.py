"""Services under faults: people deploy, stop, start and delete them while others knock.

    python -m tests.simulation.serving --seeds 1000

The control plane is killed between two steps, before a commit, or between a commit and its replies;
or a commit fails, and the core begins anew while its doors stay. `doorways.py` has the machine,
`attendance.py` says what must be true.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from apothic_backends.commands.services import GetService, ListServices, StartService, StopService
from apothic_backends.model.costs import NANO
from apothic_backends.model.errors import NotFound
from apothic_backends.model.services import ServiceSnapshot
from apothic_emulator.core import effects as e, facts as f, meters
from apothic_emulator.core.bills import TopUp
from apothic_emulator.core.effects import Outcome
from apothic_emulator.core.facts import Asked, GivenUp
from apothic_emulator.core.jobs import NEVER
from apothic_emulator.core.plane import Plane
from tests.simulation import driving
from tests.simulation.attendance import Attendance
from tests.simulation.charges import a_dollar
from tests.simulation.doorways import LATE_S, Doorway, Knock, Machine, Process
from tests.simulation.driving import Client, Driven, Replies, Reply, Script
from tests.simulation.history import sure
from tests.simulation.upkeep import CHARGE_S, Upkeep
from tests.simulation.visitors import Visitors

CLIENTS = 4
QUIET_S = 150.0
"""Longer than any rest, and than the longest start."""


class ServeWorld(Driven):
    """One run."""

    expected = (NotFound,)
    price_of = staticmethod(a_dollar)

    def __init__(self, seed: int) -> None:
        self.attendance = Attendance()
        self.upkeep = Upkeep()
        self.machine = Machine(self)
        self.visitors = Visitors(self)
        self.doors: dict[str, Doorway] = {}
        self.processes: dict[int, Process] = {}
        self.knocks: list[Knock] = []
        self.ports = 4000
        self.gpus = 0
        self._asked: dict[object, tuple[Any, float]] = {}
        """What the core has not answered, and since when."""
        self._owed: dict[int, Reply] = {}
        self._on_the_way = 0
        self._lives = 0
        super().__init__(seed)
        self.gpus = self.chance.choice((0, 1, 2))
        self._is_prepaid = self.chance.random() < 0.3
        self.clients = [Client(self, i) for i in range(CLIENTS)]

    @property
    def is_calm(self) -> bool:
        """Whether nothing goes wrong any more."""
        return self.now >= self.chaos_s

    def run(self) -> None:
        """From the first event to the last look."""
        before, meters.CHARGE_S = meters.CHARGE_S, CHARGE_S
        try:
            self._run()
        finally:
            meters.CHARGE_S = before

    def _run(self) -> None:
        for client in self.clients:
            self.at(self.chance.random(), client.go_on)
        if self._is_prepaid:
            for i in range(6):
                self.at(self.chaos_s * i / 5, self._pay, 1_000_000 if i == 5 else 6, f"t{i}")
        for _ in range(self.chance.choice((0, 2, 6))):
            kind = self.chance.choice(driving.CRASHES)
            self.at(self.chance.uniform(0, self.chaos_s), self.crash, kind)
        while self.following < self.chaos_s + QUIET_S:
            self.happen()
            if not self.steps % 16:
                self._look()
        self.settle()
        self._look()
        self._judge()

    # --- the control plane ----------------------------------------------------------------------

    def _begin(self) -> Plane:
        plane = super()._begin()
        decide = plane.step

        def step(inputs: Sequence[Any], now: float) -> Outcome:
            was_exhausted = plane.costs.is_exhausted
            self.reached["broke"] += was_exhausted
            outcome = decide(inputs, now)
            self._stepped(inputs, outcome)
            for effect in outcome.effects:
                self.upkeep.decides(effect, plane.costs, was_exhausted)
            return outcome

        plane.step = step  # type: ignore[method-assign]
        return plane

    def _stepped(self, inputs: Sequence[Any], outcome: Outcome) -> None:
        """Compare what was decided with what had to be."""
        attendance = self.attendance
        replies: dict[object, tuple[Any, BaseException | None]] = {
            token: (value, error) for token, value, error in outcome.replies
        }
        let_go = {it.executor for it in outcome.effects if isinstance(it, e.Retire)}
        for item in inputs:
            attendance.hears(item)
            is_free = getattr(item, "executor", 0) in let_go  # nobody has wanted it any more
            is_ready = attendance.is_ready(item) and not is_free
            self.upkeep.hears(item, self.now, is_ready=is_ready)
            if isinstance(item, Asked):
                wait = getattr(item.command, "wait", False)
                value, error = replies.get(item.token, (None, None))
                if error is None and (wait or item.token in replies):
                    attendance.wish.changed(item.command, value)
                    self.reached[type(item.command).__name__] += 1
        for effect in outcome.effects:
            attendance.decides(effect, self.now)
        attendance.stepped(self.now)
        for token, (value, error) in replies.items():
            command, asked_at = self._asked.pop(token, (None, 0.0))
            if error is None and isinstance(command, GetService | StartService | StopService):
                timeout_s = getattr(command, "timeout_s", 10.0)
                is_late = self.now >= asked_at + timeout_s
                self.reached["late"] += is_late
                attendance.answers(command, value, is_late=is_late)
        failed = {it.service_id for it in self._listed() if it.stale}
        for command, _ in self._asked.values():
            sure(not attendance.is_due(command, failed), "V6", "%s is still owed", command)

    def _pay(self, usd: int, operation: str) -> None:
        """Somebody adds to the balance; again, if a crash may have it forgotten."""
        self._tokens += 1
        command: Any = TopUp(usd * NANO, operation)
        self.step([Asked(command, self._tokens)])
        if not self.is_calm:
            self.at(self.now + 1.0, self._pay, usd, operation)

    # --- between the core and the rest ----------------------------------------------------------

    def ask(self, command: Any, reply: Reply) -> int:
        """Ask for something; the token of the reply."""
        self._tokens += 1
        token = self._tokens
        self._asked[token] = command, self.now
        self._owed[token] = reply
        self.step([Asked(command, token)])
        return token

    def give_up(self, token: int) -> None:
        """Wait for a reply no more."""
        if self._owed.pop(token, None) is not None and not self.is_unsaid(token):
            self._asked.pop(token, None)
            self.step([GivenUp(token)])

    def tell(self, command: Any) -> None:
        """The machine tells something, soon or late, perhaps twice."""
        for _ in range(1 + (not self.is_calm and self.chance.random() < 0.1)):
            self._on_the_way += 1
            self.at(self.now + self.chance.choice(LATE_S), self._tell, command)

    def _tell(self, command: Any) -> None:
        self._on_the_way -= 1
        self._tokens += 1
        self.step([Asked(command, self._tokens)])

    def told(self, name: str, told: Any) -> None:
        """Watchers would hear of something."""

    def committed(self) -> None:
        """What was decided up to here stands."""
        self.attendance.committed()

    def release(self, outcome: Outcome) -> None:
        """Have done what the core wants, and tell whoever waits."""
        for effect in outcome.effects:
            if isinstance(effect, e.StartExecutor):
                self.processes[effect.executor] = Process(self, effect)
            elif effect.executor in self.processes:
                self.processes[effect.executor].carry_out(effect)
            else:
                self.machine.carry_out(effect)
        super().release(outcome)

    def say(self, replies: Replies) -> None:
        """Replies leave the control plane."""
        for token, value, error in replies:
            reply = self._owed.pop(token, None)  # type: ignore[call-overload]
            if reply is not None:
                self.at(self.now + self.chance.choice((0.0, 0.01)), reply, value, error)

    def restarted(self, unsaid: Sequence[Outcome]) -> None:
        """All processes are gone; the doors with them, unless it was a commit that failed."""
        self._lives += 1
        self.attendance.restarted()
        self.upkeep.restarted(self.now)
        self.processes.clear()
        if unsaid or self.chance.random() < 0.5:
            for door in self.doors.values():
                door.send_away("killed")
            self.doors.clear()
        else:
            self.reached["begun anew"] += 1
        owed, self._owed = self._owed, {}
        self._asked.clear()
        for reply in owed.values():
            self.at(self.now + 0.1, reply, None, ConnectionError("it was killed"))

    def after(self, delay_s: float, what: Any, *args: Any) -> None:
        """Have something happen, unless the control plane is killed before."""
        life = self._lives

        def act() -> None:
            if life == self._lives:
                what(*args)

        self.at(self.now + delay_s, act)

    # --- the machine ----------------------------------------------------------------------------

    def hear(self, process: Process, fact: Any) -> None:
        """A process says something, in its order."""
        if self.processes.get(process.number) is process and not process.is_gone:
            self.after(0.001, self.step, [fact])

    def bury(self, process: Process, fact: f.Ended) -> None:
        """A process has ended."""
        if self.processes.get(process.number) is process and not process.is_gone:
            process.is_gone = process.is_leaving = True
            self.after(0.001, self._buried, fact)

    def _buried(self, fact: f.Ended) -> None:
        del self.processes[fact.executor]
        self.step([fact])

    def has_taken(self, process: Process) -> bool:
        """Whether another process has what only one at a time can have."""
        service = process.spec.service
        assert service is not None
        return service.shape == "web_server" and any(
            it.is_ready
            and not it.is_gone
            and it.service == process.service
            and it.function != process.function
            for it in self.processes.values()
        )

    def knock(self, service: str) -> Knock:
        """Somebody wants something."""
        self.knocks.append(Knock(service, self.now))
        return self.knocks[-1]

    def serve(self, service: str) -> None:
        """Processes take those who wait."""
        door = self.doors.get(service)
        takers = [it for it in self.processes.values() if it.service == service and it.takes]
        while door is not None and takers and door.waiting:
            self.chance.choice(takers).take(door.waiting.pop(0))

    def draw_script(self, client: Client) -> Script:
        """What a client does next."""
        return self.visitors.draw(client)

    # --- what has to be true --------------------------------------------------------------------

    def _look(self) -> None:
        """Compare what there is with what there has to be."""
        self.attendance.compare(self._listed())
        if self._on_the_way or self.disk.held or self.disk.committed:
            return
        rules: Any = self.plane.shared.parts.get("services")
        for door in self.doors.values():
            sure(door.service in rules.services, "V5", "%s still listens", door.service)
            self._look_at(door, rules.services[door.service])

    def _listed(self) -> Sequence[ServiceSnapshot]:
        rules: Any = self.plane.shared.parts.get("services")
        return () if rules is None else rules._list(ListServices(), None, self.now)

    def _look_at(self, door: Doorway, it: Any) -> None:
        """Whoever stands there is seen to: a process may come, or there is a time to look again."""
        sure(it.is_wanted and it.pool, "V5", "%s still listens", door.service)
        is_empty = not any(one.service == door.service for one in self.processes.values())
        if door.waiting and is_empty and not it.live and not it.before:
            is_due = it.is_called and it.rest_until < NEVER
            sure(is_due, "V8", "%d are lost at %s", len(door.waiting), door.service)

    def _judge(self) -> None:
        self.upkeep.compare(self.plane.costs, self.now)
        left = [knock for knock in self.knocks if not knock.led_to]
        sure(not left, "V8", "%d wait for ever, at %s", len(left), left and left[0].service)
        sure(not self._owed, "V6", "%d are owed a reply", len(self._owed))
        for service, wanted in self.attendance.wish.services.items():
            is_open = service in self.doors
            sure(is_open is wanted.serves, "V5", "%s: its door is open: %s", service, is_open)
            if is_open:
                it = self.plane.shared.parts["services"].services[service]  # type: ignore[attr-defined]
                is_public = self.doors[service].is_public
                self.reached["public"] += is_public
                sure(is_public is it.spec.public, "V9", "%s: anybody gets in", service)
        for it in self.processes.values():
            sure(it.service in self.doors, "V5", "%d goes on", it.number)


def failure_of(seed: int) -> str:
    """What a seed finds; empty if nothing."""
    return driving.failure_of(ServeWorld, seed)


if __name__ == "__main__":
    driving.main(ServeWorld, "python -m tests.simulation.serving")
