"""The machine of services, simulated: doors that they listen at, and processes that take requests.

A door opens late, elsewhere or not at all; what it tells comes late, or twice. A process loads,
cannot, hangs, says that what it needs is taken, and dies at any moment.
"""

from __future__ import annotations

from typing import Any

from apothic_backends.model.jobs import ErrorInfo
from apothic_emulator.core import effects as e, facts as f
from apothic_emulator.core.doors import Listen, Listening, Reach, Refuse, Rouse, Roused, Unlisten
from apothic_emulator.core.hellos import Gpu, GpusFound
from tests.simulation.history import sure

LOADS_S = (0.01, 0.1, 0.8)
LASTS_S = (0.01, 0.2, 3.0)
LATE_S = (0.0, 0.0, 0.001, 0.05, 0.5)
DIES_S = (0.001, 0.05, 1.0, 7.0)
BEGINS = ("loads", "loads", "loads", "loads", "is late", "fails", "hangs", "dies", "never runs")
ENDS = ("in order", "in order", "hangs")


class Knock:
    """Somebody at a door: they wait, until a process takes them, or they hear that none will."""

    def __init__(self, service: str, at: float) -> None:
        self.service, self.at = service, at
        self.led_to = ""


class Doorway:
    """One door, and those who wait at it."""

    def __init__(self, world: Any, service: str, port: int) -> None:
        self.world, self.service, self.port = world, service, port
        self.waiting: list[Knock] = []
        self.is_calm = True
        """Whether the next knock is told of."""
        self.is_public = False
        """Whether anybody gets in."""

    def arrive(self, knock: Knock) -> None:
        """Somebody comes."""
        self.waiting.append(knock)
        self.look()
        self.world.after(self.world.chance.choice((0.0, 0.01)), self.world.serve, self.service)

    def rouse(self) -> None:
        """Tell of the next who waits."""
        self.is_calm = True
        self.look()

    def look(self) -> None:
        """Tell that somebody is here, once."""
        if self.waiting and self.is_calm:
            self.is_calm = False
            self.world.tell(Roused(self.service))

    def send_away(self, led_to: str) -> None:
        """None of those who wait gets a process."""
        for knock in self.waiting:
            knock.led_to = led_to
        self.waiting.clear()


