"""What people do with services: some deploy, some stop and start, and the others knock."""

from __future__ import annotations

from typing import Any

from apothic_backends.commands.deployments import (
    DeleteDeployment,
    Deploy,
    RollbackDeployment,
    StopDeployment,
)
from apothic_backends.commands.services import GetService, StartService, StopService
from apothic_backends.model.deployments import DeployedFunction
from apothic_backends.model.functions import FunctionSpec
from apothic_backends.model.payloads import Payload
from apothic_backends.model.services import ServiceSpec
from tests.simulation.driving import Client, Script

APPS, NAMES = ("a", "b"), ("web", "api")
SHAPES = ("asgi", "asgi", "web_server")
WAITS_S = (0.3, 1.0, 20.0, 60.0)


class Visitors:
    """The scripts of clients; `world` is the run."""

    def __init__(self, world: Any) -> None:
        self.world = world

    def draw(self, client: Client) -> Script:
        """What a client does next."""
        if client.number == 0:
            people = (self._deploy, self._deploy, self._roll_back, self._end, self._begin_anew)
            return self.world.chance.choice(people)()
        if client.number == 1:
            return self.world.chance.choice((self._stop, self._start, self._start, self._vanish))()
        return self.world.chance.choice((self._knock, self._knock, self._crowd, self._get))()

    def _service(self) -> str:
        return f"{self.world.chance.choice(APPS)}/{self.world.chance.choice(NAMES)}"

    def _deploy(self, app: str = "") -> Script:
        chance, app = self.world.chance, app or self.world.chance.choice(APPS)
        functions = [self._function(app, name) for name in NAMES[: chance.choice((1, 2, 2))]]
        yield Deploy(app, tuple(functions))
        yield chance.choice((0.0, 1.0, 8.0))

    def _function(self, app: str, name: str) -> DeployedFunction:
        chance = self.world.chance
        shape, warm_s = chance.choice(SHAPES), chance.choice((0.0, 1.0, 30.0))
        is_public = warm_s == 1.0
        service = ServiceSpec(
            shape,
            keep_warm_s=warm_s,
            start_timeout_s=3.0,
            grace_s=2.0,
            public=is_public,
        )
        spec = FunctionSpec(
            app,
            name,
            max_containers=chance.choice((1, 1, 3)),
            gpu_count=chance.choice((0, 0, 0, 1, 2)) if self.world.gpus else 0,
            service=None if chance.random() < 0.1 else service,
        )
        return DeployedFunction(spec, Payload(chance.choice((b"one", b"two", b"three"))))

    def _roll_back(self) -> Script:
        known = [(app, n) for app, its in self.world.attendance.wish.versions.items() for n in its]
        if known:
            yield RollbackDeployment(*self.world.chance.choice(known))
        yield 1.0

    def _end(self) -> Script:
        yield self.world.chance.choice((1.0, 5.0))
        kind = self.world.chance.choice((StopDeployment, DeleteDeployment))
        yield kind(self.world.chance.choice(APPS))
        yield self.world.chance.choice((0.0, 2.0))

    def _begin_anew(self) -> Script:
        """Take an app down and up again, while processes of it go on."""
        service = self._service()
        yield StopService(service)
        yield DeleteDeployment(service.split("/")[0])
        yield from self._deploy(service.split("/")[0])

    def _stop(self) -> Script:
        chance = self.world.chance
        yield chance.choice((1.0, 5.0))
        service = self._service()
        yield StopService(service, wait=chance.random() < 0.5, timeout_s=chance.choice(WAITS_S))
        yield chance.choice((0.0, 0.1, 2.0))
        yield StartService(service, wait=chance.random() < 0.5, timeout_s=chance.choice(WAITS_S))

    def _start(self) -> Script:
        chance = self.world.chance
        yield chance.choice((0.1, 1.0))
        wait = chance.random() < 0.7
        yield StartService(self._service(), wait=wait, timeout_s=chance.choice(WAITS_S))

    def _vanish(self) -> Script:
        """Wait for what somebody else does, and be gone before."""
        client = self.world.clients[1]
        self.world.at(self.world.now + 0.5, self._is_gone, client)
        yield StartService(self._service(), wait=True, timeout_s=60.0)
        yield 1.0

    @staticmethod
    def _is_gone(client: Client) -> None:
        if not client.is_gone:
            client.vanish()

    def _get(self) -> Script:
        yield GetService(self._service())
        yield self.world.chance.choice((0.0, 3.0))

    def _knock(self) -> Script:
        service = self._service()
        if service in self.world.doors:
            self.world.doors[service].arrive(self.world.knock(service))
        yield self.world.chance.choice((0.0, 0.05, 1.0, 6.0))

    def _crowd(self) -> Script:
        """So many that one process is crowded."""
        service = self._service()
        for _ in range(8):
            if service in self.world.doors:
                self.world.doors[service].arrive(self.world.knock(service))
            yield self.world.chance.choice((0.0, 0.01))
