"""The file API, blocking and awaited."""

from __future__ import annotations

import io
import pickle
from pathlib import Path

import pytest

from apothic import BlockingCall, NotFound, UsageError, Volume


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("APOTHIC_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def data() -> Volume:
    volume = Volume.from_name("data", create_if_missing=True)
    volume.put_file(io.BytesIO(b"hello"), "/d/x")
    return volume


def test_nothing_is_looked_up_before_the_first_use(home: Path) -> None:
    volume = Volume.from_name("missing")

    assert not home.exists()
    with pytest.raises(NotFound, match="apothic volume create missing"):
        volume.listdir()


def test_files_are_put_looked_at_and_read(data: Volume, tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s/y").write_text("y")
    data.put_directory(tmp_path / "s", "/s")
    out = io.BytesIO()

    assert [file.path for file in data.listdir()] == ["d", "s"]
    assert [file.path for file in data.iterdir(recursive=True)] == ["d", "d/x", "s", "s/y"]
    assert b"".join(data.read_file("d/x")) == b"hello"
    assert data.read_file_into_fileobj("s/y", out) == 1
    assert out.getvalue() == b"y"
    assert data.stat("d/x").size == 5
    assert data.rev() == 2


def test_files_are_copied_renamed_and_removed(data: Volume) -> None:
    data.copy_files(["d/x"], "y")
    data.rename("y", "z")
    data.remove_file("d", recursive=True)

    assert data.exists("z")
    assert not data.exists("d")


def test_a_batch_is_there_when_its_block_ends(data: Volume) -> None:
    with data.batch_upload() as batch:
        batch.put_file(io.BytesIO(b"1"), "a")
        batch.put_file(io.BytesIO(b"2"), "b")
        assert not data.exists("a")
    with pytest.raises(FileExistsError), data.batch_upload() as batch:
        batch.put_file(io.BytesIO(b"3"), "a")

    assert b"".join(data.read_file("a")) == b"1"
    with data.batch_upload(force=True) as batch:
        batch.put_file(io.BytesIO(b"3"), "a")
    assert b"".join(data.read_file("a")) == b"3"


def test_an_ephemeral_volume_is_gone_after_its_block() -> None:
    with Volume.ephemeral(mount_path_default="/x") as volume:
        volume.put_file(io.BytesIO(b"1"), "a")
        assert volume.exists("a")
        assert volume.mount_path_default == "/x"

    with pytest.raises(NotFound):
        volume.listdir()


def test_a_deleted_volume_is_gone(data: Volume) -> None:
    data.delete()

    with pytest.raises(NotFound):
        Volume.from_name("data").rev()


@pytest.mark.parametrize("verb", ["commit", "reload"])
def test_commit_and_reload_belong_into_a_function_that_mounts_it(data: Volume, verb: str) -> None:
    with pytest.raises(UsageError, match=f"{verb}\\(\\) belongs into a function that mounts"):
        getattr(data, verb)()


def test_a_handle_travels_by_name_and_options(data: Volume) -> None:
    again = pickle.loads(pickle.dumps(data))

    assert again.listdir() == data.listdir()


async def test_everything_can_be_awaited(anyio_backend: str, data: Volume) -> None:
    await data.put_file.aio(io.BytesIO(b"1"), "a")
    await data.aio.copy_files(["a"], "b")
    async with data.batch_upload() as batch:
        await batch.put_file.aio(io.BytesIO(b"c"), "c")
    async with Volume.ephemeral() as other:
        assert await other.aio.listdir() == []

    assert [piece async for piece in data.read_file("c")] == [b"c"]
    assert [file.path async for file in data.aio.iterdir()] == ["a", "b", "c", "d"]
    with pytest.raises(FileNotFoundError):
        await data.aio.stat("no")
    with pytest.raises(BlockingCall, match="aio"):
        data.listdir()
    with pytest.raises(BlockingCall, match="async for"):
        next(data.read_file("a"))
