"""What the tests of volumes share."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from apothic_backends import codec
from apothic_backends.ticket import Ticket
from apothic_backends.volumes import disk
from apothic_backends.volumes.far import FarStore, FarVolumes
from apothic_backends.volumes.files import Files
from apothic_backends.volumes.local import Volumes
from apothic_backends.volumes.store import Store
from apothic_backends.volumes.views import View
from apothic_emulator.agent.desk import Desk


def put(files: Files, path: str, text: str, *, force: bool = True) -> None:
    files.put_file(io.BytesIO(text.encode()), path, force=force)


def read(files: Files, path: str) -> str:
    return b"".join(files.read(path)).decode()


def contents(store: Store) -> dict[str, str]:
    """Every file of the newest version."""
    files = Files(store)
    return {
        file.path: read(files, file.path)
        for file in files.listdir("/", recursive=True)
        if file.kind == "file"
    }


def copied(store: Store) -> View:
    """A view that is a copy: an overlay needs a mount."""
    return View(store, is_copy=True)


def in_fork(act: Callable[[], object]) -> int:
    """Do something in a process of its own; its exit status."""
    pid = os.fork()
    if not pid:
        status = 99
        try:
            act()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


KILLED = 17


def killed_at(step: int, act: Callable[[], object]) -> bool:
    """Do something in a process that is killed just before that step; whether it came so far."""

    def run() -> None:
        left = step

        def count(_: str) -> None:
            nonlocal left
            if left == 0:
                os._exit(KILLED)
            left -= 1

        disk.before = count
        act()

    status = in_fork(run)
    assert status in (0, KILLED), status
    return status == KILLED


def write(folder: Path, path: str, text: str) -> None:
    """Write a file of a view as a function would."""
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)


class Machine:
    """Another machine than the one of the volumes, with a home of its own; all travels as bytes."""

    def __init__(self, volumes: Volumes, home: Path, *, keeps: bool = True) -> None:
        self.desk = Desk()
        self.desk.volumes = volumes
        self.asked: list[Any] = []
        self.before: Callable[[Any], object] = bool
        """Called with each command before it is answered."""
        home.mkdir()
        self.folder = home
        self.volumes = FarVolumes(self.start, home, keeps=keeps)

    def start(self, command: Any) -> Ticket[Any]:
        """Ask."""
        self.asked.append(command)
        self.before(command)
        buffers: list[Any] = []
        text = codec.to_bytes(command, buffers)
        ticket = _Answered()
        self.desk.answer(codec.from_bytes(text, buffers), ticket)
        return ticket

    def kinds(self) -> list[str]:
        """What was asked since this was asked last."""
        asked, self.asked = self.asked, []
        return [type(command).__name__ for command in asked]

    def open(self, name: str = "data", create: str | None = None) -> FarStore:
        found = self.volumes.open(name, create=create)
        assert isinstance(found, FarStore)
        return found

    def view(self, **options: Any) -> View:
        """A copy of the volume, as a worker there has it."""
        return View(self.open(), is_copy=True, **options)


class _Answered(Ticket[Any]):
    def complete(self, value: Any) -> bool:
        buffers: list[Any] = []
        text = codec.to_bytes(value, buffers)
        return super().complete(codec.from_bytes(text, buffers))

    def fail(self, error: BaseException) -> bool:
        return super().fail(codec.from_bytes(codec.to_bytes(error, []), []))
