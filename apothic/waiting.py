"""How long to wait at a queue, what to raise when that was in vain, and what can be asked of it."""

from __future__ import annotations

import queue
from typing import Any

from apothic._values import flag, number, refuse, seconds, whole
from apothic_backends.commands.queues import OpenQueue
from apothic_backends.model.errors import BackendError, QueueFull
from apothic_backends.model.queues import (
    MAX_ITEMS,
    MOST_AT_ONCE,
    MOST_KEY,
    MOST_LEASE_S,
    check_name,
)


class Empty(BackendError, queue.Empty):
    """No item came within `timeout_s`. It is a `queue.Empty`, too."""

    code = "empty"


class Full(QueueFull, queue.Full):
    """There was no room within `timeout_s`. It is a `queue.Full`, too."""

    code = "full"


PLAIN: dict[str, Any] = {}
"""How items are put where nothing is said."""


def patience(block: object, timeout_s: object) -> float | None:
    """How long to wait, as commands say it: 0 not at all, None for ever."""
    if block is True and timeout_s is None:
        return None
    wait_s = seconds("timeout_s", timeout_s)
    return wait_s if flag("block", block) else 0.0


def at_once(n: object) -> int:
    """Check a number of items."""
    return whole("n", n, 1, MOST_AT_ONCE)


def none_or_empty(name: str, block: object) -> None:
    """What to do when there is no item.

    Raises:
        Empty: the caller has waited for one.
    """
    if block:
        raise Empty(f"no item came in time from the queue {name!r}", queue=name)


def options(
    timeout_s: float | None,
    partition: object,
    ttl_s: object,
    delay_s: object,
    *,
    key: object,
    fence: int | None,
) -> dict[str, Any]:
    """Check how items are to be put: what is said beside the defaults."""
    if partition is not None:
        check_name("partition", partition)
    if ttl_s is not None:
        number("ttl_s", ttl_s, 0.001)
    if key is not None and not (isinstance(key, str) and 0 < len(key) <= MOST_KEY):
        refuse("key", key, f"a string of 1 to {MOST_KEY} characters")
    if not (partition or timeout_s is not None or ttl_s or delay_s != 0 or key or fence):
        return PLAIN
    return {
        "partition": partition or "",
        "timeout_s": timeout_s,
        "ttl_s": ttl_s,
        "delay_s": number("delay_s", delay_s, 0, MOST_LEASE_S),
        "key": key,
        "fence": fence,
    }


def opened(name: str, max_items: object, max_deliveries: object) -> OpenQueue:
    """Check the limits of a queue that is to be made."""
    return OpenQueue(
        name,
        whole("max_items", max_items, 1, MAX_ITEMS),
        whole("max_deliveries", max_deliveries, 1, 1000),
    )
