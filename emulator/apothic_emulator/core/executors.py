"""The life of an executor: a process that serves one function.

    starting ──loaded──► ready ──retire──► draining ──► retiring ──ended──► (gone)
        │                │   ▲                │
        └───── stop ─────┤   └── reprieve ──┐ │
                         └──────────────► stopping ──ended──► (gone)

One on an agent whose connection is cut is *adrift* until that is back: nobody gives it jobs, and
no clock in it runs.

Jobs stand in its *line*, in the order in which it receives them; the first `slots` of the line of
an executor that has loaded are running. One that retires gets no more jobs, finishes what it works
on (draining), and then ends by itself (retiring). Stopping goes in steps with a time limit each
(`STEPS`), so that nothing that user code does can keep a process alive; as long as only its stack
was asked for, it can be reprieved.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any, Final, Protocol

from apothic_backends.model.jobs import ErrorInfo, JobStatus
from apothic_emulator.core.effects import DumpStack, Effect, Kill, Terminate
from apothic_emulator.core.functions import Function
from apothic_emulator.core.jobs import NEVER, Job, Wait
from apothic_emulator.core.leases import Leased


class ExecutorStatus(Enum):
    """Where an executor is in its life."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    RETIRING = "retiring"
    STOPPING = "stopping"
    ADRIFT = "adrift"


_STARTING, _READY = ExecutorStatus.STARTING, ExecutorStatus.READY
_RETIRING = ExecutorStatus.RETIRING
_SHUT = -1_000_000

IDLE_S = 60.0
"""An executor without work ends after this long."""

PREFETCH_BELOW_S = 0.005
"""Only calls that take less than this are sent ahead of time; longer ones would wait in line."""

FAR_S = 0.1
"""As long as this, news of a call that takes no longer may be on their way from an agent."""

LOAD_S = 60.0
"""What an executor gets at the least to load its function; `timeout_s` if that is longer."""

BUILD_S = 3600.0
"""What it gets to have made what its function's image says, before it can load anything."""

FETCH_S = 3600.0
"""What it gets on an agent to load a function that mounts volumes: these may be large."""

RETIRE_S = 2.0
"""What exit handlers and leftover threads get before an executor is killed."""

STEPS: Final[tuple[tuple[type[DumpStack | Terminate | Kill], float], ...]] = (
    (DumpStack, 0.1),
    (Terminate, 0.5),
    (Kill, 5.0),
)
"""How a busy executor is stopped: what to send, and how long to wait before the next."""


class Counting(Protocol):
    """Who has to know of changes: see `census.py`."""

    in_lines: int

    def moved(self, executor: Executor) -> None:
        """It is in another part of its life."""
        ...

    def freed(self, executor: Executor) -> None:
        """It may have more room than before."""
        ...


class Placed(Leased):
    """On which machine something is, and what comes of that; `due` is when to look at it."""

    __slots__ = ("accepted", "agent", "before", "charged_to", "gpus", "row", "silent_at", "status")

    def __init__(self) -> None:
        super().__init__()
        self.status = self.before = _STARTING
        """Where it is in its life; and while it is adrift, where it was before."""
        self.agent = 0
        """The machine that it runs on; 0 is this one."""
        self.gpus: tuple[str, ...] = ()
        """The devices there that are its own until it has ended, by UUID."""
        self.accepted: set[int] | None = None
        """Calls that await the word to begin; None where no one is asked before, as on this."""
        self.row: Any = None
        """Where what its calls take is counted."""
        self.charged_to, self.silent_at = -NEVER, NEVER
        """Up to when what its calls have in common is charged for; and from when on nothing can
        run in it, as its machine was not heard of."""


