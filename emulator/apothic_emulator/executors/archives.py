"""What an executor does where the archive that it is to run in is not: it fetches it.

It asks over its own session, as its code will, so that an agent has nothing to do with it. Others
that want the same archive wait meanwhile.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from pathlib import Path
from typing import Any, BinaryIO

from apothic_backends import codec
from apothic_backends.commands.archives import GetArchive
from apothic_backends.commands.base import Command
from apothic_backends.model.errors import ApothicError, ArchiveRefused
from apothic_emulator.executors import wire
from apothic_emulator.executors.control import Control
from apothic_emulator.executors.wire import Frame


def fetch(control: Control, digest: str, archive: Path) -> None:
    """Have an archive at its place, from the control plane unless somebody was faster.

    Raises:
        ApothicError: the control plane has it no more, or something else.
        EOFError: the host hung up.
        OSError: the disk does not take it.
    """
    archive.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = archive.with_name(f".{digest}.part")
    with part.open("a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if archive.exists():
            return
        try:
            file.truncate(0)  # whoever began it has died
            _receive(control, digest, file)
        except BaseException:
            file.truncate(0)  # others may wait for it, so it stays
            raise
        part.rename(archive)


def _receive(control: Control, digest: str, file: BinaryIO) -> None:
    total, at = hashlib.sha256(), 0
    while piece := _ask(control, GetArchive(digest, at)).data:
        file.write(piece)
        total.update(piece)
        at += len(piece)
    file.flush()
    if total.hexdigest() != digest:
        raise ArchiveRefused(f"what came is not the archive {digest[:12]}")
    os.fsync(file.fileno())


class _Reply:
    """What is waited for."""

    def __init__(self) -> None:
        self.done = False
        self.frame: Frame | None = None

    def take(self, frame: Frame | None) -> None:
        self.frame = frame
        self.done = True


def _ask(control: Control, command: Command[Any]) -> Any:
    """The reply to a command, read by this very thread."""
    buffers: list[Any] = []
    reply = _Reply()
    control.request(0, codec.to_bytes(command, buffers), tuple(buffers), reply.take)
    control.lead(reply, None)
    if reply.frame is None:
        raise EOFError
    value = codec.from_bytes(reply.frame.body, reply.frame.buffers)
    if reply.frame.kind == wire.FAILURE and isinstance(value, ApothicError):
        raise value
    return value
