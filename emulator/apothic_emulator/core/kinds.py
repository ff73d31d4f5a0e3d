"""What a function needs: the kind of its pool, and of its executors."""

from __future__ import annotations

from collections.abc import Callable

from apothic_backends.model.errors import UsageError
from apothic_emulator.core.batches import BatchExecutor, BatchPool
from apothic_emulator.core.executors import LOAD_S, Executor
from apothic_emulator.core.functions import Function
from apothic_emulator.core.jobs import NEVER
from apothic_emulator.core.pools import Pool


class ServicePool(Pool):
    """The executors of a service; it has no queue."""

    @property
    def has_room(self) -> bool:
        """No call can be queued.

        Raises:
            UsageError: always.
        """
        name = self.function.spec.name
        raise UsageError(
            f"{name!r} is a service: it takes requests at its URL (get_web_url()), and no calls"
        )


class ServiceExecutor(Executor):
    """A process that takes requests, from a socket of its own, and no jobs."""

    serves = True

    def __init__(self, number: int, function: Function, now: float) -> None:
        super().__init__(number, function, now)
        service = function.spec.service
        assert service is not None, "a service"
        self.retire_s = service.grace_s + GRACE_S

    @property
    def load_s(self) -> float:
        """What it gets until it is ready."""
        service = self.function.spec.service
        assert service is not None, "a service"
        return service.start_timeout_s or LOAD_S


EXIT_S = 10.0
"""What the exit hooks of an instance get."""


class ClassPool(Pool):
    """A class; calls are for its instances."""

    @property
    def has_room(self) -> bool:
        """No call can be queued.

        Raises:
            UsageError: always.
        """
        name = self.function.spec.name
        raise UsageError(f"{name!r} is a class: open an instance of it, and call a method of that")


class Holding(Executor):
    """A process that holds an object, whose methods are called. None is stopped with its process.

    So a call that is cancelled, or takes too long, is interrupted; the process is stopped only if
    it goes on nevertheless.
    """

    __slots__ = ()
    retire_s = EXIT_S

    @property
    def takes_one(self) -> bool:
        """No: a call is asked to end, before it is stopped with the process."""
        return False

    @property
    def is_spared(self) -> bool:
        """Whether it has a state that somebody may come back to."""
        cls = self.function.spec.cls
        return cls is not None and cls.name is not None

    @property
    def keep_s(self) -> float | None:
        """How long it goes on without work: for ever, if it has a name and nobody says else."""
        cls = self.function.spec.cls
        keep_s = None if cls is None else cls.keep_warm_s
        return NEVER if keep_s is None and self.is_spared else keep_s


class BatchHolding(Holding, BatchExecutor):
    """The same of a class whose method takes its inputs in batches."""

    __slots__ = ()


GRACE_S = 5.0
"""What a process gets beyond its grace, to tell its application that it ends."""


def pool_of(function: Function) -> Pool:
    """An empty pool of the kind that the function needs."""
    if function.spec.service is not None:
        return ServicePool(function)
    cls = function.spec.cls
    if cls is not None and not cls.instance:
        return ClassPool(function)
    return Pool(function) if function.spec.batch is None else BatchPool(function)


def executor_of(function: Function) -> Callable[[int, Function, float], Executor]:
    """What makes the executors of a function."""
    if function.spec.service is not None:
        return ServiceExecutor
    if function.spec.cls is not None:
        return Holding if function.spec.batch is None else BatchHolding
    return Executor if function.spec.batch is None else BatchExecutor
