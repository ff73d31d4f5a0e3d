"""`apothic dev` from its start to its end."""

from __future__ import annotations

import os
from contextlib import closing

import anyio

from apothic_backends.model.record import Record
from apothic_backends.project import project
from apothic_emulator.dev.changes import Changes
from apothic_emulator.dev.files import Files
from apothic_emulator.dev.lines import KEYS, Lines
from apothic_emulator.dev.loop import Loop
from apothic_emulator.dev.settings import DevSettings, listen_at, settings_of
from apothic_emulator.dev.spares import Spares
from apothic_emulator.dev.standby import StandBy, stand_by
from apothic_emulator.dev.starts import Starts
from apothic_emulator.dev.watching import Watcher
from apothic_emulator.server.first import ACCOUNT
from apothic_emulator.server.process import serve
from apothic_emulator.server.site import Site

BACKEND = "APOTHIC_BACKEND"


class Wanted(Record):
    """What was asked for: a program, and how."""

    target: str
    port: int | None = None
    is_manual: bool = False
    has_keys: bool = False


def run(wanted: Wanted, lines: Lines) -> None:
    """Serve, and deploy what is saved, until a signal comes or a key is pressed.

    Raises:
        Busy: one runs in this project, or the port is taken.
        StoreError: the state is in use by another program, damaged, or cannot be reached.
        InvalidOption: what the project says cannot be meant.
    """
    settings = settings_of(project().resolve())
    listening = listen_at(settings, wanted.port)
    environment = {**os.environ}  # before the server forgets what is its own
    environment.pop("APOTHIC_API_KEY", None)

    async def beside(site: Site, url: str) -> None:
        lines.open(url, str(settings.root), f".apothic/state/{settings.namespace}")
        if listening.note:
            lines.note(listening.note)
        if wanted.has_keys:
            lines.note(KEYS)
        account = await site.accounts.get(ACCOUNT)
        async with anyio.create_task_group() as tasks:
            starts = Starts(account.backend, settings.root, lines, tasks)
            await _develop(wanted, settings, lines, starts, {**environment, BACKEND: url})
            tasks.cancel_scope.cancel()

    with closing(listening.socket):
        serve(settings, listening.socket, lambda _: None, beside)


async def _develop(
    wanted: Wanted,
    settings: DevSettings,
    lines: Lines,
    starts: Starts,
    environment: dict[str, str],
) -> None:
    """Deploy what is saved; interpreters that do so find the key to this server by its file."""

    async def begin() -> StandBy:
        return await stand_by(environment)

    root, spares = settings.root, Spares(begin)
    changes = Changes(Files(root), Watcher(root, settings.folder), spares)
    loop = Loop(wanted.target, root, spares, lines, is_paused=wanted.is_manual)
    await loop.run(changes, starts)
