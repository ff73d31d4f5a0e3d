"""Claims: items of a queue that are somebody's for a while, and those that nobody could handle."""

from __future__ import annotations

from collections.abc import Coroutine
from functools import cached_property
from typing import Any, Generic, Literal, Protocol, TypeVar, cast, overload

from apothic._twins import twin
from apothic._values import flag, number, refuse
from apothic.blocks import Block
from apothic_backends.commands.base import Command
from apothic_backends.commands.queues import AckItems, BuryItem, RenewClaim, ReturnItem
from apothic_backends.model.queues import (
    LEASE_S,
    MOST_LEASE_S,
    DeadLetter as Letter,
    Delivery,
    Receipt,
    StaleClaim,
)

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

MOST_TEXT = 10_000
"""Characters of a reason or an error that are kept."""


class Claim(Block["Claim[T]"], Generic[T]):
    """An item that is yours for `lease_s` seconds: `value`, and how to say what became of it.

        with q.claim() as claim:
            deal_with(claim.value)

    acknowledges at the end of the block. If the block raises, the item goes back with the error,
    and after the queue's `max_deliveries` to the dead letters; what is no `Exception` (Ctrl-C, a
    cancelled task) gives it back as if it had not been given out. What is not settled when the
    lease ends can be claimed again by anybody. A claim can be pickled, and settled elsewhere.
    """

    def __init__(self, receipt: Receipt, data: bytes) -> None:
        self.receipt = receipt
        self._data = data
        self._is_settled = False

    @cached_property
    def value(self) -> T:
        """The item, rebuilt when it is first looked at.

        Raises:
            ItemNotLoadable: it cannot be rebuilt in this process.
        """
        from apothic._serialize import decode_item  # most only declare  # noqa: PLC0415

        value: T = decode_item(self._data, self.receipt.queue)
        return value

    @property
    def deliveries(self) -> int:
        """How many times the item has been given out, this time included."""
        return self.receipt.delivery

    @property
    def aio(self) -> ClaimAio[T]:
        """The same methods, to be awaited."""
        return ClaimAio(self)

    @twin
    async def ack(self) -> bool:
        """Say that the item is dealt with: it is gone. False if that was said before.

        Raises:
            StaleClaim: the lease is over, or the claim was settled in another way.
        """
        return bool(await self._settle(AckItems((self.receipt,))))

    @twin
    async def renew(self, lease_s: float = LEASE_S) -> None:
        """Keep it for `lease_s` seconds from now, at most 12 hours.

        Raises:
            StaleClaim: it is not yours any more.
        """
        await _ask(renewing(self.receipt, lease_s))

    @twin
    async def release(self, delay_s: float = 0.0, *, uncharged: bool = False) -> None:
        """Give it back, to be had again in its old place, `delay_s` seconds from now.

        The delivery counts, unless it is `uncharged`.

        Raises:
            StaleClaim: it is not yours any more.
        """
        await self._settle(releasing(self.receipt, delay_s, uncharged=uncharged))

    @twin
    async def retry(self, delay_s: float = 0.0, *, error: object = "") -> None:
        """Give it back because it failed; `error` is told with it when it is dead.

        Raises:
            StaleClaim: it is not yours any more.
        """
        await self._settle(retrying(self.receipt, delay_s, error))

    @twin
    async def dead_letter(self, reason: str = "", *, error: object = "") -> None:
        """Put it among the dead letters, with a reason.

        Raises:
            StaleClaim: it is not yours any more.
        """
        await self._settle(burying(self.receipt, reason, error))

    async def _settle(self, command: Command[Any]) -> Any:
        reply = await _ask(command)
        self._is_settled = True
        return reply

    async def _begin(self) -> Claim[T]:
        return self

    async def _end(self, error: BaseException | None) -> None:
        """Acknowledge, or give it back with what the block has raised."""
        if self._is_settled:
            return
        self._is_settled = True
        if error is None:
            await _ask(AckItems((self.receipt,)))
        elif isinstance(error, Exception):
            try:
                await _ask(ReturnItem(self.receipt, error=shown(error)))
            except StaleClaim:
                pass  # the error says more
        else:
            from apothic._connect import ask_soon  # noqa: PLC0415 - as above

            ask_soon(ReturnItem(self.receipt, uncharged=True))

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel with the item; whoever has it may settle it."""
        return (Claim, (self.receipt, self._data))

    def __repr__(self) -> str:
        """Which message of which queue, not what is in it."""
        receipt = self.receipt
        return f"<Claim of message {receipt.message} of {receipt.queue!r}, no. {receipt.delivery}>"


class ClaimAio(Generic[T]):
    """The methods of a claim, to be awaited on asyncio or trio."""

    def __init__(self, claim: Claim[T]) -> None:
        self.ack = claim.ack.aio
        self.renew = claim.renew.aio
        self.release = claim.release.aio
        self.retry = claim.retry.aio
        self.dead_letter = claim.dead_letter.aio


class DeadLetter(Generic[T]):
    """An item that nobody could deal with: `value`, why, and how often it was tried.

    Times are Unix seconds. `deliveries` are the latest twenty, each with `claimed_at`, `ended_at`,
    `how` ("released", "retried", "lapsed" or "buried") and `error`.
    """

    def __init__(self, letter: Letter, data: bytes, queue: str) -> None:
        self._data = data
        self._queue = queue
        self.message: int = letter.message
        self.partition: str = letter.partition
        self.reason: str = letter.reason
        self.error: str = letter.error
        self.put_at: float = letter.put_at
        self.died_at: float = letter.died_at
        self.deliveries: tuple[Delivery, ...] = letter.deliveries

    @cached_property
    def value(self) -> T:
        """The item, rebuilt when it is first looked at.

        Raises:
            ItemNotLoadable: it cannot be rebuilt in this process.
        """
        from apothic._serialize import decode_item  # as above  # noqa: PLC0415

        value: T = decode_item(self._data, self._queue)
        return value

    def __repr__(self) -> str:
        """Which message, and why."""
        return f"<DeadLetter {self.message} of {self._queue!r}: {self.reason}>"


class Get(Protocol[T_co]):
    """`queue.get` and `queue.claim`: what they give depends on whether they wait."""

    @overload
    def __call__(
        self, *, block: Literal[True] = True, timeout_s: float | None = None, **how: Any
    ) -> T_co: ...
    @overload
    def __call__(
        self, *, block: bool, timeout_s: float | None = None, **how: Any
    ) -> T_co | None: ...
    @overload
    def aio(
        self, *, block: Literal[True] = True, timeout_s: float | None = None, **how: Any
    ) -> Coroutine[Any, Any, T_co]: ...
    @overload
    def aio(
        self, *, block: bool, timeout_s: float | None = None, **how: Any
    ) -> Coroutine[Any, Any, T_co | None]: ...


class Claims(Generic[T]):
    """What a queue has to do with claims of its items, or with their receipts, and dead letters."""

    _link: Any

    async def _claim(
        self,
        *,
        block: bool = True,
        timeout_s: float | None = None,
        lease_s: float = LEASE_S,
        partition: str | None = None,
    ) -> Claim[T] | None:
        """Be lent the first item for `lease_s` seconds, up to 12 hours; see `Claim`.

        With `block=False` an empty queue gives None. Of one queue 100,000 items can be claimed at
        a time.

        Raises:
            Empty: no item came in time.
            OverLimit: too many are claimed.
        """
        found: list[Claim[T]] = await self._link.claim(1, block, timeout_s, partition, lease_s)
        return found[0] if found else None

    claim: Get[Claim[T]] = cast("Get[Claim[T]]", twin(_claim))

    @twin
    async def claim_many(
        self,
        n: int,
        *,
        block: bool = True,
        timeout_s: float | None = None,
        lease_s: float = LEASE_S,
        partition: str | None = None,
    ) -> list[Claim[T]]:
        """Be lent up to `n` items, at least one; as `claim`."""
        found: list[Claim[T]] = await self._link.claim(n, block, timeout_s, partition, lease_s)
        return found

    @twin
    async def ack(self, claim: Claim[Any] | Receipt) -> bool:
        """Say that an item is dealt with; as `Claim.ack`."""
        return bool(await _ask(AckItems((receipt_of(claim),))))

    @twin
    async def renew(self, claim: Claim[Any] | Receipt, lease_s: float = LEASE_S) -> None:
        """Keep an item for `lease_s` seconds from now; as `Claim.renew`."""
        await _ask(renewing(receipt_of(claim), lease_s))

    @twin
    async def release(
        self, claim: Claim[Any] | Receipt, delay_s: float = 0.0, *, uncharged: bool = False
    ) -> None:
        """Give an item back; as `Claim.release`."""
        await _ask(releasing(receipt_of(claim), delay_s, uncharged=uncharged))

    @twin
    async def retry(
        self, claim: Claim[Any] | Receipt, delay_s: float = 0.0, *, error: object = ""
    ) -> None:
        """Give an item back because it failed; as `Claim.retry`."""
        await _ask(retrying(receipt_of(claim), delay_s, error))

    @twin
    async def dead_letter(
        self, claim: Claim[Any] | Receipt, reason: str = "", *, error: object = ""
    ) -> None:
        """Put an item among the dead letters; as `Claim.dead_letter`."""
        await _ask(burying(receipt_of(claim), reason, error))

    @twin
    async def dead_letters(self, n: int = 100) -> list[DeadLetter[T]]:
        """Look at the oldest `n` dead letters: what they are, and why they died."""
        found: list[DeadLetter[T]] = await self._link.dead_letters(n)
        return found


async def _ask(command: Command[Any]) -> Any:
    from apothic._connect import ask  # most only declare  # noqa: PLC0415

    return await ask(command)


def renewing(receipt: Receipt, lease_s: object) -> RenewClaim:
    """Ask for a claim to hold longer."""
    return RenewClaim(receipt, lease(lease_s))


def releasing(receipt: Receipt, delay_s: object, *, uncharged: object) -> ReturnItem:
    """Ask for an item to go back."""
    return ReturnItem(receipt, delay(delay_s), flag("uncharged", uncharged))


def retrying(receipt: Receipt, delay_s: object, error: object) -> ReturnItem:
    """Ask for an item to go back that has failed."""
    return ReturnItem(receipt, delay(delay_s), error=shown(error))


def burying(receipt: Receipt, reason: object, error: object) -> BuryItem:
    """Ask for an item to be a dead letter."""
    return BuryItem(receipt, _text("reason", reason), shown(error))


def lease(lease_s: object) -> float:
    """Check how long a claim is to hold."""
    return number("lease_s", lease_s, 0.001, MOST_LEASE_S)


def delay(delay_s: object) -> float:
    """Check how much later something can be had."""
    return number("delay_s", delay_s, 0, MOST_LEASE_S)


def _text(what: str, text: object) -> str:
    """Check a text, and cut what is too long to be kept."""
    if not isinstance(text, str):
        refuse(what, text, "a string")
    return text[:MOST_TEXT]


def shown(error: object) -> str:
    """An error as it is kept: an exception by its type and message."""
    if isinstance(error, BaseException):
        return _text("error", f"{type(error).__name__}: {error}")
    return _text("error", error)


def receipt_of(claim: object) -> Receipt:
    """The receipt of a claim, or itself."""
    if isinstance(claim, Claim):
        return claim.receipt
    if not isinstance(claim, Receipt):
        refuse("receipt", claim, "a claim, or its receipt")
    return claim
