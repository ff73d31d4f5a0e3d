"""What counts as saved: over real files, and a watcher that says what the test says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from apothic_emulator.dev.changes import HALF_MS, Changes
from apothic_emulator.dev.files import Files


class Told:
    """Stands for the watcher: each time it is asked, something is done, and paths are told."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.steps: list[Callable[[], Any]] = []
        self.patience: list[int] = []
        self.folders: set[str] = set()

    def watch(self, folders: Any) -> None:
        self.folders = set(folders)

    async def try_out(self) -> bool:
        return True

    async def next(self, timeout_ms: int = 0) -> set[str] | None:
        self.patience.append(timeout_ms)
        paths = self.steps.pop(0)()
        return None if paths is None else {str(self.root / path) for path in paths}


class Listing:
    """Stands for the interpreter that says what ships."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.asked = 0

    async def listed(self) -> list[str]:
        self.asked += 1
        return [path.relative_to(self.root).as_posix() for path in self.root.rglob("*.py")]


class Scene:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.told, self.listing = Told(root), Listing(root)
        watcher: Any = self.told
        spares: Any = self.listing
        self.changes = Changes(Files(root), watcher, spares)

    def write(self, text: str, path: str = "app.py") -> Callable[[], list[str]]:
        def step() -> list[str]:
            (self.root / path).parent.mkdir(exist_ok=True)
            (self.root / path).write_text(text)
            return [path]

        return step

    def then(self, *steps: Callable[[], Any]) -> None:
        self.told.steps.extend(steps)


@pytest.fixture
async def scene(tmp_path: Path) -> Scene:
    (tmp_path / "app.py").write_text("x = 1\n")
    scene = Scene(tmp_path)
    await scene.changes.begin()
    scene.listing.asked = 0
    return scene


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_a_file_that_was_saved_is_told_at_once(scene: Scene) -> None:
    scene.then(scene.write("x = 2\n"))

    assert await scene.changes.next() == {"app.py"}
    assert scene.listing.asked == 0


async def test_a_file_with_the_same_in_it_is_not(scene: Scene) -> None:
    scene.then(scene.write("x = 1\n"))

    assert await scene.changes.next() == set()


async def test_half_a_file_is_waited_for(scene: Scene) -> None:
    scene.then(scene.write("x = ("), scene.write("x = (2)\n"))

    assert await scene.changes.next() == {"app.py"}
    assert 0 < scene.told.patience[-1] <= HALF_MS
    assert (scene.root / "app.py").read_text() == "x = (2)\n"


async def test_it_is_not_waited_for_longer_than_that(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apothic_emulator.dev.changes.HALF_MS", 0)
    scene.then(scene.write("x = ("))

    assert await scene.changes.next() == {"app.py"}


async def test_a_new_file_that_ships_is_a_change(scene: Scene) -> None:
    scene.then(scene.write("y = 1\n", "new.py"))

    assert await scene.changes.next() == {"new.py"}


async def test_a_new_file_that_does_not_ship_is_asked_about_once(scene: Scene) -> None:
    scene.then(scene.write("1", "data.log"), scene.write("2", "data.log"))

    assert await scene.changes.next() == set()
    assert await scene.changes.next() == set()
    assert scene.listing.asked == 1


async def test_the_folder_of_a_new_file_is_watched(scene: Scene) -> None:
    scene.then(scene.write("y = 1\n", "pkg/new.py"))
    await scene.changes.next()

    assert scene.told.folders == {".", "pkg"}


async def test_an_empty_folder_that_was_made_is_watched(scene: Scene) -> None:
    def make() -> list[str]:
        (scene.root / "pkg").mkdir()
        return ["pkg"]

    scene.then(make)

    assert await scene.changes.next() == set()
    assert scene.told.folders == {".", "pkg"}


async def test_all_files_are_looked_at_when_nobody_knows_which_were_written(scene: Scene) -> None:
    def write_both() -> None:
        scene.write("x = 2\n")()
        scene.write("y = 1\n", "new.py")()

    scene.then(write_both)

    assert await scene.changes.next() == {"app.py", "new.py"}
