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