class Process:
    """A process of a service."""

    def __init__(self, world: Any, effect: e.StartExecutor) -> None:
        self.world, self.number = world, effect.executor
        self.service = f"{effect.spec.app_name}/{effect.spec.name}"
        self.spec = effect.spec
        self.function = effect.function
        self.has_door = self.service in world.doors
        self.open: list[Knock] = []
        self.is_ready = self.is_leaving = self.is_gone = self.rests = False
        self.began = self._idle_since = world.now
        chance = world.chance
        self._begins = "loads" if world.is_calm else chance.choice(BEGINS)
        self._ends = "in order" if world.is_calm else chance.choice(ENDS)
        world.after(chance.choice(LOADS_S), self._load)
        if not world.is_calm and chance.random() < 0.2:
            world.after(chance.choice(DIES_S), self.end, 9)

    # --- its beginning --------------------------------------------------------------------------

    def _load(self) -> None:
        if self._begins == "loads":
            self._try()
        elif self._begins == "fails":
            error = ErrorInfo("setup_failed", f"{self.service} cannot be loaded: boom")
            self.world.hear(self, f.LoadFailed(self.number, error))
            self.world.after(0.01, self.end, 0)
        elif self._begins == "is late":
            service = self.spec.service
            assert service is not None
            late_s = self.world.chance.choice((-0.1, 0.05, 0.3))
            self.world.after(
                service.start_timeout_s + late_s - self.world.now + self.began, self._try
            )
        elif self._begins != "hangs":
            self.end(9, "start" if self._begins == "never runs" else "")

    def _try(self) -> None:
        """Take what only one version can have, if this service needs that."""
        if self.world.has_taken(self):
            self.world.reached["taken"] += 1
            self.world.hear(self, f.Said(self.number, "taken"))
            self.world.after(1.0, self._try)
            return
        self.is_ready = True
        self.world.hear(self, f.Loaded(self.number))
        self.world.serve(self.service)
        self._watch()

    # --- its work -------------------------------------------------------------------------------

    @property
    def takes(self) -> bool:
        """Whether it takes connections."""
        return self.is_ready and self.has_door and not self.is_leaving

    def take(self, knock: Knock) -> None:
        """Somebody is in good hands."""
        door = self.world.doors.get(self.service)
        service = self.spec.service
        assert service is not None
        sure(door is None or not door.is_public or service.public, "V9", "%d", self.number)
        knock.led_to = "a process"
        self.world.reached["served"] += 1
        self.open.append(knock)
        self.world.after(self.world.chance.choice(LASTS_S), self._finish, knock)
        if len(self.open) > 2:
            self.world.hear(self, f.Said(self.number, "crowded"))

    def _finish(self, knock: Knock) -> None:
        self.open.remove(knock)
        self._idle_since = self.world.now
        if self.is_leaving and not self.open:
            self.end()

    def _watch(self) -> None:
        """End when there was nothing to do for long, and take nobody from then on."""
        service = self.spec.service
        assert service is not None
        rest_s = self._idle_since + max(service.keep_warm_s, 0.1) - self.world.now
        if self.is_leaving:
            return
        if self.open or rest_s > 0:
            self.world.after(max(rest_s, 0.1), self._watch)
        else:
            self.rests = self.is_leaving = True
            self.world.hear(self, f.Said(self.number, "rests"))
            if self._ends == "in order":
                self.world.after(0.01, self.end)

    # --- its end --------------------------------------------------------------------------------

    def carry_out(self, effect: Any) -> None:
        """What the core wants of it."""
        if isinstance(effect, e.Kill):
            self.world.after(0.01, self.end, 9)
        elif isinstance(effect, e.Recall):
            self.world.hear(self, f.Recalled(self.number, ()))
        elif isinstance(effect, e.Retire) and not self.is_leaving:
            self.is_leaving = True
            door = self.world.doors.get(self.service)
            if door is not None and not self.rests and self.world.chance.random() < 0.3:
                self.world.reached["handed on"] += 1
                door.arrive(self.world.knock(self.service))
            if self._ends == "in order" and not self.open:
                self.world.after(0.01, self.end)

    def end(self, signal: int = 0, reason: str = "") -> None:
        """It is gone, with those whom it has taken."""
        reason = reason or ("signal" if signal else "exit")
        told = f.Ended(self.number, reason, signal=signal or None, exit_code=0)
        self.world.bury(self, told)


class Machine:
    """Carries out what the core wants of doors; `world` has them."""

    def __init__(self, world: Any) -> None:
        self.world = world

    def carry_out(self, effect: Any) -> None:
        """One effect that is for no process."""
        world = self.world
        if isinstance(effect, Listen):
            self._open(effect)
        elif isinstance(effect, Unlisten):
            door = world.doors.pop(effect.service, None)
            if door is not None:
                door.send_away("closed")
        elif isinstance(effect, Reach):
            if effect.service in world.doors:
                world.doors[effect.service].is_public = effect.is_public
        elif isinstance(effect, Rouse):
            if effect.service in world.doors:
                world.doors[effect.service].rouse()
        elif isinstance(effect, Refuse):
            if effect.service in world.doors:
                world.reached["refused"] += bool(world.doors[effect.service].waiting)
                world.doors[effect.service].send_away("refused")
        elif isinstance(effect, e.FindGpus):
            gpus = tuple(Gpu(f"GPU-{n}", "L4", 24_000) for n in range(world.gpus))
            world.tell(GpusFound(gpus, "" if gpus else "there is no driver"))

    def _open(self, effect: Listen) -> None:
        world, chance = self.world, self.world.chance
        door = world.doors.get(effect.service)
        if door is not None:  # the core has begun anew
            door.is_public = effect.is_public
            door.rouse()
            world.tell(Listening(effect.service, door.port))
            return
        if not world.is_calm and chance.random() < 0.1:
            world.reached["no door"] += 1
            world.tell(Listening(effect.service, 0, "it cannot listen: no descriptors"))
            return
        is_taken = not effect.port or (not world.is_calm and chance.random() < 0.1)
        world.ports += is_taken
        port = world.ports if is_taken else effect.port
        world.doors[effect.service] = Doorway(world, effect.service, port)
        world.doors[effect.service].is_public = effect.is_public
        note = f"port {effect.port} is taken" if is_taken and effect.port else ""
        world.tell(Listening(effect.service, port, note))
