"""How much one account may have at a time; what goes beyond is refused, or waits for room."""

from __future__ import annotations

from apothic_backends.model.record import Record


class Quotas(Record):
    """The most of each thing. Calls that find no room are `QueueFull`, the rest `OverLimit`.

    `bytes` counts three times, each for itself: the arguments of jobs that have not ended, the
    items of all queues, and the values of all dicts. Where there are none, one may be larger.
    """

    jobs: int = 1_000_000
    """Jobs that wait to run, of all functions together."""
    functions: int = 100_000
    """Functions that are registered, those of deployments included."""
    waits: int = 1_000_000
    """Replies that are owed: to watchers, to those who wait for items, locks, results and room."""
    queues: int = 100_000
    dicts: int = 100_000
    keys: int = 10_000_000
    """Keys of all dicts together."""
    bytes: int = 4 << 30


DEFAULT = Quotas()
