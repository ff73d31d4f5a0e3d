"""A machine that executors run on, as the core knows it: what it has, and what is left of that."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from apothic_backends.model.functions import FunctionSpec
from apothic_emulator.core.executors import Executor
from apothic_emulator.core.hellos import Capacity, Gpu
from apothic_emulator.core.jobs import NEVER
from apothic_emulator.core.journal import Kept
from apothic_emulator.core.placement import exceeds, lacks, may_join, pick
from apothic_emulator.core.records import pack, unpack

Holders = Mapping[str, Sequence[Executor]]
"""Who has each device, by its UUID."""


class Agent(Kept):
    """A machine as the core knows it."""

    __slots__ = (
        "capacity",
        "channel",
        "cleared_for",
        "executors",
        "forget_at",
        "incarnation",
        "is_draining",
        "is_given_up",
        "is_heard",
        "is_joined",
        "latest",
        "lease_until",
        "limits",
        "name",
        "number",
        "past",
        "platform",
        "python",
        "session",
        "tag",
        "volume",
    )

    def __init__(self, number: int, name: str, incarnation: str, capacity: Capacity) -> None:
        self.number, self.name, self.incarnation = number, name, incarnation
        self.capacity = capacity
        self.past: tuple[str, ...] = ()
        """Incarnations before this one."""
        self.python = self.platform = ""
        """The series of its Python, and its system and hardware."""
        self.session = 0
        """The number of the connection that counts."""
        self.channel = ""
        self.executors: dict[int, Executor] = {}
        self.latest = 0
        """The number of the last one that was put here."""
        self.limits: Capacity | None = None
        """Of this program: what its machine has, if what needs more may be elsewhere."""
        self.tag = ""
        """That of the machine, if it is rented."""
        self.volume = ""
        """Which of the volumes that lie on one host it has mounted, if it is rented."""
        self.is_joined = self.is_draining = False
        """Whether it is connected; and whether it is about to leave."""
        self.is_heard = False
        """Whether it has said, since it joined, what it had to say before."""
        self.cleared_for: FunctionSpec | None = None
        """That of the function which alone may get a place here: see `clearing.py`."""
        self.is_given_up = False
        """Whether its lease has ended."""
        self.lease_until = self.forget_at = NEVER

    def pack(self) -> bytes:
        """Who it is; all else it says itself."""
        return pack((self.name, self.incarnation, self.past, self.python, self.platform))

    def loads(self, spec: FunctionSpec) -> bool:
        """Whether its Python can load the code of a function; an unknown one is believed to.

        So is that of an image, which is looked at where that is made.
        """
        is_of_image = spec.image is not None
        return is_of_image or not spec.python or self.python in ("", spec.python)

    def takes(self, spec: FunctionSpec) -> bool:
        """Whether it may get another executor of a function, if it has room."""
        is_there = self.is_joined and not self.is_draining
        return is_there and self.loads(spec) and not self.lacks(spec)

    def lacks(self, spec: FunctionSpec) -> list[str]:
        """Why it does not meet the conditions of a function.

        Of this one only the GPUs have to, unless there are others for what needs more than it has.
        """
        if self.number:
            name = spec.local_volume if self.tag and spec.mounts else ""
            others = [] if name in ("", self.volume) else [f"it has no volume {name}"]
            return [*lacks(spec, self.capacity), *others]
        return [] if self.limits is None else exceeds(spec, self.limits)

    def free(self, level: int) -> tuple[float, float]:
        """The cores and MB that are free for a job of that level."""
        cpu, memory_mb = self.capacity.cpu, float(self.capacity.memory_mb)
        for executor in self.executors.values():
            if not executor.is_lent(level):
                spec = executor.function.spec
                cpu -= cores(spec)
                memory_mb -= spec.memory_mb
        return cpu, memory_mb

    def fits(self, spec: FunctionSpec, level: int, without: Iterable[Executor] = ()) -> bool:
        """Whether an executor of a function has room here, once some are gone."""
        if self.cleared_for not in (None, spec) and not level:
            return False
        cpu, memory_mb = self.free(level)
        for executor in without:
            cpu += cores(executor.function.spec)
            memory_mb += executor.function.spec.memory_mb
        return cores(spec) <= cpu and spec.memory_mb <= memory_mb

    def could_ever(self, spec: FunctionSpec) -> bool:
        """Whether it has what a function needs, if nothing else ran here."""
        capacity = self.capacity
        has_room = cores(spec) <= capacity.cpu and spec.memory_mb <= capacity.memory_mb
        return (
            has_room
            and self.loads(spec)
            and not self.lacks(spec)
            and (not spec.gpu_count or pick(spec, capacity.gpus) is not None)
        )


def open_gpus(agent: Agent, spec: FunctionSpec, held: Holders) -> list[Gpu]:
    """The devices there that an executor of a function may have, where those are held."""
    return [
        gpu
        for gpu in agent.capacity.gpus
        if may_join(spec, gpu, [one.function.spec for one in held.get(gpu.uuid, ())])
    ]


def cores(spec: FunctionSpec) -> float:
    """How many cores an executor of a function takes."""
    return spec.cpu or 1


def agent_of(number: int, record: bytes) -> Agent:
    """The agent that was packed."""
    (name, incarnation, past, python, platform), _ = unpack(record)
    agent = Agent(number, name, incarnation, Capacity(0, 0))
    agent.past = tuple(past)
    agent.python, agent.platform = python, platform
    return agent
