"""Classes that run elsewhere: their methods, and the instances of them."""

from __future__ import annotations

from typing import Final

from apothic_backends.model.errors import JobError, NotFound, UsageError
from apothic_backends.model.record import Record

LIVE: Final = "live"
"""Its process runs, or starts with the next call."""
DEAD: Final = "dead"
"""Its process was lost, and with it its state; nothing starts it but `restart()`."""


class MethodSpec(Record):
    """A method that can be called from afar; one that `is_generator` gives items and no result."""

    name: str
    is_generator: bool = False


class ClassSpec(Record):
    """How the instances of a class live.

    A process of one ends when it has had nothing to do for `keep_warm_s`; where that is None, one
    of an instance with a name never does, and others do as those of functions. One with a name is
    made again after its process was lost, without its state, `max_restarts` times; -1 is always.
    `parameters` are those of its constructor, each with what stands for its default value (see
    `OpenInstance.key`) if it has one. `enter` and `exit` name its hooks, in order. `instance` is
    the id of the one that a function serves, `name` its name, and `base` the number of the class
    that it is made of; without it, it is the class. Those of one that `is_sandbox` are never made
    again: each ends with its process, and `lifetime_s` after that began at the latest.
    """

    methods: tuple[MethodSpec, ...]
    parameters: tuple[tuple[str, str | None], ...] = ()
    enter: tuple[str, ...] = ()
    exit: tuple[str, ...] = ()
    keep_warm_s: float | None = None
    max_restarts: int = 0
    instance: str = ""
    name: str | None = None
    base: int = 0
    is_sandbox: bool = False
    lifetime_s: float | None = None


class InstanceSnapshot(Record):
    """An instance at one moment. Without a `name` it is one of those that share its arguments.

    `key` stands for the arguments of its constructor. `restarts` counts how often its process was
    lost; of one that is "dead", `error` says how, the last time, and `reason` in a word:
    "lost", "expired" or "idle". It ends by itself at `expires_at`.
    """

    instance_id: str
    app_name: str
    class_name: str
    name: str | None
    key: str
    status: str
    created_at: float
    processes: int = 0
    queued: int = 0
    running: int = 0
    restarts: int = 0
    error: str = ""
    tags: tuple[tuple[str, str], ...] = ()
    is_sandbox: bool = False
    expires_at: float | None = None
    reason: str = ""


class InstanceDead(JobError):
    """The process of a named instance was lost, and its state with it; nothing has run.

    `restart()` makes it again with the arguments that it had; `max_restarts` does so by itself. A
    sandbox is never made again. `data`: `instance_id`, `name`.
    """

    code = "instance_dead"


class InstanceGone(NotFound):
    """The instance was stopped, or its class is not deployed any more. `data`: `instance_id`."""

    code = "instance_gone"


class InstanceConflict(UsageError):
    """There is an instance of that name, made with other arguments; it was left as it is.

    Take another name, the same arguments, none at all (which gives the one that is there), or stop
    it first. `data`: `instance_id`, `name`.
    """

    code = "instance_conflict"
