"""What an error of the bucket's server is told to be."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from apothic_backends.buckets.bucket import Bucket, Place
from apothic_backends.model.errors import BucketFailed
from tests.buckets.conftest import S3


def number(act: Callable[[], object]) -> int:
    with pytest.raises(BucketFailed) as caught:
        act()
    return int(caught.value.data["errno"])


READS, WRITES = ["read", "head", "list", "children"], ["store", "delete", "copy"]
ACTS: dict[str, Callable[[Bucket, Path], object]] = {
    "store": lambda some, source: some.store("a", source),
    "delete": lambda some, _: some.delete("a"),
    "copy": lambda some, _: some.copy("a", "b"),
    "read": lambda some, _: some.read("a", 0, 1, ""),
    "head": lambda some, _: some.head("a"),
    "list": lambda some, _: [*some.list()],
    "children": lambda some, _: some.children(""),
}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"x")
    return path


@pytest.mark.parametrize("act", READS + WRITES)
def test_with_wrong_keys_nothing_is_allowed(s3: S3, source: Path, act: str) -> None:
    s3.put("a")
    some = Bucket(s3.place(), s3.server.access_key, "wrong")

    assert number(lambda: ACTS[act](some, source)) == errno.EACCES


@pytest.mark.parametrize("act", WRITES)
def test_who_may_only_read_cannot_write(s3: S3, source: Path, act: str) -> None:
    s3.put("a")
    some = Bucket(s3.place(), *s3.server.reader)

    assert number(lambda: ACTS[act](some, source)) == errno.EACCES
    assert (s3.keys(), s3.get("a")) == (["a"], b"data")


@pytest.mark.parametrize("act", READS)
def test_who_may_only_read_can_read(s3: S3, source: Path, act: str) -> None:
    s3.put("a")

    assert ACTS[act](Bucket(s3.place(), *s3.server.reader), source)


@pytest.mark.parametrize("name", ["403", "401", "AccessDenied", "NoSuchBucket", "InvalidPath"])
def test_a_name_is_not_taken_for_the_reason(source: Path, name: str) -> None:
    nobody = Bucket(Place("b", "", "http://127.0.0.1:9"), "key", "secret")

    assert number(lambda: nobody.store(name, source)) == errno.EIO
    assert number(lambda: nobody.children(name)) == errno.EIO


def test_what_was_written_since_is_not_read(s3: S3) -> None:
    s3.put("a", b"one")
    tag = s3.tag("a")
    s3.put("a", b"two")

    assert number(lambda: s3.open().read("a", 0, 3, tag)) == errno.ESTALE


def test_what_was_deleted_since_is_not_found(s3: S3) -> None:
    assert number(lambda: s3.open().read("a", 0, 3, '"tag"')) == errno.ENOENT


@pytest.mark.parametrize("act", ["store", "copy", "read", "list", "children"])
def test_a_bucket_that_is_not_there_is_told_by_everything(s3: S3, source: Path, act: str) -> None:
    s3.drop()

    with pytest.raises(BucketFailed, match="there is no such bucket"):
        ACTS[act](s3.open(), source)
