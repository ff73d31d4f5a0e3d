"""What a function needs: the kind of its pool, and of its executors."""

from __future__ import annotations

from collections.abc import Callable

from apothic_backends.model.errors import UsageError
from apothic_emulator.core.batches import BatchExecutor, BatchPool
from apothic_emulator.core.executors import LOAD_S, Executor
from apothic_emulator.core.functions import Function
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
        self.step_at = now + (service.start_timeout_s or LOAD_S)


GRACE_S = 5.0
"""What a process gets beyond its grace, to tell its application that it ends."""


def pool_of(function: Function) -> Pool:
    """An empty pool of the kind that the function needs."""
    if function.spec.service is not None:
        return ServicePool(function)
    return Pool(function) if function.spec.batch is None else BatchPool(function)


def executor_of(function: Function) -> Callable[[int, Function, float], Executor]:
    """What makes the executors of a function."""
    if function.spec.service is not None:
        return ServiceExecutor
    return Executor if function.spec.batch is None else BatchExecutor
