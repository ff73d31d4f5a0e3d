"""What an engine does: own a place, give back what it holds, and keep batches of changes.

    closed ──open──► owned ──commit, commit, …──► closed
                       │ somebody newer has opened it
                       └──► fenced: every commit is refused

An engine knows nothing of queues, jobs or leases: the core decides, and there is one writer. So no
engine's isolation can bend a rule. One thread at a time uses an engine, though not always the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

Change = tuple[str, bytes | None]
"""A key and the whole record that stands there from now on; None if there is none any more."""

Found = tuple[str, bytes]


LESS = (
    "it holds less than it did before: a log was lost, or it is a copy from before (which `apothic "
    "serve --restored` takes as it is)"
)


def way_out(place: str) -> str:
    """What to do about a store that is damaged: only the project's own are the commands'."""
    if "://" in place:
        return "Restore the database from a backup, or name another one"
    if Path(place).parts[-4:-2] == (".apothic", "state"):
        return (
            "Go back to a copy with `apothic state load`, or begin anew with `apothic state reset`"
        )
    return (
        "Put a copy of it back, or let APOTHIC_STATE name another place; to begin anew there, move "
        "away what is there, with the files beside it whose names begin alike"
    )


class Engine(Protocol):
    """A place that keeps records by key."""

    durability: str
    """What an acknowledged commit outlives: "process" (nothing), "disk" (a crash and a loss of
    power), "server" (whatever that server promises)."""

    @property
    def place(self) -> str:
        """Where the records are, for messages; never with a password in it."""
        ...

    def open(self) -> int:
        """Take ownership. Gives a fence, which is higher than that of every owner before.

        Raises:
            StoreLocked: another process owns it.
            StoreCorrupt: it is not to be used as it is.
            StoreError: it cannot be reached, or not be written.
        """
        ...

    def load(self) -> Iterable[Found]:
        """All records, in no particular order; read to the end before the first commit.

        Raises:
            StoreCorrupt: it cannot be read as a whole.
        """
        ...

    def commit(self, changes: Sequence[Change]) -> None:
        """Keep all of the changes or none of them; they are durable when this returns.

        Each key comes once. What went wrong has changed nothing, except where the message says so.

        Raises:
            StoreFull: there is no room left.
            StoreFenced: somebody newer owns it.
            StoreError: it cannot be reached, or not be written.
        """
        ...

    def close(self) -> None:
        """Give ownership back; idempotent."""
        ...
