"""Services under faults: people deploy, stop, start and delete them while others knock.

    python -m tests.simulation.serving --seeds 1000

The control plane is killed between two steps, before a commit, or between a commit and its replies;
or a commit fails, and the core begins anew while its doors stay. `doorways.py` has the machine,
`attendance.py` says what must be true.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from apothic_backends.commands.deployments import (
    DeleteDeployment,
    Deploy,
    RollbackDeployment,
    StopDeployment,
)
from apothic_backends.commands.services import GetService, ListServices, StartService, StopService
from apothic_backends.model.deployments import DeployedFunction
from apothic_backends.model.errors import NotFound
from apothic_backends.model.functions import FunctionSpec
from apothic_backends.model.payloads import Payload
from apothic_backends.model.services import ServiceSpec
from apothic_emulator.core import effects as e, facts as f
from apothic_emulator.core.effects import Outcome
from apothic_emulator.core.facts import Asked, GivenUp
from apothic_emulator.core.jobs import NEVER
from apothic_emulator.core.plane import Plane
from tests.simulation import driving
from tests.simulation.attendance import Attendance
from tests.simulation.doorways import LATE_S, Doorway, Knock, Machine, Process
from tests.simulation.driving import Client, Driven, Replies, Reply, Script
from tests.simulation.history import sure

CLIENTS = 4
APPS, NAMES = ("a", "b"), ("web", "api")
SHAPES = ("asgi", "asgi", "web_server")
QUIET_S = 150.0
"""Longer than any rest, and than the longest start."""
WAITS_S = (0.3, 1.0, 20.0, 60.0)


class ServeWorld(Driven):
    """One run."""

    expected = (NotFound,)

    def __init__(self, seed: int) -> None:
        self.attendance = Attendance()
        self.machine = Machine(self)
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
        self.clients = [Client(self, i) for i in range(CLIENTS)]

    @property
    def is_calm(self) -> bool:
        """Whether nothing goes wrong any more."""
        return self.now >= self.chaos_s

    def run(self) -> None:
        """From the first event to the last look."""
        for client in self.clients:
            self.at(self.chance.random(), client.go_on)
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
            outcome = decide(inputs, now)
            self._stepped(inputs, outcome)
            return outcome

        plane.step = step  # type: ignore[method-assign]
        return plane

    def _stepped(self, inputs: Sequence[Any], outcome: Outcome) -> None:
        """Compare what was decided with what had to be."""
        attendance = self.attendance
        replies: dict[object, tuple[Any, BaseException | None]] = {
            token: (value, error) for token, value, error in outcome.replies
        }
        for item in inputs:
            attendance.hears(item)
            if isinstance(item, Asked):
                wait = getattr(item.command, "wait", False)
                value, error = replies.get(item.token, (None, None))
                if error is None and (wait or item.token in replies):
                    attendance.wish.changed(item.command, value)
                    self.reached[type(item.command).__name__] += 1
        for effect in outcome.effects:
            attendance.decides(effect, self.now)
        attendance.stepped()
        for token, (value, error) in replies.items():
            command, asked_at = self._asked.pop(token, (None, 0.0))
            if error is None and isinstance(command, GetService | StartService | StopService):
                timeout_s = getattr(command, "timeout_s", 10.0)
                is_late = self.now >= asked_at + timeout_s
                self.reached["late"] += is_late
                attendance.answers(command, value, is_late=is_late)
        for command, _ in self._asked.values():
            sure(not attendance.is_due(command), "V6", "%s is still owed", command)

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

    # --- what people do -------------------------------------------------------------------------

    def draw_script(self, client: Client) -> Script:
        """What a client does next."""
        if client.number == 0:
            people = (self._deploy, self._deploy, self._roll_back, self._end, self._begin_anew)
            return self.chance.choice(people)()
        if client.number == 1:
            return self.chance.choice((self._stop, self._start, self._start, self._vanish))()
        return self.chance.choice((self._knock, self._knock, self._crowd, self._get))()

    def _service(self) -> str:
        return f"{self.chance.choice(APPS)}/{self.chance.choice(NAMES)}"

    def _deploy(self, app: str = "") -> Script:
        chance, app = self.chance, app or self.chance.choice(APPS)
        functions = [self._function(app, name) for name in NAMES[: chance.choice((1, 2, 2))]]
        yield Deploy(app, tuple(functions))
        yield chance.choice((0.0, 1.0, 8.0))

    def _function(self, app: str, name: str) -> DeployedFunction:
        chance = self.chance
        service = ServiceSpec(
            chance.choice(SHAPES),
            keep_warm_s=chance.choice((0.0, 1.0, 30.0)),
            start_timeout_s=3.0,
            grace_s=2.0,
        )
        spec = FunctionSpec(
            app,
            name,
            max_containers=chance.choice((1, 1, 3)),
            gpu_count=chance.choice((0, 0, 0, 1, 2)) if self.gpus else 0,
            service=None if chance.random() < 0.1 else service,
        )
        return DeployedFunction(spec, Payload(chance.choice((b"one", b"two", b"three"))))

    def _roll_back(self) -> Script:
        known = [(app, n) for app, its in self.attendance.wish.versions.items() for n in its]
        if known:
            yield RollbackDeployment(*self.chance.choice(known))
        yield 1.0

    def _end(self) -> Script:
        yield self.chance.choice((1.0, 5.0))
        kind = self.chance.choice((StopDeployment, DeleteDeployment))
        yield kind(self.chance.choice(APPS))
        yield self.chance.choice((0.0, 2.0))

    def _begin_anew(self) -> Script:
        """Take an app down and up again, while processes of it go on."""
        service = self._service()
        yield StopService(service)
        yield DeleteDeployment(service.split("/")[0])
        yield from self._deploy(service.split("/")[0])

    def _stop(self) -> Script:
        chance = self.chance
        yield chance.choice((1.0, 5.0))
        service = self._service()
        yield StopService(service, wait=chance.random() < 0.5, timeout_s=chance.choice(WAITS_S))
        yield chance.choice((0.0, 0.1, 2.0))
        yield StartService(service, wait=chance.random() < 0.5, timeout_s=chance.choice(WAITS_S))

    def _start(self) -> Script:
        chance = self.chance
        yield chance.choice((0.1, 1.0))
        wait = chance.random() < 0.7
        yield StartService(self._service(), wait=wait, timeout_s=chance.choice(WAITS_S))

    def _vanish(self) -> Script:
        """Wait for what somebody else does, and be gone before."""
        client = self.clients[1]
        self.at(self.now + 0.5, self._is_gone, client)
        yield StartService(self._service(), wait=True, timeout_s=60.0)
        yield 1.0

    @staticmethod
    def _is_gone(client: Client) -> None:
        if not client.is_gone:
            client.vanish()

    def _get(self) -> Script:
        yield GetService(self._service())
        yield self.chance.choice((0.0, 3.0))

    def _knock(self) -> Script:
        service = self._service()
        if service in self.doors:
            self.doors[service].arrive(self.knock(service))
        yield self.chance.choice((0.0, 0.05, 1.0, 6.0))

    def _crowd(self) -> Script:
        """So many that one process is crowded."""
        service = self._service()
        for _ in range(8):
            if service in self.doors:
                self.doors[service].arrive(self.knock(service))
            yield self.chance.choice((0.0, 0.01))

    # --- what has to be true --------------------------------------------------------------------

    def _look(self) -> None:
        """Compare what there is with what there has to be."""
        rules: Any = self.plane.shared.parts.get("services")
        if rules is None:
            return
        self.attendance.compare(rules._list(ListServices(), None, self.now))
        if self._on_the_way or self.disk.held or self.disk.committed:
            return
        for door in self.doors.values():
            sure(door.service in rules.services, "V5", "%s still listens", door.service)
            self._look_at(door, rules.services[door.service])

    def _look_at(self, door: Doorway, it: Any) -> None:
        """Whoever stands there is seen to: a process may come, or there is a time to look again."""
        sure(it.is_wanted and it.pool, "V5", "%s still listens", door.service)
        is_empty = not any(one.service == door.service for one in self.processes.values())
        if door.waiting and is_empty and not it.live and not it.before:
            is_due = it.is_called and it.rest_until < NEVER
            sure(is_due, "V8", "%d are lost at %s", len(door.waiting), door.service)

    def _judge(self) -> None:
        left = [knock for knock in self.knocks if not knock.led_to]
        sure(not left, "V8", "%d wait for ever, at %s", len(left), left and left[0].service)
        sure(not self._owed, "V6", "%d are owed a reply", len(self._owed))
        for service, wanted in self.attendance.wish.services.items():
            is_open = service in self.doors
            sure(is_open is wanted.serves, "V5", "%s: its door is open: %s", service, is_open)
        for it in self.processes.values():
            sure(it.service in self.doors, "V5", "%d goes on", it.number)


def failure_of(seed: int) -> str:
    """What a seed finds; empty if nothing."""
    return driving.failure_of(ServeWorld, seed)


if __name__ == "__main__":
    driving.main(ServeWorld, "python -m tests.simulation.serving")
