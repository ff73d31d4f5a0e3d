"""What services must be, step by step, written down by somebody else than the core.

V1  a process starts only of what is live and wanted, and there are never too many of a version
V2  a process of an old version ends once a new one is ready, and not before; unless it has to make
    room, rests, or is in the way of the new one
V3  what is ready and live goes on until it rests, has to make room, or the service is stopped
V4  nobody is refused while a process is ready
V5  what was stopped listens no more, and what is wanted listens
V6  whoever waits is answered: as soon as it is so, or when their time is up
V7  what services are said to be is what they are
V8  whoever knocks is taken by a process, or hears that there will be none
V9  only what is public is shown to anybody, and in the end all that is public is
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from math import inf
from typing import Any

from apothic_backends.commands.deployments import (
    DeleteDeployment,
    Deploy,
    RollbackDeployment,
    StopDeployment,
)
from apothic_backends.commands.services import GetService, StartService, StopService
from apothic_backends.model.functions import FunctionSpec
from apothic_backends.model.services import ServiceSnapshot
from apothic_emulator.core import effects as e, facts as f
from apothic_emulator.core.doors import Listen, Listening, Refuse
from apothic_emulator.core.executors import RETIRE_S
from tests.simulation.history import sure

ENOUGH_S = 1e-6
ENDS = (e.Retire, e.DumpStack, e.Terminate, e.Kill)


class Desired:
    """A service as people want it."""

    def __init__(self) -> None:
        self.version = self.function = self.port = 0
        self.spec: FunctionSpec | None = None
        """None while no version is live."""
        self.is_wanted = True

    @property
    def serves(self) -> bool:
        """Whether there is to be a door."""
        return self.is_wanted and self.spec is not None


class Wish:
    """All of them, and the versions of apps: what a crash may undo."""

    def __init__(self) -> None:
        self.services: dict[str, Desired] = {}
        self.versions: dict[str, dict[int, dict[str, tuple[int, FunctionSpec]]]] = {}
        self.live: dict[str, int] = {}
        self.ports: dict[str, int] = {}
        """Where each was last, before it was deleted perhaps."""

    def copy(self) -> Wish:
        """The same, to go back to."""
        return deepcopy(self)

    def changed(self, command: Any, value: Any) -> None:
        """Somebody has got what they asked for."""
        if isinstance(command, Deploy | RollbackDeployment):
            self._deployed(command, value)
        elif isinstance(command, StopDeployment | DeleteDeployment):
            self.live.pop(command.deployment, None)
            if isinstance(command, DeleteDeployment):
                self.versions.pop(command.deployment, None)
            self._settle(command.deployment)
        elif isinstance(command, StartService | StopService):
            self.services[command.service].is_wanted = isinstance(command, StartService)
        elif isinstance(command, Listening) and command.port:
            it = self.services.get(command.service)
            if it is not None and it.serves:
                it.port = self.ports[command.service] = command.port

    def _deployed(self, command: Any, value: Any) -> None:
        told = value.deployment
        of_app = self.versions.setdefault(told.app_name, {})
        if value.is_new and isinstance(command, Deploy):
            specs = {one.spec.name: one.spec for one in command.functions}
            of_app[told.version] = {
                work.name: (int(work.function_id[10:]), specs[work.name]) for work in told.functions
            }
        elif value.is_new:
            of_app[told.version] = of_app[told.of]
        self.live[told.app_name] = told.version
        self._settle(told.app_name)

    def _settle(self, app: str) -> None:
        """What is live has changed."""
        version = self.live.get(app, 0)
        has = self.versions[app][version] if version else {}
        for name, (number, spec) in has.items():
            if spec.service is not None:
                it = self.services.setdefault(f"{app}/{name}", Desired())
                it.version, it.function, it.spec = version, number, spec
        for service in [*self.services]:
            of, _, name = service.partition("/")
            if of == app and (name not in has or has[name][1].service is None):
                del self.services[service]


class Known:
    """A process as it must be."""

    def __init__(self, effect: e.StartExecutor, now: float) -> None:
        self.service = f"{effect.spec.app_name}/{effect.spec.name}"
        self.function, self.spec = effect.function, effect.spec
        assert effect.spec.service is not None
        self.overdue_at = now + effect.spec.service.start_timeout_s
        self.is_ready = self.is_leaving = self.is_late = False
        """The last: it was ready when another version was wanted, which starts as well."""
        self.said: set[str] = set()
        self.leaves_by: float | None = None
        """It was not ready when it was no longer wanted: it need not leave at once."""

    @property
    def is_going(self) -> bool:
        """Whether it leaves, or soon has to."""
        return self.is_leaving or self.leaves_by is not None

    def is_unwanted(self, now: float) -> None:
        """From now on, unless it was before."""
        if not self.is_going and not self.is_ready:
            self.leaves_by = now + RETIRE_S


class Attendance:
    """Watches steps: what came in, what was decided."""

    def __init__(self) -> None:
        self.wish = Wish()
        self.kept = Wish()
        """What was committed."""
        self.there: dict[int, Known] = {}

    def committed(self) -> None:
        """What was decided up to here stands."""
        self.kept = self.wish.copy()

    def restarted(self) -> None:
        """All processes are gone, and what was not committed has not been."""
        self.wish = self.kept.copy()
        self.there.clear()

    # --- what comes in --------------------------------------------------------------------------

    def hears(self, item: Any) -> None:
        """A process says something."""
        it = self.there.get(getattr(item, "executor", 0))
        if it is None:
            return
        if isinstance(item, f.Loaded):
            wanted = self.wish.services.get(it.service)
            it.is_ready = not it.is_going
            it.leaves_by = None if it.leaves_by is None else -inf
            it.is_late = wanted is not None and wanted.function != it.function
        elif isinstance(item, f.Said):
            it.said.add(item.word)
        elif isinstance(item, f.LoadFailed):
            it.said.add("failed")
        elif isinstance(item, f.Ended):
            del self.there[item.executor]

    # --- what is decided ------------------------------------------------------------------------

    def decides(self, effect: Any, now: float) -> None:
        """The core wants something done."""
        if isinstance(effect, e.StartExecutor) and effect.spec.service is not None:
            self._starts(effect, now)
        elif isinstance(effect, ENDS) and effect.executor in self.there:
            self._ends(effect, self.there[effect.executor], now)
        elif isinstance(effect, Refuse):
            up = [n for n, it in self.there.items() if it.service == effect.service and _up(it)]
            sure(not up, "V4", "%s refuses, and %s are ready", effect.service, up)
        elif isinstance(effect, Listen):
            it = self.wish.services.get(effect.service)
            sure(it is not None and it.serves, "V5", "%s is to listen", effect.service)
            assert it is not None
            was = self.wish.ports.get(effect.service, 0)
            sure(effect.port in (it.port, it.port or was), "V5", "%s at %d", it, effect.port)

    def _starts(self, effect: e.StartExecutor, now: float) -> None:
        it = Known(effect, now)
        wanted = self.wish.services.get(it.service)
        is_live = wanted is not None and wanted.serves and wanted.function == it.function
        sure(is_live, "V1", "%d of %s starts", effect.executor, it.service)
        self.there[effect.executor] = it
        same = [o for o in self.there.values() if o.function == it.function and not o.is_going]
        sure(len(same) <= it.spec.max_containers, "V1", "%d of %s", len(same), it.service)

    def _ends(self, effect: Any, it: Known, now: float) -> None:
        number, it.is_leaving, was_leaving = effect.executor, True, it.is_going
        wanted = self.wish.services.get(it.service)
        if was_leaving or wanted is None or not wanted.serves:
            return
        may = "rests" in it.said or bool(it.spec.gpu_count) or it.is_late
        if not it.is_ready:
            may |= "failed" in it.said or now >= it.overdue_at - ENOUGH_S
        if wanted.function == it.function:
            sure(may, "V3", "%d of %s ends", number, it.service)
        else:
            new = [o for o in self.there.values() if o.function == wanted.function]
            may |= any(_up(o) or "taken" in o.said for o in new)
            sure(may, "V2", "%d of %s ends, and no other is ready", number, it.service)

    def stepped(self, now: float) -> None:
        """A step is over."""
        for service, wanted in self.wish.services.items():
            mine = [it for it in self.there.values() if it.service == service]
            new = [it for it in mine if it.function == wanted.function]
            old = [it for it in mine if it.function != wanted.function]
            if any(_up(it) or ("taken" in it.said and not it.is_going) for it in new):
                for it in old:
                    it.is_unwanted(now)
            if any(map(_up, new)):
                old = [it for it in old if not it.is_going]
                sure(not old, "V2", "%d of an old version of %s go on", len(old), service)
        for it in self.there.values():
            wanted_now = self.wish.services.get(it.service)
            is_wanted = wanted_now is not None and wanted_now.serves
            if not is_wanted:
                it.is_unwanted(now)
            sure(is_wanted or it.is_going, "V5", "%s is stopped, and goes on", it.service)
            is_late = it.leaves_by is not None and now > it.leaves_by + ENOUGH_S
            sure(it.is_leaving or not is_late, "V5", "%s goes on for too long", it.service)
            sure(not _up(it) or "rests" not in it.said, "V3", "one of %s rests on", it.service)

    # --- what is said ---------------------------------------------------------------------------

    def answers(self, command: Any, value: ServiceSnapshot, *, is_late: bool) -> None:
        """Somebody hears what a service is."""
        self.compare([value])
        if is_late:
            return
        wanted = self.wish.services[value.service_id]
        if isinstance(command, GetService) and wanted.is_wanted:
            sure(value.url or value.note, "V6", "%s has no address", value)
        elif isinstance(command, StopService) and command.wait:
            sure(wanted.is_wanted or not value.processes, "V6", "%s has not ended", value)
        elif isinstance(command, StartService) and command.wait:
            over = value.status == "up" or value.stale or value.note or not wanted.is_wanted
            sure(over, "V6", "%s has not started", value)

    def is_ready(self, item: Any) -> bool:
        """Whether whoever says something is ready."""
        it = self.there.get(getattr(item, "executor", 0))
        return it is not None and it.is_ready

    def is_due(self, command: Any, failed: set[str]) -> bool:
        """Whether what somebody waits for is so."""
        wanted = self.wish.services.get(getattr(command, "service", ""))
        if wanted is None or isinstance(command, GetService):
            return False
        mine = [it for it in self.there.values() if it.service == command.service]
        if isinstance(command, StartService):
            return command.service in failed or any(map(_up, mine))
        return not wanted.is_wanted and not mine

    def compare(self, told: Iterable[ServiceSnapshot]) -> None:
        """Services are what they are said to be."""
        for it in told:
            wanted = self.wish.services.get(it.service_id)
            sure(wanted is not None, "V7", "%s is gone", it.service_id)
            assert wanted is not None
            sure(it.version == wanted.version, "V7", "%s, not %d", it, wanted.version)
            sure((it.desired == "started") is wanted.is_wanted, "V7", "%s", it)
            mine = [o for o in self.there.values() if o.service == it.service_id]
            if wanted.is_wanted:
                sure((it.status == "up") is any(map(_up, mine)), "V7", "%s", it)
            sure(wanted.is_wanted or it.url is None, "V5", "%s", it)


def _up(it: Known) -> bool:
    return it.is_ready and not it.is_leaving
