"""What comes out of the core: things for the host and its agent to do."""

from __future__ import annotations

from typing import Any

from apothic_backends.model.functions import FunctionSpec
from apothic_backends.model.payloads import Payload
from apothic_backends.model.record import Record
from apothic_emulator.core.doors import Door
from apothic_emulator.core.records import Change


class StartExecutor(Record):
    """Start a process that loads `code`; jobs may be dispatched to it from now on."""

    executor: int
    function: int
    spec: FunctionSpec
    code: Payload
    agent: int = 0
    """The machine that it runs on; 0 is this one."""
    gpus: tuple[str, ...] = ()
    """The devices that it sees, by UUID; all, if it has asked for none."""


class Dispatch(Record):
    """Put a job at the end of an executor's line."""

    executor: int
    job: int
    attempt: int
    arguments: Payload


class DispatchBatch(Record):
    """Put several jobs, which go into one call, at the end of an executor's line."""

    executor: int
    jobs: tuple[Dispatch, ...]


class Go(Record):
    """Have a job begin that an agent has accepted; it stands for its batch if it is in one."""

    executor: int
    job: int


class Recall(Record):
    """Take back what an executor has not received yet; `Recalled` answers, even if empty."""

    executor: int


class Interrupt(Record):
    """Ask one of several calls in an executor to stop; `Reported` answers if it listens."""

    executor: int
    job: int


class Credit(Record):
    """Tell a generator that its first `taken` items are done with; it may run ahead of those."""

    executor: int
    job: int
    attempt: int
    taken: int


class DumpStack(Record):
    """Have an executor write down its Python stack; `StackDumped` answers if it can."""

    executor: int


class Terminate(Record):
    """Interrupt an executor's main thread (SIGTERM)."""

    executor: int


class Kill(Record):
    """Kill an executor and everything that it started; `Ended` answers."""

    executor: int


class Retire(Record):
    """Let an executor end by itself, with a little time for its exit handlers."""

    executor: int


class Attach(Record):
    """What is for an agent goes into this channel from now on, which is new unless it `resumes`.

    Of the executors that it had before a new channel, it has `executors` still.
    """

    agent: int
    channel: str
    resumes: bool
    executors: tuple[int, ...] = ()
    executor: int = 0
    """None."""


class Detach(Record):
    """An agent is forgotten, and all that was for it."""

    agent: int
    executor: int = 0


class FindGpus(Record):
    """Find out which GPUs this machine has; `GpusFound` answers."""

    executor: int = 0
    """None."""


class Errand(Record):
    """Something to be done at a provider of machines: see `core/renting.py`."""

    executor = 0
    """None."""


Effect = (
    StartExecutor
    | Dispatch
    | DispatchBatch
    | Go
    | Recall
    | Interrupt
    | Credit
    | DumpStack
    | Terminate
    | Kill
    | Retire
    | Attach
    | Detach
    | FindGpus
    | Errand
    | Door
)


def sent(effect: Effect) -> tuple[int, ...]:
    """The jobs that an effect puts into a line."""
    if isinstance(effect, DispatchBatch):
        return tuple(one.job for one in effect.jobs)
    return (effect.job,) if isinstance(effect, Dispatch) else ()


LATER: Any = object()
"""What a rule returns when the reply has been given already, or is owed."""


class Outcome(Record):
    """What a step decided: replies by token (a value, or an error to raise), and effects.

    `changes` must survive: a store has to have them before anybody hears of the rest.
    """

    replies: list[tuple[object, object, BaseException | None]]
    effects: list[Effect]
    changes: list[Change]
