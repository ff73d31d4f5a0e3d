"""Directories that have a bucket's objects in them, against a real S3 server."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from apothic_backends.buckets.bucket import PART_BYTES, Bucket, Place
from apothic_backends.buckets.mirror import Mirror
from apothic_backends.model.errors import BucketFailed
from tests.buckets.conftest import PAGE, S3, Server


def mirror(s3: S3, folder: Path, prefix: str = "") -> Mirror:
    made = Mirror(s3.open(prefix), folder)
    made.fill()
    return made


def files(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def test_objects_are_there_as_files(s3: S3, tmp_path: Path) -> None:
    s3.put("a.txt", b"one")
    s3.put("deep/er/b c ü.txt", b"two")

    mirror(s3, tmp_path)

    assert files(tmp_path) == {"a.txt": b"one", "deep/er/b c ü.txt": b"two"}


@pytest.mark.parametrize("prefix", ["models", "models/", "/models/"])
def test_a_prefix_need_not_end_with_a_slash_and_hides_the_rest(
    s3: S3, tmp_path: Path, prefix: str
) -> None:
    s3.put("models/a", b"one")
    s3.put("models-old/b", b"two")
    s3.put("c", b"three")

    mirror(s3, tmp_path, prefix)

    assert files(tmp_path) == {"a": b"one"}


def test_lists_of_more_keys_than_a_server_tells_at_once_are_whole(s3: S3) -> None:
    names = [f"{number:02}" for number in range(2 * PAGE + 1)]
    for name in names:
        s3.put(f"n/{name}", b"")

    assert [one.name for one in s3.open("n").list()] == names


def test_what_is_written_goes_up_and_what_is_removed_goes(s3: S3, tmp_path: Path) -> None:
    for key in ("stays", "changes", "goes"):
        s3.put(f"p/{key}", b"old")
    made = mirror(s3, tmp_path, "p")
    tag = s3.tag("p/stays")
    (tmp_path / "changes").write_bytes(b"new")
    (tmp_path / "goes").unlink()
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "comes").write_bytes(b"fresh")

    assert made.push() == 3

    assert s3.keys() == ["p/changes", "p/folder/comes", "p/stays"]
    assert (s3.get("p/changes"), s3.get("p/folder/comes")) == (b"new", b"fresh")
    assert s3.tag("p/stays") == tag


def test_a_second_push_has_nothing_to_do(s3: S3, tmp_path: Path) -> None:
    made = mirror(s3, tmp_path)
    (tmp_path / "a").write_bytes(b"new")

    assert (made.push(), made.push()) == (1, 0)


def test_a_change_of_the_same_size_right_after_the_fetch_is_seen(s3: S3, tmp_path: Path) -> None:
    s3.put("a", b"old")
    made = mirror(s3, tmp_path)
    with (tmp_path / "a").open("r+b") as file:
        file.write(b"new")
    made.push()

    assert s3.get("a") == b"new"


def test_appending_and_renaming_are_seen_in_the_bucket(s3: S3, tmp_path: Path) -> None:
    s3.put("log", b"one\n")
    s3.put("name", b"x")
    made = mirror(s3, tmp_path)
    with (tmp_path / "log").open("ab") as file:
        file.write(b"two\n")
    (tmp_path / "name").rename(tmp_path / "renamed")
    made.push()

    assert s3.get("log") == b"one\ntwo\n"
    assert s3.keys() == ["log", "renamed"]


def test_large_objects_go_up_in_parts_and_come_back(s3: S3, tmp_path: Path) -> None:
    data = os.urandom(2 * PART_BYTES + 12345)
    up, down = tmp_path / "up", tmp_path / "down"
    up.mkdir()
    down.mkdir()
    made = mirror(s3, up)
    (up / "large").write_bytes(data)
    made.push()
    mirror(s3, down)

    assert (down / "large").read_bytes() == data
    assert s3.tag("large").strip('"').endswith("-3"), "the tag of an object in three parts"


def test_after_a_failure_it_is_as_the_bucket_has_it(s3: S3, tmp_path: Path) -> None:
    for key in ("changes", "goes"):
        s3.put(key, b"old")
    made = mirror(s3, tmp_path)
    (tmp_path / "changes").write_bytes(b"new")
    (tmp_path / "goes").unlink()
    (tmp_path / "comes").write_bytes(b"fresh")
    made.pull()

    assert files(tmp_path) == {"changes": b"old", "goes": b"old"}
    assert made.push() == 0


def test_what_marks_a_folder_is_one(s3: S3, tmp_path: Path) -> None:
    s3.put("empty/", b"")
    s3.put("full/", b"")
    s3.put("full/a", b"x")

    made = mirror(s3, tmp_path)

    assert files(tmp_path) == {"full/a": b"x"}
    assert (tmp_path / "empty").is_dir()
    assert made.push() == 0


# --- what goes wrong ------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", ["access", "secret"])
def test_wrong_keys_are_told(s3: S3, tmp_path: Path, wrong: str) -> None:
    server = s3.server
    access = "AKIAWRONG" if wrong == "access" else server.access_key
    secret = "wrong" if wrong == "secret" else server.secret_key

    with pytest.raises(BucketFailed, match="access denied; look at the secrets") as caught:
        Mirror(Bucket(s3.place(), access, secret), tmp_path).fill()
    assert caught.value.data["errno"] == errno.EACCES
    assert secret not in str(caught.value)


def test_a_missing_bucket_is_told(server: Server, tmp_path: Path) -> None:
    bucket = Bucket(Place("no-such", "", server.url), server.access_key, server.secret_key)

    with pytest.raises(BucketFailed, match="there is no such bucket") as caught:
        Mirror(bucket, tmp_path).fill()
    assert caught.value.data["errno"] == errno.ENOENT


def test_a_server_that_is_not_there_is_told(tmp_path: Path) -> None:
    bucket = Bucket(Place("b", "", "http://127.0.0.1:9"), "key", "secret")

    with pytest.raises(BucketFailed, match="cannot list it") as caught:
        Mirror(bucket, tmp_path).fill()
    assert caught.value.data["errno"] == errno.EIO


@pytest.mark.parametrize("key", ["../up", "a/../b", "a//b", "a/./b"])
def test_a_key_that_can_be_no_file_leads_nowhere(s3: S3, tmp_path: Path, key: str) -> None:
    s3.put("good", b"x")
    s3.put(key, b"evil")
    inside = tmp_path / "inside"
    inside.mkdir()

    with pytest.raises(BucketFailed, match="can be no file") as caught:
        mirror(s3, inside)
    assert caught.value.data["errno"] == errno.EINVAL
    assert [path for path in tmp_path.rglob("*") if path.is_file() and path.parent != inside] == []


@pytest.mark.parametrize("bound", [{"most_bytes": 5}, {"most_objects": 1}])
def test_too_much_is_refused_before_it_is_fetched(
    s3: S3, tmp_path: Path, bound: dict[str, int]
) -> None:
    for key in ("a", "b"):
        s3.put(key, b"data")

    with pytest.raises(BucketFailed, match="longer prefix") as caught:
        Mirror(s3.open(), tmp_path).fill(**bound)
    assert caught.value.data["errno"] == errno.EFBIG
    assert files(tmp_path) == {}


@pytest.mark.parametrize("kind", ["link", "fifo"])
def test_what_no_object_can_be_is_refused(s3: S3, tmp_path: Path, kind: str) -> None:
    made = mirror(s3, tmp_path)
    if kind == "link":
        (tmp_path / "odd").symlink_to("/etc/passwd")
    else:
        os.mkfifo(tmp_path / "odd")

    with pytest.raises(BucketFailed, match="'odd' is no plain file"):
        made.push()
    assert s3.keys() == []
