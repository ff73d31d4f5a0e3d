"""The command `apothic agent`."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress

import click

from apothic_backends.home import home
from apothic_backends.remote.address import address_of
from apothic_emulator.core.hellos import Capacity

TOKEN = "APOTHIC_AGENT_TOKEN"  # noqa: S105 - where it is
_PATH = "/v1/agent"


@click.command()
@click.option("--url", required=True, help="Where the control plane is, say https://example.org.")
@click.option(
    "--name", default=None, help="Of this machine; by default its host name and a number."
)
@click.option("--cpu", type=click.FloatRange(min=0.1), default=None, help="Cores that it gives.")
@click.option("--memory-mb", type=click.IntRange(min=1), default=None, help="Memory that it gives.")
def agent(url: str, name: str | None, cpu: float | None, memory_mb: int | None) -> None:
    """Run functions on this machine for a control plane elsewhere, to which it connects.

    APOTHIC_AGENT_TOKEN has the key that it shows there, one of the scope agent. It goes on until it
    is stopped: with SIGTERM or Ctrl-C it ends all that it runs, and says so.
    """
    from apothic_emulator.agent.dialing import Dialer  # noqa: PLC0415 - heavy, as the next
    from apothic_emulator.agent.process import Station  # noqa: PLC0415

    address = address_of(url)
    token = os.environ.pop(TOKEN, "")  # it is no business of what runs here
    capacity = Capacity(cpu or len(os.sched_getaffinity(0)), memory_mb or _memory_mb())
    station = Station(Dialer(address.websocket(_PATH), token), name or own_name(), capacity)
    with _stopping(station.leave):
        station.run()


@contextmanager
def _stopping(stop: Callable[[], None]) -> Generator[None]:
    """While it lasts, being asked to stop calls something instead."""

    def stopping(_number: int, _frame: object) -> None:
        stop()

    numbers = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, stopping) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


_locks: list[int] = []
"""Files whose locks this process holds for as long as it lives."""


def own_name() -> str:
    """The host name, and the first number that no other agent of this machine's user has."""
    folder = home() / "agents"
    folder.mkdir(mode=0o700, exist_ok=True)
    number = 1
    while True:
        lock = os.open(folder / f"{number}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        with suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _locks.append(lock)
            return f"{socket.gethostname()}-{number}"
        os.close(lock)
        number += 1


def _memory_mb() -> int:
    return (os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")) >> 20
