"""What code does to the files of a bucket, and what the bucket has then, whichever way it came."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from apothic_backends.buckets.bucket import PART_BYTES
from apothic_backends.vault import Vault
from tests.buckets.conftest import IN_WORKERS, PAGE, S3, bucket, declare

pytestmark = pytest.mark.parametrize("backend", IN_WORKERS, indirect=True)
Within = Callable[..., Any]


@pytest.fixture
def within(backend: str, path: str, vault: Vault, s3: S3) -> Within:
    """Runs a function with the path of the mount in a worker."""

    def run(function: Callable[[Path], Any], prefix: str = "p", **options: Any) -> Any:
        mount = bucket(s3, prefix, **options).mounted_at(path)
        return declare(lambda: function(Path(path)), mount).remote()

    return run


def test_appending(within: Within, s3: S3) -> None:
    s3.put("p/log", b"one\n")

    def append(here: Path) -> None:
        for line in ("two\n", "three\n"):
            with (here / "log").open("a") as file:
                file.write(line)

    within(append)

    assert s3.get("p/log") == b"one\ntwo\nthree\n"


def test_writing_in_the_middle(within: Within, s3: S3) -> None:
    s3.put("p/a", b"0123456789")

    def write(here: Path) -> bytes:
        with (here / "a").open("r+b") as file:
            file.seek(3)
            file.write(b"abc")
            file.seek(0)
            return file.read()

    assert within(write) == b"012abc6789"
    assert s3.get("p/a") == b"012abc6789"


@pytest.mark.parametrize("size", [0, 4, 12])
def test_truncating(within: Within, s3: S3, size: int) -> None:
    s3.put("p/a", b"01234567")

    within(lambda here: os.truncate(here / "a", size))

    assert s3.get("p/a") == b"01234567"[:size].ljust(size, b"\0")


def test_an_empty_file_is_an_empty_object(within: Within, s3: S3) -> None:
    within(lambda here: (here / "a").touch())

    assert (s3.keys(), s3.get("p/a")) == (["p/a"], b"")


def test_what_is_left_open_is_in_the_bucket_after_the_call(within: Within, s3: S3) -> None:
    def leave(here: Path) -> None:
        leave.file = (here / "a").open("wb")  # type: ignore[attr-defined]
        leave.file.write(b"data")  # type: ignore[attr-defined]
        leave.file.flush()  # type: ignore[attr-defined]

    within(leave)

    assert s3.get("p/a") == b"data"


def test_fsync_before_closing(within: Within, s3: S3) -> None:
    def write(here: Path) -> None:
        with (here / "a").open("wb") as file:
            file.write(b"data")
            file.flush()
            os.fsync(file.fileno())

    within(write)

    assert s3.get("p/a") == b"data"


def test_renaming(within: Within, s3: S3) -> None:
    s3.put("p/a", b"one")

    def rename(here: Path) -> list[str]:
        (here / "a").rename(here / "b")
        return [one.name for one in here.iterdir()]

    assert within(rename) == ["b"]
    assert (s3.keys(), s3.get("p/b")) == (["p/b"], b"one")


def test_replacing_a_file_by_a_finished_one(within: Within, s3: S3) -> None:
    s3.put("p/a", b"old")

    def replace(here: Path) -> bytes:
        (here / "a.tmp").write_bytes(b"newer")
        (here / "a.tmp").replace(here / "a")
        return (here / "a").read_bytes()

    assert within(replace) == b"newer"
    assert (s3.keys(), s3.get("p/a")) == (["p/a"], b"newer")


def test_renaming_a_file_that_is_open_for_writing(within: Within, s3: S3) -> None:
    def rename(here: Path) -> None:
        with (here / "a").open("wb") as file:
            file.write(b"one")
            file.flush()
            (here / "a").rename(here / "b")
            file.write(b"two")

    within(rename)

    assert (s3.keys(), s3.get("p/b")) == (["p/b"], b"onetwo")


def test_renaming_a_folder(within: Within, s3: S3) -> None:
    s3.put("p/old/a", b"one")
    s3.put("p/old/deep/b", b"two")

    def rename(here: Path) -> list[str]:
        (here / "old").rename(here / "new")
        return sorted(one.relative_to(here).as_posix() for one in here.rglob("*"))

    assert within(rename) == ["new", "new/a", "new/deep", "new/deep/b"]
    assert s3.keys() == ["p/new/a", "p/new/deep/b"]


def test_renaming_a_folder_in_which_a_new_file_is_open(within: Within, s3: S3) -> None:
    s3.put("p/old/a", b"one")

    def rename(here: Path) -> None:
        with (here / "old/b").open("wb") as file:
            file.write(b"two")
            (here / "old").rename(here / "new")

    within(rename)

    assert (s3.keys(), s3.get("p/new/b")) == (["p/new/a", "p/new/b"], b"two")


def test_removing(within: Within, s3: S3) -> None:
    s3.put("p/a")
    s3.put("p/b")

    def remove(here: Path) -> bool:
        (here / "a").unlink()
        return (here / "a").exists()

    assert within(remove) is False
    assert s3.keys() == ["p/b"]


def test_a_file_that_was_removed_can_be_read_by_who_has_it_open(within: Within, s3: S3) -> None:
    s3.put("p/a", b"one")

    def remove(here: Path) -> bytes:
        with (here / "a").open("rb") as file:
            (here / "a").unlink()
            return file.read()

    assert within(remove) == b"one"
    assert s3.keys() == []


def test_a_folder_is_there_once_it_was_made_and_no_object(within: Within, s3: S3) -> None:
    def make(here: Path) -> tuple[bool, list[str]]:
        (here / "a/b").mkdir(parents=True)
        return (here / "a/b").is_dir(), [one.name for one in (here / "a").iterdir()]

    assert within(make) == (True, ["b"])
    assert s3.keys() == []


def test_a_folder_stays_when_its_last_file_goes_until_it_is_removed(within: Within, s3: S3) -> None:
    s3.put("p/a/b")

    def empty(here: Path) -> tuple[bool, bool]:
        (here / "a/b").unlink()
        before = (here / "a").is_dir()
        (here / "a").rmdir()
        return before, (here / "a").exists()

    assert within(empty) == (True, False)


def test_folders_in_folders_stay_when_they_are_empty(within: Within, s3: S3) -> None:
    s3.put("p/a/b/c")

    def empty(here: Path) -> list[str]:
        (here / "a/b/c").unlink()
        return sorted(one.relative_to(here).as_posix() for one in here.rglob("*"))

    assert within(empty) == ["a", "a/b"]


def test_a_folder_with_something_in_it_is_not_removed(within: Within, s3: S3) -> None:
    s3.put("p/a/b")

    def remove(here: Path) -> int | None:
        try:
            (here / "a").rmdir()
        except OSError as error:
            return error.errno
        return None

    assert within(remove) == errno.ENOTEMPTY


def test_trees_are_copied_and_removed(within: Within, s3: S3) -> None:
    s3.put("p/old/a", b"one")
    s3.put("p/old/deep/b", b"two")

    def work(here: Path) -> None:
        shutil.copytree(here / "old", here / "new")
        shutil.rmtree(here / "old")

    within(work)

    assert s3.keys() == ["p/new/a", "p/new/deep/b"]


def test_what_marks_a_folder_is_one(within: Within, s3: S3) -> None:
    s3.put("p/empty/", b"")

    assert within(
        lambda here: [(one.relative_to(here).as_posix(), one.is_dir()) for one in here.rglob("*")]
    ) == [("empty", True)]


def test_a_prefix_may_occur_in_names_below_it(within: Within, s3: S3) -> None:
    s3.put("p/p/a", b"one")

    assert within(
        lambda here: [(one.name, (one / "a").read_bytes()) for one in here.iterdir()]
    ) == [("p", b"one")]


def test_more_files_are_listed_than_a_server_tells_at_once(within: Within, s3: S3) -> None:
    for number in range(2 * PAGE + 1):
        s3.put(f"p/{number:02}", b"x")

    def look(here: Path) -> tuple[int, int]:
        sizes = [one.stat().st_size for one in here.iterdir()]
        return len(sizes), sum(sizes)

    assert within(look) == (2 * PAGE + 1, 2 * PAGE + 1)


def test_large_files_go_up_in_parts(within: Within, s3: S3) -> None:
    within(lambda here: (here / "large").write_bytes(b"x" * (2 * PART_BYTES + 5)))

    assert s3.get("p/large") == b"x" * (2 * PART_BYTES + 5)
    assert s3.tag("p/large").strip('"').endswith("-3"), "the tag of an object in three parts"


def test_nothing_can_be_written_to_one_that_is_read_only(within: Within, s3: S3) -> None:
    s3.put("p/a")

    def remove(here: Path) -> int | None:
        try:
            (here / "a").unlink()
        except OSError as error:
            return error.errno
        return None

    assert within(remove, read_only=True) == errno.EROFS


def test_a_file_that_is_not_there_is_not_found(within: Within, s3: S3) -> None:
    with pytest.raises(FileNotFoundError):
        within(lambda here: (here / "nothing").read_bytes())


def test_there_is_room(within: Within, s3: S3) -> None:
    assert within(lambda here: shutil.disk_usage(here).free) > 0


def test_other_programs_see_the_files(within: Within, s3: S3) -> None:
    s3.put("p/a", b"one")

    assert within(lambda here: subprocess.check_output(["cat", str(here / "a")])) == b"one"


def test_temporary_files_come_and_go(within: Within, s3: S3) -> None:
    def work(here: Path) -> bytes:
        with tempfile.NamedTemporaryFile(dir=here) as file:
            file.write(b"data")
            file.seek(0)
            return file.read()

    assert within(work) == b"data"
    assert s3.keys() == []


def test_rights_and_times_may_be_set(within: Within, s3: S3) -> None:
    def work(here: Path) -> None:
        (here / "a").write_bytes(b"one")
        shutil.copy2(here / "a", here / "b")
        (here / "b").chmod(0o600)

    within(work)

    assert s3.keys() == ["p/a", "p/b"]
