"""Simulated executors: they follow the protocol, except where their script or a fault says not."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from apothic_backends.commands import SubmitJob, WaitJob
from apothic_backends.model.functions import FunctionSpec
from apothic_backends.model.jobs import ErrorInfo
from apothic_backends.model.payloads import Payload
from apothic_emulator.core.effects import Credit, Dispatch, Interrupt, StartExecutor
from apothic_emulator.core.facts import (
    Ended,
    Excess,
    Fact,
    Loaded,
    LoadFailed,
    Origin,
    Prepared,
    Printed,
    Recalled,
    Reported,
    StackDumped,
)
from tests.simulation.chance import LINK, SCRIPT, START, draw, pick
from tests.simulation.history import sure
from tests.simulation.holding import stop_at
from tests.simulation.plan import DEPTH
from tests.simulation.streaming import Producer, Reader
from tests.simulation.surroundings import Surroundings

BUILDS_S = (0.0, 0.5, 6.0)
"""How long it takes to make what an image says; the last is longer than a function may load."""

Packet = tuple[tuple[int, int], ...]
"""The jobs of one call, each with its attempt."""


class Process:
    """One executor."""

    def __init__(self, world: Surroundings, effect: StartExecutor) -> None:
        self.world = world
        self.number = effect.executor
        self.function = effect.function
        self.spec: FunctionSpec = effect.spec
        self.socket: deque[Packet] = deque()
        """Packets that it has not received."""
        self.running: dict[int, tuple[int, str]] = {}
        self.producers: dict[int, Producer] = {}
        self.line = 0
        """Packets sent and neither answered nor taken back, as the core counts them."""
        self.alive = True
        self.told_to_end = False
        self.loaded = False
        self.is_building = False
        """Whether what its image says is being made, and will be there in time."""
        self.retired = False
        self.frozen = False
        self._later: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        self._link_free = 0.0
        self._said = 0
        self._seed = world.plan.seed
        self._begin()

    # --- life -----------------------------------------------------------------------------------

    def _begin(self) -> None:
        world = self.world
        if world.falls("start_failure"):
            self.die("start", detail="no process")
            return
        start_s = 2.0 if world.falls("slow_start") else 0.002
        if world.falls("kill_before_load"):
            self._at(start_s / 2, self.die, "signal", 9)
        start_s += pick(self._seed, START, self.number, (0.01, 0.2))
        if self.spec.image is None:
            self._at(start_s, self._load)
        elif world.falls("load_failure"):
            self.say(LoadFailed(self.number, ErrorInfo("image_build_failed", "no such package")))
            self._at(0.01, self.die, "exit", 0, 1)
        elif not world.falls("load_hang"):
            self.is_building = True
            self._at(start_s + pick(self._seed, START, self.number, BUILDS_S), self._prepared)

    def _prepared(self) -> None:
        self.is_building = False
        self.say(Prepared(self.number))
        self._at(0.01, self._load)

    def _load(self) -> None:
        world = self.world
        if world.falls("load_hang"):
            return
        if world.falls("kill_loading"):
            self.die("signal", 9)
        elif world.falls("load_failure"):
            self.say(LoadFailed(self.number, ErrorInfo("setup_failed", "no such module")))
            self._at(0.01, self.die, "exit", 0, 1)
        else:
            self.loaded = True
            self.say(Loaded(self.number))
            self.receive()

    def exceed(self) -> None:
        """It is killed because it uses too much memory, and there is proof."""
        self.die("oom", 9, excess=Excess(self.spec.memory_mb, self.spec.memory_mb + 1, "watchdog"))

    def die(
        self,
        reason: str,
        signal: int = 0,
        code: int = 0,
        detail: str = "",
        excess: Excess | None = None,
    ) -> None:
        """It is gone, with all that it had not written."""
        if not self.alive:
            return
        self.alive = False
        self.world.history.died_under.update(self.running)
        if excess is not None:
            self.world.history.exceeded.add(self.number)
        end = Ended(self.number, reason, (), signal or None, code, detail, excess)
        self.world.at(max(self._link_free, self.world.now + 0.001), self._bury, end)

    def _bury(self, end: Ended) -> None:
        end.unstarted = tuple(job for packet in self.socket for job, _ in packet)
        self.world.fleet.gone(end)

    def freeze(self) -> None:
        self.frozen = True
        self.is_building = False  # or not in time

    def thaw(self) -> None:
        self.frozen = False
        later, self._later = self._later, []
        for what, args in later:
            self._do(what, *args)

    def _at(self, delay_s: float, what: Callable[..., None], *args: Any) -> None:
        self.world.at(self.world.now + delay_s, self._do, what, *args)

    def _do(self, what: Callable[..., None], *args: Any) -> None:
        if self.alive:
            if self.frozen and what != self.die:
                self._later.append((what, args))
            else:
                what(*args)

    def say(self, fact: Fact) -> None:
        """Write a fact to the channel; facts arrive in order."""
        world = self.world
        self._said += 1
        delay_s = pick(self._seed, LINK, self.number * 1000 + self._said, (0.0, 0.0, 0.0002, 0.001))
        if world.falls("delayed_facts"):
            delay_s = 0.5
        self._link_free = max(self._link_free, world.now + delay_s)
        world.at(self._link_free, world.send, fact)

    # --- what the core asks ---------------------------------------------------------------------

    def dispatch(self, *effects: Dispatch) -> None:
        self.socket.append(tuple((effect.job, effect.attempt) for effect in effects))
        self._at(0.0001, self.receive)

    def recall(self) -> None:
        """The host takes packets back; those with large arguments go in again."""
        if self.world.falls("recall_race"):
            self.world.at(self.world.now + 0.01, self._take_back)
        else:
            self._take_back()

    def _take_back(self) -> None:
        kept = [packet for packet in self.socket if self._is_large(packet[0][0])]
        back = [packet for packet in self.socket if not self._is_large(packet[0][0])]
        self.socket = deque(kept)
        self.world.send(Recalled(self.number, tuple(job for one in back for job, _ in one)))

    def _is_large(self, job: int) -> bool:
        return "large" in self.world.plan.features and job % 8 == 0

    def interrupt(self, effect: Interrupt) -> None:
        attempt, kind = self.running.get(effect.job, (0, ""))
        if attempt and kind not in ("ignore", "hang"):
            self._at(0.05, self._interrupted, effect.job, attempt)

    def dump_stack(self) -> None:
        sure(not self.is_building, "B1", "executor %d is stopped while it is built", self.number)
        self._at(0.01, lambda: self.world.send(StackDumped(self.number, "the stack")))

    def terminate(self) -> None:
        self.told_to_end = True
        for job, (attempt, kind) in self.running.items():
            if kind != "ignore":
                self._at(0.02, self._interrupted, job, attempt)

    def kill(self) -> None:
        self.told_to_end = True
        self.world.at(self.world.now + 0.002, self.die, "signal", 9)

    def retire(self) -> None:
        self.told_to_end = True
        self.retired = True
        hangs = self.number % 5 == 0
        if not hangs:
            self._at(0.05, self.die, "exit")

    def _interrupted(self, job: int, attempt: int) -> None:
        error = ErrorInfo("user_error", "stopped", type_name="KeyboardInterrupt")
        self._report(job, attempt, None, error)

    # --- user code ------------------------------------------------------------------------------

    def receive(self) -> None:
        """Read packets while there are free slots."""
        slots = self.spec.concurrent_requests
        while self.alive and self.loaded and not self.retired and self.busy < slots:
            if not self.socket or not self._take(self.socket.popleft()):
                return

    @property
    def busy(self) -> int:
        """How many slots are taken."""
        return len(self.running)

    def _take(self, packet: Packet) -> bool:
        """Begin a call; whether the process lives."""
        ((job, attempt),) = packet
        if job in self.running:
            return True
        kind = self._script(job, attempt)
        self.running[job] = attempt, kind
        self.world.history.ran(job)
        if self.world.falls("kill_after_receive"):
            self.die("signal", 9)
            return False
        self._run(job, attempt, kind)
        return True

    def _script(self, job: int, attempt: int) -> str:
        chance = draw(self._seed, SCRIPT, job * 64 + attempt)
        if job % 16 == 7 and "cursed" in self.world.plan.features:
            return "segfault"
        if job % 16 == 9 and "stubborn" in self.world.plan.features:
            return "raise"
        if chance % 4:
            return "ok"
        kinds = ("raise", "exit", "segfault", "hang", "ignore", "leave", "slow", "exact", "oom")
        more = (*kinds, "raise", *["nested"] * 3, "unserialisable", "breakpoint", "breakpoint")
        kind = more[(chance >> 8) % len(more)]
        return kind if kind in self.world.plan.features else "ok"

    def _run(self, job: int, attempt: int, kind: str) -> None:
        if self.spec.is_generator:
            self._yield(job, attempt, kind)
            return
        chance = draw(self._seed, SCRIPT, -job * 64 - attempt)
        quick = (0.0005, 0.001, 0.003, 0.004, 0.005, 0.05)
        duration_s = quick[chance % len(quick)]
        if kind == "exact":
            duration_s = self.spec.timeout_s
        elif kind == "slow":
            duration_s = self.spec.timeout_s * (0.5, 1.5)[chance % 2]
        if kind == "breakpoint":
            self._at(duration_s, self._stop_at_breakpoint, job, attempt, chance)
        elif kind == "nested" and self.world.depth.get(job, 0) < DEPTH:
            self._at(duration_s, self._call, job, attempt)
        elif kind == "exit":
            self._at(duration_s, self.die, "exit", 0, 7)
        elif kind == "segfault":
            self._at(duration_s, self.die, "signal", 11)
        elif kind == "oom":
            self._at(duration_s, self.exceed)
        elif kind not in ("hang", "ignore"):
            self._at(duration_s, self._finish, job, attempt, kind)

    def _stop_at_breakpoint(self, job: int, attempt: int, chance: int) -> None:
        """A person looks around; then the call ends, or goes on until it is stopped."""

        def go_on() -> None:
            if chance % 3:
                self._finish(job, attempt, "ok")

        stop_at(self.world, self, self.world.history.standing, self._seed, job, go_on)

    def _yield(self, job: int, attempt: int, kind: str) -> None:
        """A generator: its items, and then the end that its script has."""

        def end() -> None:
            if kind == "segfault":
                self.die("signal", 11)
            elif kind not in ("hang", "ignore"):
                self._at(0.001, self._finish, job, attempt, kind)

        def tell_most(most: int) -> None:
            self.world.history.yielded[job, attempt] = most

        made = self.producers[job] = Producer(self, self._seed, job, attempt, end, tell_most)
        self._at(0.0005, made.go_on)

    def credit(self, effect: Credit) -> None:
        producer = self.producers.get(effect.job)
        if producer is not None and producer.attempt == effect.attempt:
            self._at(0.0001, producer.credit, effect.taken)

    def at(self, delay_s: float, what: Callable[..., None], *args: Any) -> None:
        self._at(delay_s, what, *args)

    def falls(self, kind: str) -> bool:
        return self.world.falls(kind)

    def _finish(self, job: int, attempt: int, kind: str) -> None:
        if self.running.get(job, (0, ""))[0] != attempt:
            return
        self._print(job, attempt)
        if kind == "raise":
            is_final = "final" in self.world.plan.features and job % 3 == 0
            self._report(job, attempt, None, ErrorInfo("user_error", "raised", is_final=is_final))
        elif kind == "unserialisable":
            self._report(job, attempt, None, ErrorInfo("result_not_serializable", "a lock"))
        else:
            result = Payload(b"%d %d %d" % (job, attempt, self.number))
            self._report(job, attempt, result, None, retire=kind == "leave")

    def _print(self, job: int, attempt: int) -> None:
        """Print something, cut anywhere."""
        if "prints" not in self.world.plan.features:
            return
        chance = draw(self._seed, SCRIPT, job * 64 + attempt + (1 << 41))
        for i in range(chance % 4):
            text = ("almost", " done\n", "a line\n", "10 %\r20 %\r")[(chance >> 8 * i) % 4]
            self.say(Printed(self.number, job, ("stdout", "stderr")[chance >> i & 1], text))

    def _call(self, job: int, attempt: int) -> None:
        """Call another function and wait for it."""
        world = self.world
        chance = draw(self._seed, SCRIPT, job * 64 + attempt + (1 << 40))
        function = chance % len(world.plan.specs) + 1
        asks = Origin(self.number, job)
        if world.falls("forged_origin"):
            asks = Origin(self.number, max(1, job - 1))

        def ended(value: object, error: BaseException | None) -> None:
            self._at(0.001, self._finish, job, attempt, "ok" if error is None else "raise")

        if chance & 4096:
            Reader(world, chance >> 16, asks, -1, ended).open(len(world.plan.specs) + 1)
            return

        def submitted(value: object, error: BaseException | None) -> None:
            if not self.alive or error is not None:
                ended(value, error)
                return
            child = str(value)
            world.depth[int(child[5:])] = world.depth.get(job, 0) + 1
            world.owned.setdefault(self.number, set()).add(int(child[5:]))
            world.ask(WaitJob(child, last=True, owned=True), ended, asks)

        waits = "room" in world.plan.features
        owned = chance & 8192 > 0
        call = SubmitJob(f"functions:{function}", Payload(b"nested"), waits, owned=owned)
        world.ask(call, submitted, asks)

    # --- reports --------------------------------------------------------------------------------

    def _report(
        self,
        job: int,
        attempt: int,
        result: Payload | None,
        error: ErrorInfo | None,
        *,
        retire: bool = False,
    ) -> None:
        if self.running.get(job, (0, ""))[0] != attempt:
            return
        world = self.world
        if world.falls("kill_before_report"):
            self.die("signal", 9)
            return
        if world.falls("garbage"):
            self.die("protocol", detail="a frame of kind 77")
            return
        self._forge(job, attempt)
        del self.running[job]
        if world.falls("lost_report"):
            world.history.died_under.add(job)
            self.die("signal", 9)
            return
        if error is not None and error.code == "user_error":
            world.history.guilty.add(job)
        report = Reported(self.number, job, attempt, result, error, retire)
        if world.falls("cancel_race"):
            world.cancel_at(max(self._link_free, world.now), job)
        self.say(report)
        if world.falls("duplicate_report"):
            self.say(report)
        if world.falls("kill_after_report"):
            self.die("signal", 9)
        self.retired = self.retired or retire
        self.receive()

    def _forge(self, job: int, attempt: int) -> None:
        """Say what an executor cannot say."""
        world, forged = self.world, Payload(b"forged %d" % self.number)
        if world.falls("forged_job"):
            self.say(Reported(self.number, job + 1, attempt, forged))
        if world.falls("forged_attempt"):
            self.say(Reported(self.number, job, attempt + 1, forged))
        if world.falls("forged_loaded"):
            self.say(Loaded(self.number))
            self.say(LoadFailed(self.number, ErrorInfo("setup_failed", "forged")))
        others = [p for p in world.fleet.processes.values() if p is not self and p.running]
        if others and world.falls("forged_executor"):
            other_job, (other_attempt, _) = next(iter(others[0].running.items()))
            self.say(Reported(self.number, other_job, other_attempt, forged))
