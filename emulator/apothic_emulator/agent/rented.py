"""An agent on a machine that was rented for it: when one of them ends, the other one does."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

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


def watched(station: Station, terms: Terms, go: Callable[[], None], tell: Tell) -> DeadMan:
    """What ends an agent that is too old, or that nobody has spoken to for too long."""

    def give_up() -> None:
        tell("this agent does not end by itself")
        go()
        os._exit(1)  # what runs here is watched by its zygote, and ends with us

    return DeadMan(terms, station, give_up, now=time.monotonic, grace_s=station.grace_s, tell=tell)
