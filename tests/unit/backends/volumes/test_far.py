"""Volumes of a control plane that is elsewhere."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from apothic_backends.commands.volumes import (
    CommitVolume,
    FindMissing,
    GetManifest,
    GetPieces,
    PutPieces,
)
from apothic_backends.model.errors import (
    ApothicError,
    Fenced,
    HostGone,
    InvalidOption,
    NotFound,
    PathRefused,
    UsageError,
    VolumeBusy,
    VolumeConflict,
    VolumeDamaged,
    VolumeFull,
)
from apothic_backends.model.payloads import Payload
from apothic_backends.model.volumes import MOST_PIECE, Piece, VolumeHead
from apothic_backends.ticket import Ticket
from apothic_backends.volumes import disk
from apothic_backends.volumes.changes import checked
from apothic_backends.volumes.far import FarVolumes
from apothic_backends.volumes.files import Files
from apothic_backends.volumes.incoming import GRACE_S
from apothic_backends.volumes.local import PORTABLE, VAST_LOCAL, Volumes
from apothic_backends.volumes.manifest import FILE, Entry, Manifest
from apothic_backends.volumes.store import Store
from tests.unit.backends.volumes.support import (
    Machine,
    contents,
    copied,
    killed_at,
    put,
    read,
    write,
)

Make = Callable[..., Machine]


@pytest.fixture
def machine(volumes: Volumes, store: Store, tmp_path: Path) -> Make:
    """Makes machines that are elsewhere than the volume."""
    put(Files(store), "x", "1")
    made: list[Machine] = []

    def make(**options: Any) -> Machine:
        made.append(Machine(volumes, tmp_path / f"machine-{len(made)}", **options))
        return made[-1]

    return make


def fill(folder: Path) -> dict[str, bytes]:
    """Files of each kind that travels in its own way; what they are."""
    (folder / "large").write_bytes(os.urandom(2 * MOST_PIECE + 1))
    (folder / "empty").touch()
    for name, data in (("sparse", b"end"), ("hollow", b"")):
        with (folder / name).open("wb") as file:
            file.seek(3 * MOST_PIECE)
            file.write(data)
            file.truncate(9 * MOST_PIECE)
    for number in range(300):
        (folder / f"small-{number}").write_bytes(b"%d" % (number // 2))
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_what_one_machine_commits_another_finds(machine: Make, store: Store) -> None:
    one, other = machine().view(), machine().view()
    written = fill(one.copy)
    one.commit()
    other.move()

    assert {path.name: path.read_bytes() for path in other.copy.iterdir()} == written
    assert {path.name: path.read_bytes() for path in copied(store).copy.iterdir()} == written
    assert (other.copy / "hollow").stat().st_blocks == 0


def test_what_is_here_is_not_fetched_again(machine: Make) -> None:
    at = machine()
    view = at.view()
    write(view.copy, "y", "2")
    view.commit()
    at.kinds()
    view.move()
    at.view()

    assert "GetPieces" not in at.kinds()


def test_contents_that_the_volume_has_are_not_sent_again(machine: Make) -> None:
    one, other = machine(), machine()
    for at in (one, other):
        view = at.view()
        write(view.copy, at.folder.name, "the same")
        view.commit()

    assert "PutPieces" in one.kinds()
    assert "PutPieces" not in other.kinds()


def test_two_machines_that_change_one_file_are_in_conflict(machine: Make, store: Store) -> None:
    one, other = machine().view(), machine().view()
    write(one.copy, "x", "one")
    write(other.copy, "x", "other")
    one.commit()

    with pytest.raises(VolumeConflict) as caught:
        other.commit()
    assert caught.value.data["files"] == ["x"]
    assert contents(store) == {"x": "one"}
    other.commit(on_conflict="last_write_wins")
    assert contents(store) == {"x": "other"}


def test_a_lower_fence_is_refused_from_elsewhere(machine: Make) -> None:
    one, other = machine().view(), machine().view()
    write(one.copy, "x", "new")
    one.commit(fence=7)
    write(other.copy, "y", "old")

    with pytest.raises(Fenced):
        other.commit(fence=6)


def test_a_commit_whose_answer_was_lost_is_not_made_again(machine: Make, store: Store) -> None:
    at = machine()
    view = at.view()
    write(view.copy, "x", "mine")
    view.commit()
    commit = next(asked for asked in at.asked if isinstance(asked, CommitVolume))
    put(Files(store), "x", "of somebody after that")

    assert at.start(commit).wait().rev == 2
    assert contents(store) == {"x": "of somebody after that"}


def test_a_version_that_is_replaced_while_it_is_fetched_is_given_up(
    machine: Make, store: Store
) -> None:
    at = machine()
    versions = iter("23")

    def overtake(command: object) -> None:
        if isinstance(command, (GetManifest, GetPieces)):
            for text in versions:
                put(Files(store), "x", text)
                return

    at.before = overtake

    assert (at.view().copy / "x").read_text() == "3"


def test_contents_that_nobody_has_kept_are_sent_again(machine: Make, store: Store) -> None:
    at = machine()
    view = at.view()
    write(view.copy, "x", "2")
    losses = iter([1])

    def lose(command: object) -> None:
        if isinstance(command, CommitVolume):
            for _ in losses:
                disk.remove_tree(store.folder / "incoming")

    at.before = lose
    view.commit()

    assert contents(store) == {"x": "2"}


def test_what_a_commit_has_left_that_was_killed_where_the_volume_is_is_not_counted_on(
    machine: Make, store: Store
) -> None:
    view = machine().view()
    for step in range(20):
        write(view.copy, "x", str(step))
        killed_at(step, view.commit)
        view.commit()
        assert contents(store) == {"x": str(step)}


def test_what_no_commit_has_taken_goes_after_its_grace(machine: Make, store: Store) -> None:
    at = machine()
    put_by(at, b"left behind")
    left = store.folder / "incoming"
    at.desk.tidy(left.stat().st_mtime + GRACE_S / 2)
    assert len([*left.iterdir()]) == 1
    at.desk.tidy(left.stat().st_mtime + GRACE_S * 2)

    assert [*left.iterdir()] == []


def test_an_ephemeral_volume_of_a_program_that_died_goes_after_its_grace(
    machine: Make, volumes: Volumes
) -> None:
    at = machine()
    at.open("ephemeral-1", create=PORTABLE)
    made_at = (volumes.folder / "ephemeral-1").stat().st_mtime
    at.desk.tidy(made_at)
    assert "ephemeral-1" in volumes.names()
    at.desk.tidy(made_at + GRACE_S * 2)

    assert volumes.names() == ["data"]


def test_a_program_keeps_no_contents_of_what_it_reads(machine: Make) -> None:
    at = machine(keeps=False)
    files = Files(at.open())
    put(files, "y", "2")

    assert read(files, "x") == "1"
    assert list(at.folder.rglob("objects/*/*")) == []
    assert list(at.folder.rglob("staging/*")) == []


def test_a_volume_that_was_made_anew_is_another_one(machine: Make, volumes: Volumes) -> None:
    view = machine().view()
    volumes.delete("data")
    volumes.open("data", create=PORTABLE)
    write(view.copy, "x", "2")

    with pytest.raises(NotFound, match="another one now"):
        view.commit()


def test_a_volume_that_a_worker_elsewhere_has_mounted_is_not_deleted(machine: Make) -> None:
    at = machine()
    at.desk.is_mounted = lambda name: name == "data"

    with pytest.raises(VolumeBusy):
        at.volumes.delete("data")
    at.desk.is_mounted = lambda _: False
    at.volumes.delete("data")
    assert at.volumes.names() == []


def test_a_disk_that_is_full_leaves_the_version_before(machine: Make, store: Store) -> None:
    at = machine()
    view = at.view()
    write(view.copy, "x", "2")

    def full(_: str) -> None:
        raise OSError(28, "no space")

    def fill_up(command: object) -> None:
        disk.before = full if isinstance(command, CommitVolume) else lambda _: None

    at.before = fill_up
    try:
        with pytest.raises(VolumeFull):
            view.commit()
    finally:
        disk.before = lambda _: None
    assert contents(store) == {"x": "1"}


def test_an_ephemeral_volume_is_gone_with_its_block(machine: Make, volumes: Volumes) -> None:
    at = machine()
    with at.volumes.ephemeral() as volume:
        assert volume.name in volumes.names()

    assert volumes.names() == ["data"]


def test_a_volume_of_one_host_is_on_the_disk_of_the_first_machine_that_mounts_it(
    machine: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other, program = machine(), machine(), machine(keeps=False)
    monkeypatch.setenv("APOTHIC_HOST", "first")
    store = one.volumes.open("fast", create=VAST_LOCAL)
    one.volumes.place(store)
    put(Files(store), "x", "1")
    one.kinds()
    assert read(Files(one.volumes.open("fast")), "x") == "1"
    assert one.kinds() == ["FindVolume", "PlaceVolume"]
    monkeypatch.setenv("APOTHIC_HOST", "second")

    with pytest.raises(HostGone, match="host 'first'"):
        other.volumes.open("fast")
    with pytest.raises(HostGone, match="host 'first'"):
        program.volumes.place(program.volumes.open("fast"))


def test_a_volume_of_one_host_is_not_put_on_a_disk_that_goes(
    machine: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APOTHIC_FAR", "apothic/plane/1")

    with pytest.raises(HostGone, match=r"say so, by Volume.create\('fast'"):
        machine().volumes.open("fast", create=VAST_LOCAL)


def test_a_volume_of_one_host_lies_where_the_provider_of_a_rented_machine_has_mounted_it(
    machine: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    told = {"FAR": "apothic/plane/1", "HOST": "vast-31", "LOCAL_VOLUME": "fast"}
    for name, value in {**told, "LOCAL_FOLDER": str(disk)}.items():
        monkeypatch.setenv(f"APOTHIC_{name}", value)
    one, other = machine(), machine()
    with pytest.raises(HostGone, match="was to have volume fast at"):
        one.volumes.open("fast", create=VAST_LOCAL)

    disk.mkdir()
    put(Files(one.volumes.open("fast", create=VAST_LOCAL)), "x", "1")

    assert read(Files(other.volumes.open("fast")), "x") == "1"
    assert one.desk.host_of("fast") == "vast-31"
    assert one.desk.host_of("another") is None


def test_whoever_rents_for_a_volume_hears_before_it_is_deleted(machine: Make) -> None:
    one = machine()
    heard: list[str] = []
    one.desk.on_drop = heard.append
    one.volumes.open("fast", create=VAST_LOCAL)

    with pytest.raises(NotFound):
        one.volumes.delete("slow")
    one.volumes.delete("fast")

    assert heard == ["fast"]


def test_another_account_gets_nothing_by_knowing_a_hash(
    machine: Make, store: Store, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    other = Machine(Volumes(tmp_path / "other"), tmp_path / "elsewhere")
    other.open(create=PORTABLE)
    digest = store.read().entries["x"].content

    with pytest.raises(NotFound):
        other.start(GetPieces("data", machine().open().volume_id, (Piece(digest, 0, 1),))).wait()
    with pytest.raises(VolumeConflict):
        other.start(GetPieces("data", other.open().volume_id, (Piece(digest, 0, 1),))).wait()


def put_by(machine: Machine, data: bytes, **piece: Any) -> None:
    digest = hashlib.sha256(data).hexdigest()
    what: dict[str, Any] = {"content": digest, "length": len(data), "size": len(data)}
    told = Piece(**(what | piece))
    machine.start(
        PutPieces("data", machine.open().volume_id, (told,), Payload(data, codec="bytes"))
    ).wait()


A = "a" * 64


@pytest.mark.parametrize(
    ("piece", "error"),
    [
        ({"content": "../x"}, UsageError),
        ({"content": A}, VolumeDamaged),
        ({"at": -1}, UsageError),
        ({"size": 1}, UsageError),
        ({"size": 1 << 60}, UsageError),
        ({"length": 2}, UsageError),
        ({"parts": "0-2,1-3"}, UsageError),
        ({"parts": "x"}, UsageError),
    ],
    ids=str,
)
def test_a_piece_that_cannot_be_meant_is_refused(
    machine: Make, store: Store, piece: dict[str, Any], error: type[ApothicError]
) -> None:
    at = machine()
    with pytest.raises(error):
        put_by(at, b"abc", **piece)

    assert at.start(FindMissing("data", at.open().volume_id, (A,))).wait() == (A,)
    assert store.read().rev == 1


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b"{", UsageError),
        (b"[]", UsageError),
        (b'["y"]', UsageError),
        (b'["../y",null,null]', PathRefused),
        (b'["a//b",null,null]', PathRefused),
        (b'["/y",null,null]', PathRefused),
        (b'["",null,null]', PathRefused),
        (b'["y",["device",0,0,0,"",0],null]', UsageError),
        (b'["y",["file",511,0,3,"../../x",0],null]', UsageError),
        (b'["y",["file",2048,0,3,"%s",0],null]' % (b"a" * 64), UsageError),
        (b'["y",["file",511,0,-3,"%s",0],null]' % (b"a" * 64), UsageError),
        (b'["y",["file",511,0,3,"%s",0],null]' % (b"a" * 64), VolumeConflict),
        (b'["y",["link",511,0,3,"/etc/passwd",0],null]', PathRefused),
        (b'["y",["folder",511,0,0,"more",0],null]', UsageError),
    ],
    ids=str,
)
def test_a_commit_that_cannot_be_meant_is_refused(
    machine: Make, store: Store, line: bytes, error: type[ApothicError]
) -> None:
    at = machine()
    changes = Payload(line, codec="bytes")

    with pytest.raises(error):
        at.start(CommitVolume("data", at.open().volume_id, changes, "token")).wait()
    assert contents(store) == {"x": "1"}


def test_a_failure_nobody_has_thought_of_is_told(machine: Make) -> None:
    at = machine()

    with pytest.raises(ApothicError, match="TypeError"):
        at.start(GetPieces("data", at.open().volume_id, ("no piece",))).wait()  # type: ignore[arg-type]


@pytest.mark.parametrize("odd", ["../../elsewhere", "/etc", "", "a/b", "."])
def test_a_control_plane_cannot_name_a_folder_elsewhere(tmp_path: Path, odd: str) -> None:
    def start(command: object) -> Ticket[VolumeHead]:
        ticket = Ticket[VolumeHead]()
        ticket.complete(VolumeHead("data", odd, PORTABLE))
        return ticket

    volumes = FarVolumes(start, tmp_path / "home", keeps=False)

    with pytest.raises(InvalidOption):
        volumes.open("data")
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(
    ("path", "entry"),
    [
        ("../out", Entry(FILE, 0o644, 0, 0, "0" * 64, 1)),
        ("/out", Entry(FILE, 0o644, 0, 0, "0" * 64, 1)),
        ("a", Entry(FILE, 0o644, 0, 0, "../../out", 1)),
        ("a", Entry(FILE, 0o4755, 0, 0, "0" * 64, 1)),
    ],
)
def test_a_version_that_no_volume_can_have_is_refused(path: str, entry: Entry) -> None:
    with pytest.raises(VolumeDamaged, match="version 1 has what no volume can have"):
        checked(Manifest(1, 0, {path: entry}), "version 1")
