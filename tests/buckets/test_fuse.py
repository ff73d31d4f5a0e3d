"""Buckets that are mounted: what is fetched, what errors say, and that nothing is left."""

from __future__ import annotations

import errno
import os
import select
import signal
from pathlib import Path

import pytest

from apothic import BucketFailed, WorkerLost
from apothic_backends.buckets.bucket import PART_BYTES
from apothic_backends.vault import Vault
from tests.buckets.conftest import S3, bucket, declare

pytestmark = pytest.mark.parametrize("backend", ["fuse"], indirect=True)
MIB = 1 << 20


@pytest.fixture
def mounted(backend: str, path: str, vault: Vault, s3: S3) -> str:
    return path


def around(path: str) -> tuple[int, int]:
    """The process that asks, and the one that serves its bucket."""
    pid = os.getpid()
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
    return pid, int(children[0])


def test_it_is_a_mount_of_the_worker_alone(mounted: str, s3: S3) -> None:
    f = declare(lambda: Path("/proc/self/mounts").read_text(), bucket(s3).mounted_at(mounted))
    line = f"apothic:{s3.name} {mounted} fuse.apothic "

    assert line in f.remote()
    assert line not in Path("/proc/self/mounts").read_text()


def test_nothing_is_fetched_that_nobody_reads(mounted: str, s3: S3) -> None:
    s3.put("a", b"x" * 100)
    f = declare(lambda: (Path(mounted) / "a").stat().st_size, bucket(s3).mounted_at(mounted))

    assert f.remote() == 100
    assert s3.asked("GET", "a") == []


def test_of_a_large_file_only_what_is_read_is_fetched(mounted: str, s3: S3) -> None:
    s3.put("large", os.urandom(MIB) * 64)

    def look() -> int:
        with (Path(mounted) / "large").open("rb", buffering=0) as file:
            file.seek(40 * MIB)
            return len(file.read(1000))

    assert declare(look, bucket(s3).mounted_at(mounted)).remote() == 1000
    parts = s3.asked("GET", "large")
    assert len(parts) <= 2
    for part in parts:
        start, end = map(int, (part or "").removeprefix("bytes=").split("-"))
        assert 39 * MIB <= start <= end <= 42 * MIB


def test_a_file_that_is_read_on_and_on_takes_few_requests(mounted: str, s3: S3) -> None:
    data = os.urandom(MIB) * 64
    s3.put("large", data)
    f = declare((Path(mounted) / "large").read_bytes, bucket(s3).mounted_at(mounted))

    assert f.remote() == data
    assert len(s3.asked("GET", "large")) <= 20


def test_the_worker_takes_the_next_call_too(mounted: str, s3: S3) -> None:
    f = declare(around, bucket(s3).mounted_at(mounted))

    assert f.remote(mounted) == f.remote(mounted)


def test_what_others_write_is_seen_by_the_same_worker(mounted: str, s3: S3) -> None:
    def look() -> tuple[int, bool]:
        return os.getpid(), (Path(mounted) / "new").exists()

    f = declare(look, bucket(s3).mounted_at(mounted))
    pid, before = f.remote()
    s3.put("new")
    while not (now := f.remote())[1]:
        pass

    assert (before, now) == (False, (pid, True))


def test_a_file_that_changes_while_it_is_read_is_not_mixed(mounted: str, s3: S3) -> None:
    s3.put("a", b"1" * 20 * MIB)
    s3.put("go")

    def look() -> int | None:
        with (Path(mounted) / "a").open("rb", buffering=0) as file:
            file.read(10)
            (Path(mounted) / "go").unlink()
            while not (Path(mounted) / "gone").exists():
                pass
            file.seek(10 * MIB)
            try:
                file.read(10)
            except OSError as error:
                return error.errno
        return None

    job = declare(look, bucket(s3).mounted_at(mounted)).spawn()
    while s3.keys() == ["a", "go"]:
        pass
    s3.put("a", b"2" * 20 * MIB)
    s3.put("gone")

    assert job.wait() == errno.ESTALE


def write(path: str) -> int | None:
    """What closing a file said."""
    file = (Path(path) / "a").open("wb")
    file.write(b"data")
    try:
        file.close()
    except OSError as error:
        return error.errno
    return None


def test_what_cannot_be_uploaded_is_told_when_the_file_is_closed(mounted: str, s3: S3) -> None:
    f = declare(write, bucket(s3).mounted_at(mounted))
    f.remote(mounted)
    s3.drop()

    with pytest.raises(BucketFailed, match=r"'a' is not in the bucket: .*no such bucket"):
        assert f.remote(mounted) == errno.ENOENT


def test_an_error_of_the_operating_system_says_what_it_was(mounted: str, s3: S3) -> None:
    f = declare(lambda: (Path(mounted) / "a").write_bytes(b"x"), bucket(s3).mounted_at(mounted))
    f.remote()
    s3.drop()

    with pytest.raises(FileNotFoundError) as caught:
        f.remote()
    assert any("there is no such bucket" in note for note in caught.value.__notes__)


def test_the_keys_are_on_no_command_line_and_in_no_environment(mounted: str, s3: S3) -> None:
    def look() -> list[bytes]:
        _, server = around("")
        return [Path(f"/proc/{server}/{it}").read_bytes() for it in ("cmdline", "environ")]

    found = declare(look, bucket(s3).mounted_at(mounted)).remote()

    assert found[0]
    assert not any(s3.server.secret_key.encode() in one for one in found)


