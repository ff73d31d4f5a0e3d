"""An agent on a machine that was rented for it: when one of them ends, the other one does."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from apothic_backends.home import home
from apothic_backends.model.errors import UsageError
from apothic_backends.private import read_private, write_private
from apothic_backends.providers.leaving import leave, lodging
from apothic_emulator.agent.dead_man import DeadMan, Terms
from apothic_emulator.agent.process import Station
from apothic_emulator.executors import linux

Tell = Callable[[str], object]


@contextmanager
def going_with_it(tell: Tell) -> Generator[Callable[[], None]]:
    """However the block ends, the machine is asked to be destroyed, where that can be asked for.

    It gives what asks for it in the middle of the block. The key for that is no business of what
    runs here, and gone from the environment.
    """
    own = lodging(linux.take_env)

    def go() -> None:
        if own is not None:
            leave(own, threading.Event().wait, tell)

    try:
        yield go
    finally:
        go()


def watched(
    tag: str, station: Station, terms: Terms, go: Callable[[], None], tell: Tell
) -> DeadMan:
    """What ends an agent that is too old, or that nobody has spoken to for too long."""

    def give_up() -> None:
        tell("this agent does not end by itself")
        go()
        os._exit(1)  # what runs here is watched by its zygote, and ends with us

    return DeadMan(
        *(terms, station, give_up),
        now=time.monotonic,
        grace_s=station.grace_s,
        age_s=age_s(tag, home() / "agents", time.time()),
        tell=tell,
    )


def age_s(tag: str, folder: Path, now: float) -> float:
    """How long the machine with that tag has lived, as a file of its disk says, at a Unix time.

    It is made where the machine has none of its own. A disk that takes no file makes no machine
    older, or younger, than this process.
    """
    path = folder / "born"
    with suppress(OSError, UsageError, ValueError):
        whose, _, at = (read_private(path, "when this machine began") or "").partition(" ")
        if whose == tag:
            return max(0.0, now - float(at))
    with suppress(OSError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(path, f"{tag} {now}")
    return 0.0
