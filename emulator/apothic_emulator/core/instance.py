"""One instance of a class, as it is held and as it is written down."""

from __future__ import annotations

from typing import Any

from apothic_backends.model.functions import FunctionSpec
from apothic_backends.model.instances import (
    DEAD,
    LIVE,
    InstanceDead,
    InstanceSnapshot,
)
from apothic_backends.model.payloads import Payload
from apothic_emulator.core.far import Held
from apothic_emulator.core.functions import Function
from apothic_emulator.core.journal import Kept
from apothic_emulator.core.pools import Pool
from apothic_emulator.core.records import pack, payload_of, payload_parts, unpack
from apothic_emulator.core.versions import jobs_of

LOST, EXPIRED, IDLE = "lost", "expired", "idle"
"""Why one is dead."""

_AGAIN = (
    "restart() makes it again with the arguments that it had, and max_restarts does so by itself"
)

CODE = "instance"
"""The codec of what loads to an instance: see `code_of`."""


class Instance(Kept):
    """One of them; times are Unix seconds."""

    __slots__ = (
        *("app", "arguments", "began_at", "created_at", "dead", "held", "home", "is_sandbox"),
        *("key", "kind", "lifetime_s", "name", "number", "pool", "reason", "restarts", "tags"),
    )

    def __init__(self, number: int, home: str, spec: FunctionSpec, created_at: float) -> None:
        self.number = number
        self.home = home
        """Its class, as those call it who have opened it: by id, or as `app/class`."""
        self.app, self.kind = spec.app_name, spec.name
        self.name: str | None = None
        self.key = ""
        self.arguments = Payload(b"")
        self.created_at = created_at
        self.began_at: float | None = None
        """Since when its process is there, if it was ever: what it waits for that does not count
        among `lifetime_s`."""
        self.pool: Pool | None = None
        """Its calls and its processes; None until it is called under the class as it is now."""
        self.held: Held | None = None
        """If it has a name, the process with its state, if there is one."""
        self.restarts = 0
        self.dead = ""
        """How its process was lost, if that was once too often; or why it has ended."""
        self.reason = LOST
        """Why it is dead."""
        self.tags: tuple[tuple[str, str], ...] = ()
        cls = spec.cls
        self.is_sandbox = cls is not None and cls.is_sandbox
        self.lifetime_s = None if cls is None else cls.lifetime_s

    @property
    def instance_id(self) -> str:
        """The id that users see."""
        return f"instances:{self.number}"

    @property
    def identity(self) -> tuple[str, str, str]:
        """What tells it from others: its name in its class; else class and arguments."""
        if self.name is None:
            return self.home, "", self.key
        return self.app, self.kind, self.name

    @property
    def shown(self) -> str:
        """What messages call it."""
        return self.kind if self.name is None else f"{self.kind} {self.name!r}"

    @property
    def about(self) -> dict[str, Any]:
        """What events say of it."""
        return {
            "instance_id": self.instance_id,
            "app": self.app,
            "class": self.kind,
            "name": self.name,
        }

    def death(self) -> InstanceDead:
        """What its callers are told once it is dead."""
        way_out = "make another one" if self.is_sandbox else _AGAIN
        return InstanceDead(
            f"{self.shown} is dead: {self.dead}. Its state is lost; {way_out}",
            instance_id=self.instance_id,
            name=self.name,
        )

    def is_lost_too_often(self, spec: FunctionSpec) -> bool:
        """Whether it is not to be made again."""
        assert spec.cls is not None, "an instance has a class"
        return self.is_sandbox or 0 <= spec.cls.max_restarts < self.restarts

    @property
    def expires_at(self) -> float | None:
        """When it ends by itself, if it does; put off while a call waits for its process."""
        since = self.created_at if self.began_at is None else self.began_at
        return None if self.lifetime_s is None else since + self.lifetime_s

    @property
    def is_awaited(self) -> bool:
        """Whether it has had no process yet, and calls wait for that."""
        return self.began_at is None and self.pool is not None and any(jobs_of(self.pool))

    def snapshot(self) -> InstanceSnapshot:
        """What its users see."""
        pool = self.pool
        executors = [] if pool is None else [*pool.executors.values()]
        running = sum(len(executor.running) for executor in executors)
        return InstanceSnapshot(
            instance_id=self.instance_id,
            app_name=self.app,
            class_name=self.kind,
            name=self.name,
            key=self.key,
            status=DEAD if self.dead else LIVE,
            created_at=self.created_at,
            processes=len(executors),
            queued=0 if pool is None else len(jobs_of(pool)) - running,
            running=running,
            restarts=self.restarts,
            error=self.dead,
            tags=self.tags,
            is_sandbox=self.is_sandbox,
            expires_at=self.expires_at,
            reason=self.reason if self.dead else "",
        )

    # --- as a record ----------------------------------------------------------------------------

    def pack(self) -> bytes:
        """All of it but the function of its pool, which has a record of its own."""
        tag, arguments = payload_parts(self.arguments)
        function = None if self.pool is None else self.pool.function.number
        who = (self.home, self.app, self.kind, self.name, self.key, self.created_at)
        state = (function, self.held, self.restarts, self.dead)
        state = (*state, self.reason, self.tags, self.is_sandbox, self.lifetime_s, self.began_at)
        return pack((*who, *state, tag), *arguments)

    @classmethod
    def load(cls, number: int, record: bytes) -> tuple[Instance, int | None]:
        """What `pack` gave; and the number of the function of its pool, if it had one."""
        (home, app, kind, name, key, created_at, *state, tag), blobs = unpack(record)
        it = cls(number, home, FunctionSpec(app, kind), created_at)
        it.name, it.key = name, key
        function, held, it.restarts, it.dead, *more = state
        if more:  # an older one has none
            it.reason, tags, it.is_sandbox, it.lifetime_s, *began = more
            it.began_at = began[0] if began else created_at
            it.tags = tuple((name, value) for name, value in tags)
        it.held = held and (held[0], held[1], tuple(held[2]))
        it.arguments = payload_of(tag, blobs) or it.arguments
        return it, function


def base_of(pool: Pool) -> int:
    """The number of the class that an instance's pool is made of."""
    cls = pool.function.spec.cls
    return 0 if cls is None else cls.base


def spec_of(it: Instance, base: Function) -> FunctionSpec:
    """How an instance's own function runs: one with a name has one process, and no other."""
    spec, cls = base.spec, base.spec.cls
    assert cls is not None, "an instance has a class"
    own = cls.replace(instance=it.instance_id, name=it.name, base=base.number)
    most = spec.max_containers if it.name is None else 1
    found: FunctionSpec = spec.replace(cls=own, max_containers=most)
    return found


def code_of(it: Instance, base: Function) -> Payload:
    """What loads to an instance: its class, and the arguments of its constructor.

    The data says how many buffers belong to the arguments, which come first, and how the class is
    encoded, which is the rest.
    """
    arguments = (it.arguments.data, *it.arguments.buffers)
    head = f"{len(arguments)} {base.code.codec}".encode()
    return Payload(head, (*arguments, base.code.data, *base.code.buffers), CODE)


class LastNumber(Kept):
    """The number that was given last, as a record."""

    def __init__(self) -> None:
        self.number = 0

    def next(self) -> int:
        """One that was never given before."""
        self.number += 1
        return self.number

    def pack(self) -> bytes:
        """As a record."""
        return b"%d" % self.number
