"""What this machine does for its control plane that is for no executor: doors, and finding GPUs."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from select import epoll
from typing import Any

from apothic_backends.model.errors import ApothicError
from apothic_backends.ticket import Ticket
from apothic_emulator.core.doors import Door
from apothic_emulator.core.effects import Errand, FindGpus, StartExecutor
from apothic_emulator.core.facts import Asked, Ended
from apothic_emulator.core.hellos import MADE_UP, Gpu, GpusFound


class Aside:
    """Carries such effects out. `post` and `wake` bring what it finds into the core."""

    def __init__(self, errands: epoll, post: Callable[[Any], object]) -> None:
        self._errands = errands
        self._post = post
        self.wake: Callable[[], object] = bool
        """Has the core stepped soon, from any thread."""
        self.dial: Callable[[int, str, str], bool] = _nobody
        """Has an agent open a stream, if there is one of that number."""
        self.public: Any = None
        """How services are reached from elsewhere than this machine, a `Public`, if they are."""
        self.cloud: Any = None
        """What rents machines, a `Cloud`, if anything does."""
        self._doors: Any = None
        self._finder: threading.Thread | None = None
        """Whoever asks the driver for GPUs."""
        self._gpus: tuple[Gpu, ...] = ()
        self._watch: Any = None
        """A `GpuWatch`, once an executor has a device of a driver."""
        self._tell_gpus: Callable[[tuple[Gpu, ...], str], object] | None = None
        """Tells what there is of GPUs, where that is not told to a core in this program."""
        self._first = threading.Lock()

    def use(self, doors: Any) -> None:
        """Have services take their connections from these, in place of `Doors`."""
        self._doors = doors

    @property
    def doors(self) -> Any:
        """`Doors`, loaded for the first service."""
        with self._first:
            if self._doors is None:
                from apothic_emulator.agent.doors import Doors  # few have one  # noqa: PLC0415

                self._doors = Doors(self._errands, self._tell, self._dial, self.public)
            return self._doors

    def carry_out(self, effect: FindGpus | Door | Errand) -> None:
        """Do one thing, under the core's lock."""
        if isinstance(effect, Errand):
            self.cloud.carry_out(effect)
        elif isinstance(effect, FindGpus):
            self._finder = threading.Thread(target=self._find_gpus, daemon=True)
            self._finder.start()
        else:
            self.doors.carry_out(effect)

    def _dial(self, agent: int, service: str, stream: str) -> bool:
        return self.dial(agent, service, stream)

    def _find_gpus(self) -> None:
        """Tell the core which GPUs there are: a driver may take its time."""
        from apothic_emulator.agent.gpus import find  # few programs need one  # noqa: PLC0415
        from apothic_emulator.agent.missing import on_missing  # noqa: PLC0415 - as above

        try:
            found = GpusFound(*find(), missing=on_missing())
            self._gpus = found.gpus
        except ApothicError as error:
            found = GpusFound((), str(error))
        self._tell(found)

    def gives(self, gpus: tuple[Gpu, ...], tell: Callable[[tuple[Gpu, ...], str], object]) -> None:
        """An agent gives these GPUs, and no others; what becomes of them is told so."""
        self._gpus, self._tell_gpus = gpus, tell

    def took(self, effect: StartExecutor) -> None:
        """An executor gets GPUs: these are looked after, unless they are made up."""
        if os.environ.get("APOTHIC_FAKE_GPUS") or effect.gpus[0].startswith(MADE_UP):
            return
        if self._watch is None:
            from apothic_emulator.agent.gpu_watch import GpuWatch  # see above  # noqa: PLC0415

            is_agent = self._tell_gpus is not None
            tell = self._tell_gpus or self._tell_found
            self._watch = GpuWatch(self._gpus, tell, self._post_now, only=is_agent)
        self._watch.took(effect)

    def ended(self, end: Ended) -> bool:
        """An executor has ended; whether that is posted once its GPUs have been looked at."""
        return self._watch is not None and self._watch.ended(end)

    def _tell_found(self, gpus: tuple[Gpu, ...], reason: str) -> None:
        self._tell(GpusFound(gpus, reason))

    def _tell(self, command: Any) -> None:
        """Tell the core something, from any thread."""
        nobody: Ticket[None] = Ticket()
        self._post_now(Asked(command, nobody))

    def _post_now(self, item: Any) -> None:
        self._post(item)
        self.wake()

    def knocked(self, fd: int) -> None:
        """Something has come at the door of a service, if that is one."""
        if self._doors is not None:
            self._doors.knocked(fd)

    def cut(self, key_id: str) -> None:
        """End what clients of services do under a key that holds no more."""
        if self._doors is not None:
            self._doors.cut(key_id)

    def end(self, patience_s: float) -> None:
        """Wait for what is under way."""
        if self._finder is not None:
            self._finder.join(patience_s)

    def close(self) -> None:
        """Listen no more."""
        if self._watch is not None:
            self._watch.close()
        if self._doors is not None:
            self._doors.close()
        if self.cloud is not None:
            self.cloud.close()


def _nobody(_agent: int, _service: str, _stream: str) -> bool:
    return False
