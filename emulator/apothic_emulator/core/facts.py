"""What goes into the core: what clients ask, and what the world reports."""

from __future__ import annotations

from apothic_backends.commands import Command
from apothic_backends.model.jobs import ErrorInfo
from apothic_backends.model.payloads import Payload
from apothic_backends.model.record import Record


class Origin(Record):
    """The job, and the executor it runs in, whose code asks for something."""

    executor: int
    job: int


class Asked(Record):
    """A client's command; the reply goes to `token`, which the core only passes on.

    What is asked again under the same `operation` is not done again: see `core/operations.py`.
    Whoever asks again and is `unheard` has got no reply before, for certain.
    """

    command: Command[object]
    token: object
    origin: Origin | None = None
    operation: str | None = None
    unheard: bool = False


class GivenUp(Record):
    """Nobody waits for `token` any more; `reply` is the one that has reached nobody, if any.

    `died` says that whoever waited is no more, so that jobs go with it that were its own.
    """

    token: object
    reply: object = None
    died: bool = False


class Prepared(Record):
    """What the image of an executor's function says is there: it begins to load the function."""

    executor: int


class Loaded(Record):
    """An executor has loaded its function and takes jobs.

    `disk` says by what its `disk_gb` is kept, where that depends on where it runs: see `LEVELS`.
    """

    executor: int
    disk: str = ""


class LoadFailed(Record):
    """An executor could not load its function; it ends by itself."""

    executor: int
    error: ErrorInfo


class Accepted(Record):
    """An agent has a job, and awaits the word to begin it: with `Go` it has begun."""

    executor: int
    job: int
    attempt: int


class Reported(Record):
    """An executor finished a job: `result`, or `error`.

    `retire` says that the call left something behind (a thread, a child process), so that the
    executor must not be used again. `ran_s` is how long the attempt took, where an agent has seen
    that.
    """

    executor: int
    job: int
    attempt: int
    result: Payload | None
    error: ErrorInfo | None = None
    retire: bool = False
    ran_s: float | None = None


class Said(Record):
    """A service's process says that it "rests", is "crowded", or cannot begin.

    That is "taken": those of versions before have what it needs.
    """

    executor: int
    word: str


class Produced(Record):
    """A generator has yielded: `count` items after the first `after` of this attempt."""

    executor: int
    job: int
    attempt: int
    after: int
    count: int
    items: Payload


class Printed(Record):
    """Text from an executor: of `job`, or of the first in its line when `job` is 0."""

    executor: int
    job: int
    stream: str
    text: str


class Recalled(Record):
    """Jobs taken back from an executor's line before it had received them."""

    executor: int
    jobs: tuple[int, ...]


class Refused(Record):
    """Jobs that were not sent to an executor, since it must take no more: it is out of date."""

    executor: int
    jobs: tuple[int, ...]


class StackDumped(Record):
    """The Python stack of an executor that is being stopped."""

    executor: int
    stack: str


class Excess(Record):
    """Proof that processes used more memory than they may: the most that was seen, and by whom."""

    limit_mb: int
    peak_mb: int
    evidence: str


class Ended(Record):
    """An executor's process, and everything it had started, is gone.

    `unstarted` are the jobs that it certainly never received. `reason` is "exit", "signal",
    "protocol" (it broke its channel), "start" (it never ran) or "oom" (`excess` proves it).
    """

    executor: int
    reason: str
    unstarted: tuple[int, ...] = ()
    signal: int | None = None
    exit_code: int | None = None
    detail: str = ""
    excess: Excess | None = None


class Tick(Record):
    """Nothing but time has passed."""


Fact = (
    Prepared
    | Loaded
    | LoadFailed
    | Accepted
    | Reported
    | Said
    | Produced
    | Printed
    | Recalled
    | Refused
    | StackDumped
    | Ended
)
Input = Asked | GivenUp | Fact | Tick
