"""What every backend does with functions that mount volumes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from apothic_backends.model.functions import MountSpec
from apothic_backends.volumes.files import Files
from apothic_backends.volumes.local import PORTABLE, Volumes
from tests.conformance.client import Client, value_of


@pytest.fixture(autouse=True)
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("APOTHIC_HOME", str(tmp_path / "home"))
    return str(tmp_path / "mounted")


def mounted(path: str, **options: Any) -> tuple[MountSpec, ...]:
    return (MountSpec("volume", "data", path, create=PORTABLE, **options),)


def write(path: str, text: str) -> None:
    Path(path).write_text(text)


def read(path: str) -> str:
    return Path(path).read_text()


def kept() -> dict[str, str]:
    files = Files(Volumes().open("data"))
    return {f.path: b"".join(files.read(f.path)).decode() for f in files.listdir("/")}


async def test_what_a_call_has_written_is_there_for_others(client: Client, path: str) -> None:
    one = await client.register(write, mounts=mounted(path))
    other = await client.register(read, mounts=mounted(path))
    for text in "ab":
        value_of(await client.run(one, f"{path}/x", text))
        assert value_of(await client.run(other, f"{path}/x")) == text

    assert kept() == {"x": "b"}


async def test_what_others_have_committed_is_seen_by_the_next_call(
    client: Client, path: str
) -> None:
    f = await client.register(read, mounts=mounted(path))
    files = Files(Volumes().open("data", create=PORTABLE))
    for text in "ab":
        source = Path(path).with_name("source")
        source.write_text(text)
        files.put_file(source, "x", force=True)
        assert value_of(await client.run(f, f"{path}/x")) == text


async def test_a_failed_call_leaves_nothing(client: Client, path: str) -> None:
    def fail(path: str) -> None:
        write(path, "after")
        raise ValueError("no")

    good = await client.register(write, mounts=mounted(path))
    bad = await client.register(fail, mounts=mounted(path))
    value_of(await client.run(good, f"{path}/x", "before"))
    outcome = await client.run(bad, f"{path}/x")

    assert outcome.error is not None
    assert outcome.error.type_name == "ValueError"
    assert kept() == {"x": "before"}


async def test_an_async_function_commits_what_it_has_written(client: Client, path: str) -> None:
    async def later(path: str) -> None:
        write(path, "later")

    f = await client.register(later, is_async=True, mounts=mounted(path))
    value_of(await client.run(f, f"{path}/x"))

    assert kept() == {"x": "later"}


async def test_a_volume_that_is_not_there_is_told_by_its_code(client: Client, path: str) -> None:
    f = await client.register(read, mounts=(MountSpec("volume", "missing", path),))
    outcome = await client.run(f, "x")

    assert outcome.error is not None
    assert outcome.error.code == "not_found"
    assert "apothic volume create missing" in outcome.error.message


async def test_a_path_that_is_no_folder_is_told_and_nothing_is_changed(
    client: Client, path: str
) -> None:
    write(path, "mine")
    f = await client.register(read, mounts=mounted(path))
    outcome = await client.run(f, "x")

    assert outcome.error is not None
    assert outcome.error.code == "mount_failed"
    assert read(path) == "mine"


async def test_writing_to_what_is_read_only_fails_the_call_and_is_not_kept(
    client: Client, path: str
) -> None:
    f = await client.register(write, mounts=mounted(path, read_only=True))
    outcome = await client.run(f, f"{path}/x", "1")

    assert outcome.error is not None
    assert kept() == {}


@pytest.mark.needs("paths")
async def test_nothing_is_left_at_the_path(client: Client, path: str) -> None:
    f = await client.register(write, mounts=mounted(path))
    value_of(await client.run(f, f"{path}/x", "1"))
    client.backend.close()

    assert not Path(path).exists()
    assert not Path(path).is_symlink()
