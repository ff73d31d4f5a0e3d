"""Agents as people see them, and what goes wrong between them and their control plane."""

from __future__ import annotations

from apothic_backends.model.errors import BackendError, SetupFailed
from apothic_backends.model.record import Record


class GpuSnapshot(Record):
    """One device of an agent: who has it is `taken_by`, as `app/function`, nobody if empty.

    A slice of one (MIG) has a `parent`, the UUID of the whole. The memory of one that `is_unified`
    is the machine's own. Nobody gets one with a `trouble`, which is why.
    """

    uuid: str
    name: str
    memory_mb: int
    taken_by: str = ""
    parent: str = ""
    is_unified: bool = False
    trouble: str = ""


class AgentSnapshot(Record):
    """An agent at one moment: what it gives, and what of that executors have taken.

    `status` is "joined", "cut" (it is not heard of, and may come back) or "lost" (what it ran is
    not waited for any more).
    """

    name: str
    status: str
    cpu: float
    memory_mb: int
    cpu_taken: float
    memory_taken_mb: float
    executors: int
    gpus: tuple[GpuSnapshot, ...] = ()


class WorkerSnapshot(Record):
    """A process that runs a function, and the `jobs` that it has, the running ones first.

    `machine` is empty where it runs beside its control plane; `gpus` are the UUIDs of its devices.
    """

    number: int
    app_name: str
    function_name: str
    machine: str
    status: str
    gpus: tuple[str, ...] = ()
    jobs: tuple[str, ...] = ()


class Waiting(Record):
    """How many jobs of a function run, and how many wait; for what the first of them waits."""

    app_name: str
    function_name: str
    running: int
    waiting: int
    reason: str = ""


class Depth(Record):
    """How many messages of a queue can be got, now or later, and how many are being worked on."""

    queue: str
    ready: int
    claimed: int


class Overview(Record):
    """All that runs or waits at one moment: the first of each kind, and how many there are of all.

    `gpus` are devices of the control plane's own machine; those of others are in `agents`.
    """

    workers: tuple[WorkerSnapshot, ...]
    functions: tuple[Waiting, ...]
    queues: tuple[Depth, ...]
    agents: tuple[AgentSnapshot, ...]
    gpus: tuple[GpuSnapshot, ...]
    worker_count: int
    function_count: int
    queue_count: int


class PythonMismatch(SetupFailed):
    """The function was pickled under a Python of another series than that of any machine.

    `data["python"]` is its own, and `data["machines"]` has theirs. Nothing has run.
    """

    code = "python_mismatch"


class StaleSession(BackendError):
    """An agent or a client speaks over a connection that another one has followed."""

    code = "stale_session"


class AgentSuperseded(BackendError):
    """An agent was followed by another process of the same name: it has to stop its work."""

    code = "agent_superseded"


class MachineGivenUp(AgentSuperseded):
    """The machine that an agent is on was rented, and is not wanted any more: it has to go."""

    code = "machine_given_up"
