"""What agents tell of themselves, and what they are told: commands that only agents give."""

from __future__ import annotations

from typing import Any

from apothic_backends.commands.base import Command
from apothic_backends.model.record import Record

LEASE_S = 30.0
"""How long nothing need be heard of an agent before its work is believed to have stopped."""

GRACE_S = 60.0
"""How long after that an agent may bring the outcome of what must not run twice."""

BEGUN, DONE, BACK = "begun", "done", "back"
"""How far a job is, as its agent sees it: it was told to begin it; it has reported it; or it gives
it back, since it was never told to begin it."""


MADE_UP = "GPU-made-up-"
"""How the UUIDs of devices begin that are none, so that something can be tried without them."""


class Gpu(Record):
    """One device, or a slice of one (MIG): that has a `parent`, the UUID of the whole.

    The memory of one that `is_unified` is the machine's own. One with a `trouble` is there and
    cannot be given to anybody; the trouble is why.
    """

    uuid: str
    name: str = ""
    memory_mb: int = 0
    parent: str = ""
    is_unified: bool = False
    trouble: str = ""


NOTHING_MORE: dict[str, Any] = {}
"""Of a machine that tells nothing more."""


class Capacity(Record):
    """What a machine has to give, taken together.

    `offer` is what else it tells of itself, by the fields of `apothic_backends.placement.fields`.
    With `docker` functions can run there whose image needs that. A machine that was made of an
    `image`, the digest of a recipe, is for functions of that one alone.
    """

    cpu: float
    memory_mb: int
    gpus: tuple[Gpu, ...] = ()
    offer: dict[str, Any] = NOTHING_MORE
    docker: bool = False
    image: str = ""


class HeldJob(Record):
    """A job that an agent has, or whose report has not been acknowledged."""

    job: int
    attempt: int
    phase: str


class HeldExecutor(Record):
    """An executor that an agent has, or whose end has not been acknowledged."""

    executor: int
    function: int
    loaded: bool
    jobs: tuple[HeldJob, ...] = ()


class Welcome(Record):
    """Who the agent is here, for how long nothing need be heard of it, and what it is to stop.

    With `resumes` its channel goes on; else it begins anew, with what is still to be reported of
    the executors that are not in `kills`.
    """

    agent: int
    session: int
    channel: str
    resumes: bool
    lease_s: float
    kills: tuple[int, ...] = ()


class Join(Command[Welcome]):
    """An agent is there. `name` is the machine's, `incarnation` that of the process on it.

    `channel` is the one that it had before, and `held` all that it runs; `python` is the series of
    its Python, such as "3.12", and `platform` its system and hardware. `tag` is that of the machine
    which it is on, if that was rented for this control plane.
    """

    name: str
    incarnation: str
    capacity: Capacity
    channel: str = ""
    held: tuple[HeldExecutor, ...] = ()
    python: str = ""
    platform: str = ""
    tag: str = ""


class Heard(Command[None]):
    """An agent was heard of in that session; answered once all is durable that it said before.

    `is_beat` if it has said that nothing is left that it had to say when it joined.
    """

    agent: int
    session: int
    is_beat: bool = False


class Cut(Command[None]):
    """The connection of a session has ended."""

    agent: int
    session: int


class GpusFound(Command[None]):
    """This machine, or that of an agent in a session, has these GPUs; `reason`: why it has none.

    `missing` says what becomes of a function whose GPUs no machine has, on this one: "error"
    refuses its jobs, "cpu" runs them without, "fake" makes devices up for it; empty: as before.
    """

    gpus: tuple[Gpu, ...]
    reason: str = ""
    agent: int = 0
    session: int = 0
    missing: str = ""


class Drain(Command[None]):
    """An agent is about to leave: it gets nothing new, and what it runs may end."""

    agent: int
    session: int


class Leave(Command[None]):
    """An agent has stopped all its work, and goes."""

    agent: int
    session: int
