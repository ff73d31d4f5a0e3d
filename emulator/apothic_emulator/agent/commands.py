"""The command `apothic agent`."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
from collections.abc import Callable
from contextlib import suppress

import click

from apothic_backends.home import home
from apothic_backends.model.errors import UsageError
from apothic_emulator.core.hellos import Capacity

TOKEN = "APOTHIC_AGENT_TOKEN"  # noqa: S105 - where it is
_PATH = "/v1/agent"
_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}


@click.command()
@click.option("--url", required=True, help="Where the control plane is, say https://example.org.")
@click.option(
    "--token",
    envvar=TOKEN,
    default="",
    help=f"What opens it to agents. Others can see it in a command line: better set {TOKEN}.",
)
@click.option(
    "--name", default=None, help="Of this machine; by default its host name and a number."
)
@click.option("--cpu", type=click.FloatRange(min=0.1), default=None, help="Cores that it gives.")
@click.option("--memory-mb", type=click.IntRange(min=1), default=None, help="Memory that it gives.")
def agent(url: str, token: str, name: str | None, cpu: float | None, memory_mb: int | None) -> None:
    """Run functions on this machine for a control plane elsewhere, to which it connects.

    It goes on until it is stopped: with SIGTERM or Ctrl-C it ends all that it runs, and says so.
    """
    from apothic_emulator.agent.dialing import Dialer  # noqa: PLC0415 - heavy, as the next
    from apothic_emulator.agent.process import Station  # noqa: PLC0415

    os.environ.pop(TOKEN, None)  # it is no business of what runs here
    capacity = Capacity(cpu or len(os.sched_getaffinity(0)), memory_mb or _memory_mb())
    station = Station(Dialer(address_of(url), token), name or own_name(), capacity)
    with _stopping(station.leave):
        station.run()


class _stopping:  # noqa: N801 - used as a function
    """While it lasts, being asked to stop calls something instead."""

    def __init__(self, stop: Callable[[], None]) -> None:
        self._stop = stop

    def __enter__(self) -> None:
        numbers = (signal.SIGTERM, signal.SIGINT)
        self._before = {number: signal.signal(number, self._called) for number in numbers}

    def _called(self, number: int, frame: object) -> None:
        self._stop()

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)


def address_of(url: str) -> str:
    """Where agents join the control plane at that URL.

    Raises:
        UsageError: it is no URL of one.
    """
    scheme, _, rest = url.partition("://")
    if scheme not in _SCHEMES or not rest:
        raise UsageError(f"--url {url}: it must begin with https:// or http://")
    return f"{_SCHEMES[scheme]}://{rest.rstrip('/')}{_PATH}"


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