def test_a_worker_that_is_killed_leaves_nothing(mounted: str, s3: S3) -> None:
    f = declare(around, bucket(s3).mounted_at(mounted))
    worker, server = f.remote(mounted)
    watched = os.pidfd_open(server)
    os.kill(worker, signal.SIGKILL)

    assert select.select([watched], [], [], 60)[0], "the server goes on"
    os.close(watched)
    assert s3.name not in Path("/proc/self/mounts").read_text()


def test_of_a_worker_that_is_killed_while_it_writes_nothing_is_in_the_bucket(
    mounted: str, s3: S3
) -> None:
    def die() -> None:
        with (Path(mounted) / "a").open("wb", buffering=0) as file:
            file.write(b"x" * MIB)
            os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(WorkerLost):
        declare(die, bucket(s3).mounted_at(mounted)).remote()
    assert s3.keys() == []


def wait_for_ever(path: str, name: str, note: str) -> bytes:
    """Read a file that is there, or write a large one, from a server that has no answer."""
    Path(note).write_text(" ".join(map(str, around(path))), "ascii")
    file = Path(path) / name
    if file.exists():
        return file.read_bytes()
    file.write_bytes(b"x" * (3 * PART_BYTES))
    return b""


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_a_worker_that_is_killed_while_the_server_has_no_answer_is_gone_and_leaves_nothing(
    mounted: str, s3: S3, tmp_path: Path, method: str
) -> None:
    if method == "GET":
        s3.put("stuck-GET")
    before = s3.keys()
    f, note = declare(wait_for_ever, bucket(s3).mounted_at(mounted)), tmp_path / "note"
    job = f.spawn(mounted, f"stuck-{method}", str(note))
    while len(s3.asked(method, f"stuck-{method}")) < (2 if method == "PUT" else 1):
        pass
    worker, server = map(int, note.read_text("ascii").split())
    watched = os.pidfd_open(server)
    os.kill(worker, signal.SIGKILL)

    with pytest.raises(WorkerLost):
        job.wait()
    assert select.select([watched], [], [], 60)[0], "the server goes on"
    os.close(watched)
    assert s3.keys() == before
    assert s3.name not in Path("/proc/self/mounts").read_text()


def test_a_folder_that_others_make_again_is_seen_again(mounted: str, s3: S3) -> None:
    s3.put("a/b")

    def look(*, and_remove: bool) -> list[str]:
        if and_remove:
            (Path(mounted) / "a/b").unlink()
            (Path(mounted) / "a").rmdir()
        return [one.name for one in Path(mounted).iterdir()]

    f = declare(look, bucket(s3).mounted_at(mounted))
    before = f.remote(and_remove=True)
    s3.put("a/c")
    while f.remote(and_remove=False) != ["a"]:
        pass

    assert before == []


def test_what_may_not_be_written_is_told_when_the_file_is_closed(
    mounted: str, s3: S3, vault: Vault
) -> None:
    access, secret = s3.server.reader
    vault.put("ACCESS", {"ACCESS": access})
    vault.put("SECRET", {"SECRET": secret})
    f = declare(lambda: (Path(mounted) / "a").write_bytes(b"x"), bucket(s3).mounted_at(mounted))

    with pytest.raises(PermissionError) as caught:
        f.remote()
    assert any("access denied" in note for note in caught.value.__notes__)


def test_without_its_server_a_call_fails_and_does_not_hang(mounted: str, s3: S3) -> None:
    def kill() -> None:
        os.kill(around("")[1], signal.SIGKILL)

    with pytest.raises(BucketFailed, match="the process that serves the bucket has ended"):
        declare(kill, bucket(s3).mounted_at(mounted)).remote()


def test_a_file_that_was_closed_stays_in_the_bucket_when_the_call_fails(
    mounted: str, s3: S3
) -> None:
    def fail() -> None:
        (Path(mounted) / "kept").write_bytes(b"x")
        raise ValueError("after writing")

    with pytest.raises(ValueError, match="after writing"):
        declare(fail, bucket(s3).mounted_at(mounted)).remote()

    assert s3.keys() == ["kept"]


def test_without_the_library_it_is_copied(
    mounted: str, s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3.put("a", b"one")
    (tmp_path / "mfusepy.py").write_text("raise ImportError('not installed')", "utf-8")
    monkeypatch.syspath_prepend(tmp_path)

    def look() -> tuple[bytes, bool]:
        return (Path(mounted) / "a").read_bytes(), "fuse.apothic" in Path(
            "/proc/self/mounts"
        ).read_text()

    assert declare(look, bucket(s3).mounted_at(mounted)).remote() == (b"one", False)


@pytest.mark.parametrize("key", ["../up", "f/../b", "f//b"])
def test_a_key_that_can_be_no_file_is_refused(mounted: str, s3: S3, key: str) -> None:
    s3.put("good", b"x")
    s3.put(key, b"evil")

    with pytest.raises(BucketFailed, match="can be no file"):
        declare(lambda: len([*Path(mounted).iterdir()]), bucket(s3).mounted_at(mounted)).remote()
