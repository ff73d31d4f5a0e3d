"""Volumes of a control plane that keeps their contents in a bucket."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from apothic_backends.buckets.bucket import Bucket
from apothic_backends.buckets.told import bucket_of
from apothic_backends.commands.volumes import FindVolume
from apothic_backends.model.errors import BucketFailed, InvalidOption, UsageError, VolumeDamaged
from apothic_backends.volumes import bucketed
from apothic_backends.volumes.bucketed import BucketVolumes
from apothic_backends.volumes.local import PORTABLE, Volumes
from apothic_emulator.agent.desk import Desk
from apothic_emulator.server.bucket import check_bucket
from tests.buckets.conftest import S3
from tests.unit.backends.volumes.support import Machine, write


@pytest.fixture
def volumes(tmp_path: Path, s3: S3) -> BucketVolumes:
    folder = tmp_path / "volumes"
    folder.mkdir()
    return BucketVolumes(folder, s3.open("of/account"))


@pytest.fixture
def machine(tmp_path: Path, volumes: BucketVolumes) -> Machine:
    volumes.open("data", create=PORTABLE)
    return Machine(volumes, tmp_path / "machine")


def _id(volumes: BucketVolumes) -> str:
    return str(volumes.open("data").about()["id"])


def fill(folder: Path) -> dict[str, bytes]:
    (folder / "plain").write_bytes(os.urandom(100_000))
    (folder / "empty").touch()
    with (folder / "sparse").open("wb") as file:
        file.seek(1 << 20)
        file.write(b"end")
        file.truncate(3 << 20)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_contents_are_in_the_bucket_and_come_back_from_it(
    machine: Machine, volumes: BucketVolumes, s3: S3, tmp_path: Path
) -> None:
    view = machine.view()
    written = fill(view.copy)
    view.commit()
    for copy in volumes.folder.glob("data/objects/*/*"):
        copy.unlink()
    other = Machine(volumes, tmp_path / "other").view()

    assert {path.name: path.read_bytes() for path in other.copy.iterdir()} == written
    assert len(s3.keys()) == len(written)
    names = s3.keys()
    assert {key.rpartition("/")[0] for key in names} == {f"of/account/{_id(volumes)}"}


def test_what_a_volume_had_before_it_had_a_bucket_is_brought_there(
    volumes: BucketVolumes, s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = Volumes(volumes.folder)
    before.open("data", create=PORTABLE)
    view = Machine(before, tmp_path / "before").view()
    written = fill(view.copy)
    view.commit()
    view.close()
    volumes.settle(volumes.open("data"))
    monkeypatch.setattr(bucketed, "KEEP_FREE", 1 << 60)
    volumes.open("data").make_room(1)  # nothing of it is on the disk any more
    monkeypatch.setattr(bucketed, "KEEP_FREE", 0)

    after = Machine(volumes, tmp_path / "after").view()

    assert {path.name: path.read_bytes() for path in after.copy.iterdir()} == written


def test_a_volume_is_looked_for_in_its_bucket_alone(
    volumes: BucketVolumes, s3: S3, tmp_path: Path
) -> None:
    volumes.settle(volumes.open("data", create=PORTABLE))
    kept = f"{s3.name}/of/account"

    with pytest.raises(UsageError, match=rf"in the bucket {kept}, .*on its disk.*--volume-bucket"):
        Volumes(volumes.folder).settle(volumes.open("data"))
    with pytest.raises(UsageError, match=rf"in the bucket {kept}, .*in the bucket {s3.name}/other"):
        BucketVolumes(volumes.folder, s3.open("other")).settle(volumes.open("data"))
    desk = Desk()
    desk.keep_in(volumes.folder)
    with pytest.raises(UsageError, match="on its disk"):
        desk._find(FindVolume("data"))
    desk.keep_in_bucket(volumes.folder, s3.open("of/account"))
    assert desk._find(FindVolume("data")).rev == 0


def test_what_no_version_has_any_more_is_not_in_the_bucket(
    machine: Machine, volumes: BucketVolumes, s3: S3
) -> None:
    view = machine.view()
    fill(view.copy)
    view.commit()
    (view.copy / "sparse").unlink()
    write(view.copy, "plain", "2")
    view.commit()
    assert len(s3.keys()) == 2
    view.close()
    volumes.delete("data")

    assert s3.keys() == []


def test_a_bucket_that_fails_leaves_the_version_before(
    machine: Machine, volumes: BucketVolumes, s3: S3
) -> None:
    view = machine.view()
    write(view.copy, "x", "1")
    view.commit()
    s3.drop()
    write(view.copy, "x", "2")

    with pytest.raises(BucketFailed):
        view.commit()
    assert volumes.open("data").rev == 1


def test_what_cannot_be_removed_from_the_bucket_is_removed_by_the_next_commit(
    machine: Machine, volumes: BucketVolumes, s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = machine.view()
    write(view.copy, "x", "1")
    view.commit()
    with monkeypatch.context() as broken:
        broken.setattr(Bucket, "delete", refuse)
        write(view.copy, "x", "2")
        view.commit()
    assert len(s3.keys()) == 2
    write(view.copy, "x", "3")
    view.commit()

    assert len(s3.keys()) == 1


def refuse(_: Bucket, name: str) -> None:
    raise BucketFailed(f"{name} cannot be deleted", errno=13)


def test_copies_make_room_when_the_disk_is_nearly_full(
    machine: Machine, volumes: BucketVolumes, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = machine.view()
    write(view.copy, "x", "1")
    view.commit()
    assert [*volumes.folder.glob("data/objects/*/*")] != []
    monkeypatch.setattr(bucketed, "KEEP_FREE", 1 << 60)
    volumes.open("data").make_room(1)

    assert [*volumes.folder.glob("data/objects/*/*")] == []


def test_something_else_in_the_bucket_is_told(
    machine: Machine, volumes: BucketVolumes, s3: S3, tmp_path: Path
) -> None:
    view = machine.view()
    write(view.copy, "x", "1")
    view.commit()
    for copy in volumes.folder.glob("data/objects/*/*"):
        copy.unlink()
    s3.put(s3.keys()[0], b"something else")

    with pytest.raises(VolumeDamaged):
        Machine(volumes, tmp_path / "other").view()


def test_a_server_is_told_of_the_bucket_by_the_variables_of_other_tools(
    s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    with pytest.raises(InvalidOption, match="AWS_ACCESS_KEY_ID"):
        check_bucket(s3.name, runs_here=False)
    with pytest.raises(InvalidOption, match="--no-agent"):
        check_bucket(s3.name, runs_here=True)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3.server.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3.server.secret_key)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3.server.url)
    check_bucket(s3.name, runs_here=False)
    source = tmp_path / "x"
    source.write_text("x")
    bucket_of(f"{s3.name}/pre", os.environ, "account").store("id/digest", source)

    assert s3.keys() == ["pre/account/id/digest"]
