"""Buckets at paths of functions, in workers and in place."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from apothic import BucketFailed, CloudBucketMount, MountFailed, Secret, SecretNotFound
from apothic_backends.vault import Vault
from tests.buckets.conftest import IN_WORKERS, S3, bucket, declare


def read(path: str) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in Path(path).rglob("*") if p.is_file()}


def write(path: str, data: bytes) -> None:
    Path(path).write_bytes(data)


def test_objects_are_files_at_the_path(backend: str, path: str, vault: Vault, s3: S3) -> None:
    s3.put("models/a", b"one")
    s3.put("other/b", b"two")

    assert declare(read, bucket(s3, "models").mounted_at(path)).remote(path) == {"a": b"one"}


def test_what_a_call_writes_is_in_the_bucket(backend: str, path: str, vault: Vault, s3: S3) -> None:
    f = declare(write, bucket(s3, "out/").mounted_at(path))
    f.remote(f"{path}/first", b"one")
    f.remote(f"{path}/second", b"two")

    assert (s3.get("out/first"), s3.get("out/second")) == (b"one", b"two")


def fail(path: str) -> None:
    (Path(path) / "lost").write_bytes(b"x")
    raise ValueError("after writing")


@pytest.mark.parametrize("backend", ["copy", "inline"], indirect=True)
def test_what_a_call_that_fails_has_written_is_not(
    backend: str, path: str, vault: Vault, s3: S3
) -> None:
    with pytest.raises(ValueError, match="after writing"):
        declare(fail, bucket(s3).mounted_at(path)).remote(path)

    assert s3.keys() == []


def test_one_that_is_read_only_is_left_as_it_is(
    backend: str, path: str, vault: Vault, s3: S3
) -> None:
    s3.put("a", b"one")

    def try_to() -> bool:
        try:
            (Path(path) / "new").write_bytes(b"x")
        except OSError:
            return False
        return True

    is_written = declare(try_to, bucket(s3, read_only=True).mounted_at(path)).remote()

    assert is_written is (backend == "inline"), "a link cannot be read-only"
    assert s3.keys() == ["a"]


def test_keys_are_no_variables_and_are_hidden(
    backend: str, path: str, vault: Vault, s3: S3
) -> None:
    key = s3.server.secret_key

    def look(key: str) -> bool:
        print(key)
        return key in os.environ.values()

    f = declare(look, bucket(s3).mounted_at(path))
    job = f.spawn(key)

    assert job.wait() is False
    assert job.logs() == "***\n"


def test_a_directory_may_stand_for_a_bucket(
    backend: str, path: str, vault: Vault, tmp_path: Path
) -> None:
    (tmp_path / "buckets/data/p").mkdir(parents=True)
    (tmp_path / "buckets/data/p/a").write_bytes(b"one")
    mount = CloudBucketMount("data", endpoint_url=f"file://{tmp_path}/buckets", prefix="p")
    f = declare(write, mount.mounted_at(path))
    f.remote(f"{path}/b", b"two")

    assert (tmp_path / "buckets/data/p/b").read_bytes() == b"two"
    assert (tmp_path / "buckets/data/p/a").read_bytes() == b"one"


def test_a_missing_directory_is_told(backend: str, path: str, vault: Vault, tmp_path: Path) -> None:
    mount = CloudBucketMount("data", endpoint_url=f"file://{tmp_path}/nowhere")

    with pytest.raises(MountFailed, match="there is no directory"):
        declare(write, mount.mounted_at(path)).remote("x", b"")


def test_wrong_keys_are_told_before_anything_runs(
    backend: str, path: str, vault: Vault, s3: S3
) -> None:
    vault.put("SECRET", {"anything": "wrong-secret-key"})

    with pytest.raises(BucketFailed, match="access denied") as caught:
        declare(read, bucket(s3).mounted_at(path)).remote(path)
    assert "wrong-secret-key" not in str(caught.value)


def test_a_missing_bucket_is_told(backend: str, path: str, vault: Vault, s3: S3) -> None:
    mount = CloudBucketMount("no-such-bucket", "ACCESS", "SECRET", s3.server.url)

    with pytest.raises(BucketFailed, match="no such bucket"):
        declare(read, mount.mounted_at(path)).remote(path)


def test_a_missing_secret_is_told(backend: str, path: str, vault: Vault, s3: S3) -> None:
    vault.delete("SECRET")

    with pytest.raises(SecretNotFound, match="apothic secret set SECRET"):
        declare(read, bucket(s3).mounted_at(path)).remote(path)


def test_a_secret_with_several_values_is_refused(
    backend: str, path: str, vault: Vault, s3: S3
) -> None:
    vault.put("SECRET", {"more": "x"})

    with pytest.raises(SecretNotFound, match="needs one value of the secret SECRET"):
        declare(read, bucket(s3).mounted_at(path)).remote(path)


@pytest.mark.parametrize("backend", IN_WORKERS, indirect=True)  # inline, all share one mount
def test_new_keys_are_used_from_the_next_call_on(
    backend: str, path: str, vault: Vault, s3: S3
) -> None:
    f = declare(read, bucket(s3).mounted_at(path))
    assert f.remote(path) == {}
    vault.put("SECRET", {"anything": "wrong-secret-key"})

    with pytest.raises(BucketFailed, match="access denied"):
        f.remote(path)


def test_secrets_of_the_function_are_there_beside_them(
    backend: str, path: str, vault: Vault, s3: S3
) -> None:
    s3.put("a", b"one")

    def both() -> tuple[str | None, int]:
        return os.environ.get("TOKEN"), len(list(Path(path).iterdir()))

    f = declare(both, bucket(s3).mounted_at(path), secrets=[Secret.from_dict({"TOKEN": "x"})])

    assert f.remote() == ("x", 1)
