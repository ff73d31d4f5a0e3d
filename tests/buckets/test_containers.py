"""Buckets at paths of functions in containers, on a real Docker engine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apothic import App, BucketFailed, CloudBucketMount, Image, MountFailed
from apothic._connect import use
from apothic_backends.registry import open_backend
from apothic_backends.vault import Vault
from tests.buckets.conftest import S3, Server, bucket, serving
from tests.containers.image import NAME

pytestmark = pytest.mark.docker

PLACE = "/apothic-bucket"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """One that containers can reach."""
    import docker

    client: Any = docker.APIClient(version="auto")
    gateway = client.inspect_network("bridge")["IPAM"]["Config"][0]["Gateway"]
    client.close()
    with serving(gateway) as server:
        yield server


@pytest.fixture
def backend(vault: Vault) -> Iterator[None]:
    opened = open_backend("local")
    before = use(opened)
    yield
    use(before)
    opened.close()


def declare(function: Any, mount: Any) -> Any:
    """A function in an image that has nothing for buckets."""
    how: Any = {"image": Image.from_registry(NAME), "volumes": [mount.mounted_at(PLACE)]}
    return App("buckets").function(**how)(function)


def reader() -> Any:
    def read(place: str) -> dict[str, bytes]:
        return {name: open(f"{place}/{name}", "rb").read() for name in os.listdir(place)}  # noqa: PTH123, PTH208 - light

    return read


def writer() -> Any:
    def write(path: str, *, fails: bool = False) -> None:
        with open(path, "w") as file:  # noqa: PTH123 - as above
            file.write("two")
        if fails:
            raise ValueError(path)

    return write


def test_objects_are_files_at_the_path(backend: None, s3: S3) -> None:
    s3.put("models/a", b"one")
    s3.put("other/b", b"two")

    assert declare(reader(), bucket(s3, "models")).remote(PLACE) == {"a": b"one"}


def test_what_a_call_writes_is_in_the_bucket_unless_it_fails(backend: None, s3: S3) -> None:
    write = declare(writer(), bucket(s3, "out"))
    with pytest.raises(ValueError, match="lost"):
        write.remote(f"{PLACE}/lost", fails=True)
    write.remote(f"{PLACE}/kept")

    assert (s3.keys(), s3.get("out/kept")) == (["out/kept"], b"two")


def test_wrong_keys_are_told_before_anything_runs(backend: None, vault: Vault, s3: S3) -> None:
    vault.put("SECRET", {"anything": "wrong-secret-key"})

    with pytest.raises(BucketFailed, match="access denied"):
        declare(reader(), bucket(s3)).remote(PLACE)


def test_a_directory_may_stand_for_a_bucket(backend: None, tmp_path: Path) -> None:
    (tmp_path / "buckets" / "data").mkdir(parents=True)
    url = f"file://{tmp_path}/buckets"

    declare(writer(), CloudBucketMount("data", endpoint_url=url)).remote(f"{PLACE}/a")

    assert (tmp_path / "buckets" / "data" / "a").read_text() == "two"
    only_read = CloudBucketMount("data", endpoint_url=url, read_only=True)
    with pytest.raises(OSError, match="Read-only"):
        declare(writer(), only_read).remote(f"{PLACE}/b")


def test_a_missing_directory_is_told(backend: None, tmp_path: Path) -> None:
    mount = CloudBucketMount("data", endpoint_url=f"file://{tmp_path}/nowhere")

    with pytest.raises(MountFailed, match="there is no directory"):
        declare(reader(), mount).remote(PLACE)
