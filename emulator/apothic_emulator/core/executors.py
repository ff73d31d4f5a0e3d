"""The life of an executor: a process that serves one function.

    starting ──loaded──► ready ──stop──► stopping ──ended──► (gone)
        └──────────── stop, ended ───────────┘

Jobs stand in its *line*, in the order in which it receives them; the first `slots` of a ready
executor's line are running. Stopping goes in steps with a time limit each (`STEPS`), so that
nothing that user code does can keep a process alive.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from apothic_emulator.core.effects import DumpStack, Effect, Kill, Terminate
from apothic_emulator.core.functions import Function
from apothic_emulator.core.jobs import Job


class ExecutorStatus(Enum):
    """Where an executor is in its life."""

    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"


IDLE_S = 60.0
"""An executor without work ends after this long."""

RETIRE_S = 2.0
"""What exit handlers and leftover threads get before an executor is killed."""

STEPS: Final[tuple[tuple[type[DumpStack | Terminate | Kill], float], ...]] = (
    (DumpStack, 0.1),
    (Terminate, 0.5),
    (Kill, 5.0),
)
"""How a busy executor is stopped: what to send, and how long to wait before the next."""


class Executor:
    """A process as the core knows it."""

    __slots__ = (
        "deaf",
        "function",
        "idle_since",
        "line",
        "number",
        "recalling",
        "slots",
        "stack",
        "status",
        "step",
        "step_at",
        "waits",
    )

    def __init__(self, number: int, function: Function, now: float) -> None:
        self.number = number
        self.function = function
        self.slots = function.spec.concurrent_requests
        self.status = ExecutorStatus.STARTING
        self.line: list[Job] = []
        self.idle_since = now
        self.step = 0
        """The next of `STEPS`; counts only while stopping."""
        self.step_at: float | None = now + function.spec.timeout_s
        """When the next step is due; while starting, when loading has taken too long."""
        self.recalling = False
        self.stack = ""
        self.deaf = False
        """It was killed or broke its channel: nothing that it still says counts."""
        self.waits: dict[object, Job | None] = {}
        """Waits of its jobs by token, with the job that is to be cancelled if this one dies."""

    @property
    def running(self) -> list[Job]:
        """The jobs that it works on."""
        return self.line[: self.slots] if self.status is not ExecutorStatus.STARTING else []

    @property
    def counts(self) -> bool:
        """Whether it takes one of its function's `max_containers`."""
        if self.status is ExecutorStatus.STOPPING and not self.line:
            return False
        return not self.is_parked

    @property
    def is_parked(self) -> bool:
        """Whether every slot is blocked in an SDK wait, so that it takes nobody's place."""
        running = self.running
        return len(running) == self.slots and all(job.parked for job in running)

    def next_step(self, now: float) -> Effect:
        """Go on with stopping: the effect that is due, and when to look again."""
        effect, wait_s = STEPS[min(self.step, len(STEPS) - 1)]
        self.step += 1
        self.step_at = now + wait_s
        if effect is Kill:
            self.deaf = True
        return effect(self.number)
