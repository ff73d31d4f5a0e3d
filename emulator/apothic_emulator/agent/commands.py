"""The commands `apothic agent` and `apothic agent list`."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Any

import click

from apothic_backends.home import home
from apothic_backends.model.errors import InvalidOption
from apothic_backends.registry import FAR, HERE
from apothic_backends.remote.address import address_of
from apothic_emulator.agent import own
from apothic_emulator.agent.dead_man import NEVER, NO_CONTACT_S, Terms
from apothic_emulator.core.hellos import Capacity
from apothic_emulator.executors import linux

TOKEN = "APOTHIC_AGENT_TOKEN"  # noqa: S105 - where it is
IMAGE = "APOTHIC_MACHINE_IMAGE"
"""Has the digest of the recipe of which a rented machine was made, if it was of one."""
_PATH = "/v1/agent"


@click.group(invoke_without_command=True, short_help="Run functions here for a control plane.")
@click.option(
    "--url", envvar="APOTHIC_AGENT_URL", help="Where the control plane is, say https://example.org."
)
@click.option(
    "--name", default=None, help="Of this machine; by default its host name and a number."
)
@click.option("--cpu", type=click.FloatRange(min=0.1), default=None, help="Cores that it gives.")
@click.option("--memory-mb", type=click.IntRange(min=1), default=None, help="Memory that it gives.")
@click.option("--gpu", "gpus", metavar="UUID", multiple=True, help="Give this GPU, and no others.")
@click.option("--no-gpu", is_flag=True, help="Give no GPU.")
@click.option(
    "--grace",
    type=click.FloatRange(0, 86400),
    default=30.0,
    show_default=True,
    help="Seconds that running calls have to end when it is stopped.",
)
@click.option(
    "--cache-mb",
    type=click.IntRange(min=1),
    default=4096,
    show_default=True,
    help="Archives of code that it keeps; the ones not used for longest go first.",
)
@click.option(
    "--machine",
    metavar="TAG",
    envvar="APOTHIC_MACHINE",
    help="This machine was rented, under that tag, and goes with its agent.",
)
@click.option(
    "--max-lifetime-s",
    type=click.FloatRange(min=1),
    envvar="APOTHIC_MAX_LIFETIME_S",
    help="For how long a rented machine may live.",
)
@click.option(
    "--no-contact-s",
    type=click.FloatRange(min=1),
    envvar="APOTHIC_NO_CONTACT_S",
    default=NO_CONTACT_S,
    show_default=True,
    help="For how long a rented machine lives of which nobody wants to hear.",
)
@click.pass_context
def agent(ctx: click.Context, url: str | None, **given: Any) -> None:
    """Run functions on this machine for a control plane elsewhere, to which it connects.

    APOTHIC_AGENT_TOKEN has the key that it shows there, one of the scope agent. It goes on until it
    is stopped: with SIGTERM or Ctrl-C it takes nothing new, lets what runs end within the grace,
    and leaves. A second one ends all at once. It gives all cores, memory and GPUs of the machine,
    unless told to give less.

    A --machine was rented for it. The agent ends when the time is up that the machine may live, or
    when nobody has spoken to it for too long; then, or whenever else it ends, it has its provider
    destroy the machine, where that takes more than the end of this program.
    """
    if ctx.invoked_subcommand is not None:
        return
    if url is None:
        raise click.UsageError("Missing option '--url'.", ctx)
    linux.hide()  # the key is no business of what runs here
    machine: str | None = given.pop("machine")
    terms = Terms(given.pop("max_lifetime_s") or NEVER, given.pop("no_contact_s"))
    if not machine:
        _run(url, **given)
        return
    from apothic_emulator.agent.rented import going_with_it, watched  # seldom  # noqa: PLC0415

    given["name"] = given["name"] or machine
    with going_with_it(_tell) as leave:
        _run(url, tag=machine, watch=lambda it: watched(machine, it, terms, leave, _tell), **given)


def _run(
    url: str,
    *,
    name: str | None,
    grace: float,
    cache_mb: int,
    tag: str = "",
    watch: Callable[[Any], AbstractContextManager[object]] = nullcontext,
    **gives: Any,
) -> None:
    """Be an agent until it ends; meanwhile something may watch it."""
    from apothic_emulator.agent.dialing import Dialer  # noqa: PLC0415 - heavy, as the next
    from apothic_emulator.agent.process import Station  # noqa: PLC0415

    address = address_of(url)
    token = linux.take_env(TOKEN)
    os.environ[FAR] = tag or HERE  # workers find by it that volumes are the control plane's
    dialer = Dialer(address.websocket(_PATH), token, is_near=address.is_loopback)
    capacity = _capacity(**gives)
    name = name or own_name()
    station = Station(dialer, name, capacity, grace, cache_mb << 20, tag=tag, tell=_tell)
    if capacity.image:
        station.agent.environments.image = capacity.image
    with _stopping(station.stop), watch(station):
        station.run()


def _tell(line: str) -> None:
    click.echo(line, err=True)


@agent.command("list")
@click.option("--json", "as_json", is_flag=True, help="One line of JSON.")
def list_agents(*, as_json: bool) -> None:
    """List the agents of the control plane that APOTHIC_BACKEND names, and what is taken there."""
    from apothic_emulator.agent.listing import show  # noqa: PLC0415 - so that --help starts fast

    show(as_json=as_json)


def _capacity(
    cpu: float | None, memory_mb: int | None, gpus: tuple[str, ...], *, no_gpu: bool
) -> Capacity:
    """What this machine gives."""
    if no_gpu and gpus:
        raise InvalidOption("--gpu and --no-gpu exclude each other", option="--gpu")
    from apothic_backends.containers import engine  # noqa: PLC0415 - as above
    from apothic_emulator.agent.gpus import chosen, find  # noqa: PLC0415 - seldom

    found = () if no_gpu else find()[0]
    return Capacity(
        cpu or own.cores(),
        memory_mb or own.memory_mb(),
        chosen(found, gpus) if gpus else found,
        own.told(),
        docker=engine.is_there(),
        image=linux.take_env(IMAGE),
    )


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
