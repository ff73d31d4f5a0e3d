"""What is compared: a module each, `with_<name>.py`, that offers `open_subject(workers)`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec
from typing import Any, Protocol

NEEDS = {
    "apothic": ("apothic", "apothic_emulator.local"),
    "ppe": (),
    "loky": ("loky",),
    "ray": ("ray",),
    "durable": ("apothic", "apothic_emulator.local"),
    "redis": ("redis",),
    "sqlite": (),
    "objects": ("apothic", "apothic_emulator.local"),
    "actors": ("ray",),
    "sandboxes": ("apothic", "apothic_emulator.local"),
    "images": ("apothic", "apothic_emulator.local"),
    "subprocess": (),
    "containers": ("apothic", "apothic_emulator.local", "docker"),
    "docker": ("docker",),
    "handover": ("apothic", "apothic_emulator.local"),
    "loopback": ("redis",),
    "manager": (),
    "served": ("apothic", "apothic_emulator.local", "uvicorn"),
    "agents": ("apothic", "apothic_emulator.local", "uvicorn"),
    "joined": ("apothic", "apothic_emulator.local", "uvicorn", "websockets"),
    "dask": ("distributed",),
    "services": ("apothic", "apothic_emulator.local", "fastapi", "pandas", "uvicorn", "websockets"),
    "gateway": ("apothic", "apothic_emulator.local", "uvicorn", "uvloop", "websockets"),
    "uvicorn": ("apothic", "fastapi", "pandas", "uvicorn", "uvloop", "httptools"),
}
"""Every subject, and the modules without which it is skipped."""


class Subject(Protocol):
    """One way to run a function in another process."""

    def call(self) -> None:
        """Run the no-op there and wait for it."""

    async def call_async(self) -> None:
        """Run the no-op there and await it on asyncio."""

    def map(self, count: int) -> None:
        """Run that many no-ops, each its own job, and collect the results."""

    def watch(self, count: int) -> Callable[[], tuple[int, int]]:
        """Follow what happens to the next `count` jobs; what it gives counts events.

        That is: those that are missing, and those that came. Some subjects have no events.
        """
        ...

    def crowd(self, watchers: int, events: int) -> tuple[float, int, int]:
        """Have watchers each see so many events: seconds, holes and resets. Only apothic."""
        ...

    def items(self, count: int) -> Iterator[int]:
        """The items of `work.count`, as they come; only of those who have generators."""
        ...

    def send(self, array: Any) -> float:
        """Send an array there, where it is summed and written to."""
        ...

    def fetch(self, nbytes: int, value: float) -> Any:
        """Get an array back from there."""
        ...

    def hang_once(self, pid_file: str) -> Callable[[], int]:
        """Start `work.hang_once`; the function given waits for the result, retrying as need be."""
        ...

    def naps(self, deaths: list[bool]) -> int:
        """Run `work.nap_or_die` for each; how many of those that should not die gave no result."""
        ...

    def queue(self, payloads: Iterable[bytes]) -> list[Any]:
        """Start a job that holds the only worker, queue one more for each, keep all handles."""
        ...

    def trial(self) -> tuple[float, float, float]:
        """Open a fresh runtime, call the no-op there, close it; seconds for each. Only apothic."""
        ...

    def day(self, timers: int) -> float:
        """Let a day of virtual time pass with so many runs of the no-op. Only apothic."""
        ...

    def close(self) -> None:
        """Stop what was started."""


def missing(name: str) -> str | None:
    """The module that a subject lacks, None when it can run."""
    for module in NEEDS[name]:
        try:
            found = find_spec(module)
        except ModuleNotFoundError:
            found = None
        if found is None:
            return module
    return None
