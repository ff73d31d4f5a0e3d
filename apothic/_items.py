"""What reads the items of one call of a generator: procedures, for `_drive`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from apothic._connect import is_open
from apothic._drive import deadline_after, step
from apothic._serialize import decode_items, decode_outcome
from apothic_backends.base import Backend
from apothic_backends.commands import CancelJob, ReadItems, ReleaseJob
from apothic_backends.model.errors import WaitTimeout
from apothic_backends.model.jobs import ItemBatch, JobOutcome
from apothic_backends.model.payloads import Payload
from apothic_backends.ticket import Ticket


class Opener(Protocol):
    """The function that is called."""

    async def open(self, payload: Payload, deadline: float | None) -> tuple[Backend, str]:
        """Queue the call: where, and the job's id."""
        ...

    def expired(self, timeout_s: float | None, job_ids: list[str]) -> WaitTimeout:
        """What to raise when an item does not come in time."""
        ...


class ItemsLink:
    """One call of a generator, from its first item to its end."""

    def __init__(self, opener: Opener, payload: Payload, timeout_s: float | None) -> None:
        self.job_id: str | None = None
        self._opener = opener
        self._payload = payload
        self._timeout_s = timeout_s
        self._backend: Backend | None = None
        self._asked: Ticket[ItemBatch] | None = None
        self._position = 0
        self._outcome: JobOutcome | None = None
        self._is_over = False
        self._runs_on = False
        """Whether its caller was told that the job runs on."""

    async def more(self) -> Iterator[Any] | None:
        """The next items, at least one; None after the last. Raises what the generator raised."""
        if self._outcome is not None:
            self._is_over = True
            outcome, self._outcome = self._outcome, None
            decode_outcome(outcome)
        if self._is_over:
            return None
        try:
            batch = await self._ask(deadline_after(self._timeout_s))
        except WaitTimeout:
            self._runs_on = True
            job_ids = [self.job_id] if self.job_id is not None else []
            raise self._opener.expired(self._timeout_s, job_ids) from None
        except BaseException:
            self.close()
            raise
        self._runs_on = False
        self._outcome = batch.outcome
        if batch.items is None:
            return await self.more()
        self._position += batch.count
        return decode_items(self.job_id or "", batch)

    async def _ask(self, deadline: float | None) -> ItemBatch:
        if self._backend is None:
            self._backend, self.job_id = await self._opener.open(self._payload, deadline)
        if self._asked is None:
            self._asked = self._backend.start(ReadItems(self.job_id or "", self._position))
        batch = await step(self._asked, deadline)
        self._asked = None
        return batch

    def close(self) -> None:
        """Take no more: the generator is closed where it runs."""
        if not self._is_over:
            self._let_go(is_wanted=False)

    def forget(self) -> None:
        """Nobody holds it any more: close it, unless its caller was told that it runs on."""
        if not self._is_over:
            self._let_go(is_wanted=self._runs_on)

    def _let_go(self, *, is_wanted: bool) -> None:
        self._is_over = True
        backend, job_id = self._backend, self.job_id
        if self._asked is not None:
            self._asked.cancel()
        if backend is None or job_id is None or not is_open(backend):
            return  # nothing was started, or a fork of this process is not the one to end it
        if self._outcome is None:
            close_items(backend, job_id, is_wanted=is_wanted)
        self._outcome = None


def close_items(backend: Backend, job_id: str, *, is_wanted: bool = False) -> None:
    """Read no more of a generator, and cancel it unless it is wanted for what it does."""
    backend.start(ReleaseJob(job_id))
    if not is_wanted:
        backend.start(CancelJob(job_id))