class Executor(Placed):
    """A process as the core knows it."""

    __slots__ = (
        "belongings",
        "breach",
        "census",
        "deaf",
        "failure",
        "function",
        "held_since",
        "holders",
        "idle_since",
        "is_kept_out",
        "is_prepared",
        "is_used_up",
        "line",
        "loaded",
        "number",
        "opened",
        "parked",
        "proved",
        "recalling",
        "reserve",
        "slots",
        "stack",
        "step",
        "step_at",
        "waits",
    )

    serves = False
    """Whether it takes requests, and no jobs."""
    retire_s = RETIRE_S
    """What it gets to end by itself."""
    takes_batches = False
    """Whether a call goes on, however many of those it is for are cancelled, till all are."""

    census: Counting
    """That of its pool, once it is in one."""

    def __init__(self, number: int, function: Function, now: float) -> None:
        super().__init__()
        self.number, self.function = number, function
        spec = function.spec
        self.slots = spec.concurrent_requests
        self.reserve = self.slots - (spec.target_requests or self.slots)
        """Slots above the target: they are used only where no further executor may start."""
        self.line: list[Job] = []
        self.idle_since = self.held_since = now
        self.step = self.parked = 0
        """The next of `STEPS`, which counts only while stopping; its jobs that are parked."""
        self.is_prepared = spec.image is None
        """Whether what the image of its function says is there."""
        self.step_at = now + self.start_s
        """When the next step is due; while starting, when loading has taken too long."""
        self.loaded = self.proved = False
        """Whether it has loaded its function; and whether it has finished a job."""
        self.failure: ErrorInfo | None = None
        """Why it could not load its function, if it said so or took too long."""
        self.recalling, self.stack, self.is_kept_out = False, "", False
        self.deaf = self.breach = self.is_used_up = False
        """It was killed: nothing that it still says counts; whether that was because it reported
        what it cannot have done; and a call left something behind in it: it gets no more jobs."""
        self.holders: set[int] = set()
        """Jobs at a breakpoint: while there are any, no clock in here runs."""
        self.waits: dict[object, Wait] = {}
        """What its code waits for, by token."""
        self.opened: dict[int, Job] = {}
        """Generators whose items its code takes; they end with it."""
        self.belongings: dict[str, Callable[[float], None]] = {}
        """What ends each thing that its code has made for itself."""

    @property
    def load_s(self) -> float:
        """What it gets to load its function; elsewhere than here it fetches its volumes first."""
        spec = self.function.spec
        if self.agent and any(mount.kind == "volume" for mount in spec.mounts):
            return FETCH_S
        return max(spec.timeout_s, LOAD_S)

    @property
    def start_s(self) -> float:
        """What it gets for what it does now, while it is starting."""
        return self.load_s if self.is_prepared else BUILD_S

    def leave(self, now: float) -> None:
        """Its process is gone, and so is what its code has made for itself."""
        for end in [*self.belongings.values()]:
            end(now)

    @property
    def running(self) -> list[Job]:
        """The jobs in its slots."""
        return self.line[: self.slots] if self.loaded else []

    @property
    def unbegun(self) -> list[Job]:
        """Among these are the jobs that have moved up to a slot and not begun."""
        slots = self.line[: self.slots] if self.loaded else []
        accepted = self.accepted
        return slots if accepted is None else [job for job in slots if job.number in accepted]

    @property
    def room(self) -> int:
        """How many slots are free, less those who stand behind them; far below 0 if it is shut."""
        if self.recalling or (self.status is not _READY and self.status is not _STARTING):
            return _SHUT
        return self.slots - len(self.line)

    @property
    def is_free(self) -> bool:
        """Whether it is ready, and below its target."""
        return self.status is _READY and self.room > self.reserve

    @property
    def capacity(self) -> int:
        """How many jobs it should still get, before it is at its target."""
        return max(0, self.room - self.reserve)

    @property
    def is_given_up(self) -> bool:
        """Whether nothing was heard of its agent for so long that it works no more."""
        return self.status is ExecutorStatus.ADRIFT and self.before is ExecutorStatus.STOPPING

    @property
    def is_working(self) -> bool:
        """Whether a call in it, or one behind that, is not parked."""
        return len(self.line) > self.parked

    @property
    def is_parked(self) -> bool:
        """Whether every slot is parked."""
        return self.parked >= self.slots

    @property
    def keep_s(self) -> float | None:
        """How long it goes on without work, if not as long as others."""
        return None

    @property
    def is_spared(self) -> bool:
        """Whether it goes on though others need its place."""
        return False

    @property
    def takes_one(self) -> bool:
        """Whether there is one call at a time, which takes the executor with it when stopped."""
        return self.slots == 1

    def is_lent(self, level: int) -> bool:
        """Whether its place is free for a job of that level.

        Every slot is parked above it, or its agent has stopped it, of which only the news are due.
        """
        if self.parked > 0 and self.is_parked:
            return level > min(job.level for job in self.running)
        return self.is_given_up

    def park(self, wait: Wait, job: Job) -> None:
        """A job's code blocks in the SDK."""
        wait.caller = job
        job.parked += 1
        if job.parked == 1:
            self.parked += 1

    def unpark(self, wait: Wait) -> None:
        """A wait is over."""
        job, wait.caller = wait.caller, None
        if job is not None:
            job.parked -= 1
            if job.parked == 0:
                self.parked -= 1

    def take_out(self, job: Job) -> None:
        """A job leaves the line; what its code still waits for parks nobody."""
        self.line.remove(job)
        self.census.in_lines -= 1
        self.census.freed(self)
        if job.parked:
            for wait in self.waits.values():
                if wait.caller is job:
                    self.unpark(wait)

    def hold(self, job: Job, now: float) -> None:
        """A person looks at the job."""
        if not self.holders:
            self.held_since = now
        self.holders.add(job.number)

    def let_go(self, job: Job, now: float) -> None:
        """Nobody looks at the job any more; with the last of them, every clock goes on."""
        if job.number in self.holders:
            self.holders.remove(job.number)
            if not self.holders:
                for other in self.running:
                    if other.stop is None and other.started_at is not None:
                        other.deadline += now - max(self.held_since, other.started_at)

    def give_back(self) -> None:
        """What was asked of its line is answered: it takes jobs again."""
        self.recalling = False
        self.census.freed(self)

    def take_all_out(self) -> list[Job]:
        """Every job leaves the line."""
        line = list(self.line)
        for job in line:
            self.take_out(job)
        return line

    def may_work_on(self, job: Job) -> bool:
        """Whether the job stands where this executor works."""
        if job.executor != self.number or self.status is _STARTING or self.status is _RETIRING:
            return False
        line = self.line
        return line[0] is job or (self.slots > 1 and job in line[: self.slots])

    def mates(self, job: Job) -> Sequence[Job]:
        """The jobs that are in one call with this one, itself among them."""
        return (job,)

    def call_of(self, job: Job) -> int:
        """The job that stands for the call that it is in."""
        return job.number

    def may_stop(self, job: Job) -> bool:
        """Whether stopping the job may stop the call that it is in."""
        return True

    @property
    def has_stops(self) -> bool:
        """Whether one of its calls is being stopped."""
        return any(job.stop for job in self.line)

    def relieve_at(self, now: float) -> float:
        """When its call takes so long that nobody should wait behind it."""
        started_at = self.line[0].started_at if self.line else None
        patience_s = PREFETCH_BELOW_S if self.accepted is None else FAR_S
        return (now if started_at is None else started_at) + patience_s

    def may_be_queued_at(self, now: float) -> bool:
        """Whether it looks as if it were done soon."""
        return not self.parked and self.relieve_at(now) > now

    @property
    def is_resting(self) -> bool:
        """Whether nothing in its line has begun."""
        return not any(job.status is JobStatus.RUNNING for job in self.line)

    @property
    def can_be_reprieved(self) -> bool:
        """Whether there is no reason to stop it left, and no harm done yet."""
        is_unharmed = self.loaded and self.step <= 1
        return is_unharmed and not self.has_stops

    def has_loaded(self, disk: str) -> None:
        """It takes jobs; `disk` is what it says of its `disk_gb`."""
        self.loaded = True
        self.function.keeps(disk)
        self.make_ready()

    def become(self, status: ExecutorStatus) -> None:
        """It is in that part of its life from now on."""
        self.status = status
        self.census.moved(self)

    def make_ready(self) -> None:
        """It takes jobs, for the first time or because there is no reason to stop it any more."""
        self.become(_READY)
        self.step_at = NEVER

    def next_step(self, now: float) -> Effect:
        """Go on with stopping: the effect that is due, and when to look again."""
        effect, wait_s = STEPS[min(self.step, len(STEPS) - 1)]
        self.step += 1
        self.step_at = now + wait_s
        if effect is Kill:
            self.deaf = True
        return effect(self.number)
