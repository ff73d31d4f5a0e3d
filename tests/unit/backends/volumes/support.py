"""What the tests of volumes share."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path

from apothic_backends.volumes import disk
from apothic_backends.volumes.files import Files
from apothic_backends.volumes.store import Store
from apothic_backends.volumes.views import View


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
