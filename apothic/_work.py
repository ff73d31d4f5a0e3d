"""What blocks, as a ticket: done by the thread that waits, or beside the loop that awaits it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from typing import Any, TypeVar

from apothic._drive import step
from apothic_backends.interrupts import WINDOW
from apothic_backends.ticket import Ticket

T = TypeVar("T")


class _Work(Ticket[T]):
    """Something that is done when it is waited for."""

    __slots__ = ("_do",)

    def __init__(self, do: Callable[[], T]) -> None:
        super().__init__()
        self._do = do

    def _block(self, deadline: float | None) -> None:
        with WINDOW:
            self._run()

    def _suspend(self, deadline: float | None) -> Coroutine[Any, Any, None]:
        run = copy_context().run
        threading.Thread(target=run, args=(self._run,), name="apothic-work", daemon=True).start()
        return super()._suspend(deadline)

    def _run(self) -> None:
        try:
            self.complete(self._do())
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            self.fail(error)


def work(do: Callable[[], T]) -> Coroutine[Any, Any, T]:
    """Do something that blocks, inside a procedure."""
    return _stepped(_Work(do))


async def _stepped(ticket: Ticket[T]) -> T:
    return await step(ticket)
