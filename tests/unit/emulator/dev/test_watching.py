"""Real files are watched; where the system says nothing of them they are looked at."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from apothic_emulator.dev import watching
from apothic_emulator.dev.looking import Looking
from apothic_emulator.dev.watching import Notify, Watcher, notify


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Mute:
    """Stands for a mount where the system tells of nothing."""

    def __init__(self) -> None:
        self.is_closed = False

    def watch(self, debounce_ms: int, step_ms: int, timeout_ms: int, stop_event: Any) -> str:
        return "timeout"

    def close(self) -> None:
        self.is_closed = True


def watcher(root: Path, **how: Any) -> Watcher:
    (root / "own").mkdir()
    found = Watcher(root, root / "own", **how)
    found.watch(["."])
    return found


async def until(watcher: Watcher, path: Path) -> None:
    """Wait until a change of that file is told."""
    while str(path) not in (await watcher.next() or ()):
        pass


async def test_the_system_tells_of_what_is_written(tmp_path: Path) -> None:
    watched = watcher(tmp_path)

    assert await watched.try_out()
    (tmp_path / "app.py").write_text("x = 1\n")
    await until(watched, tmp_path / "app.py")


async def test_where_it_does_not_files_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "TRY_MS", 8)
    mute = Mute()

    def begin(folders: Iterable[str], *, is_polling: bool) -> Notify:
        return notify(folders, is_polling=True) if is_polling else mute

    watched = watcher(tmp_path, begin=begin)

    assert not await watched.try_out()
    assert mute.is_closed
    (tmp_path / "app.py").write_text("x = 1\n")
    await until(watched, tmp_path / "app.py")


async def test_whoever_wants_it_has_files_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHFILES_FORCE_POLLING", "1")
    watched = watcher(tmp_path)

    assert await watched.try_out()
    assert watched.is_polling
    (tmp_path / "app.py").write_text("x = 1\n")
    await until(watched, tmp_path / "app.py")


async def test_nobody_knows_what_was_written_while_folders_were_changed(tmp_path: Path) -> None:
    watched = watcher(tmp_path)
    await watched.try_out()
    (tmp_path / "pkg").mkdir()
    watched.watch([".", "pkg"])

    while await watched.next() is not None:
        pass
    (tmp_path / "pkg" / "page.py").write_text("x = 1\n")
    await until(watched, tmp_path / "pkg" / "page.py")


async def test_it_is_waited_for_as_long_as_somebody_says(tmp_path: Path) -> None:
    watched = watcher(tmp_path)
    await watched.next()

    assert await watched.next(1) == set()


def test_a_file_that_is_saved_twice_at_once_is_seen_twice_by_looking(tmp_path: Path) -> None:
    """Some that look compare times by the second."""
    path = tmp_path / "app.py"
    looking = Looking([str(tmp_path)])
    for text in ("1", "2", "3"):
        path.write_text(text)
        assert looking.watch(0, 0, 0, Event()) == {(0, str(path))}


def test_looking_ends_when_it_is_to(tmp_path: Path) -> None:
    is_over = Event()
    is_over.set()

    assert Looking([str(tmp_path)]).watch(0, 0, 0, is_over) == "stop"
