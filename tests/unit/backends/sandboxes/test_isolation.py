"""What a guest is to be on this machine."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from apothic_backends.model.errors import InvalidOption
from apothic_backends.sandboxes import isolation
from apothic_backends.sandboxes.inside import packets
from apothic_backends.sandboxes.inside.plan import LIMITS, NAMESPACES, Plan
from apothic_backends.sandboxes.isolation import GuestSpec, Interpreter

PYTHON = Interpreter("/opt/p/bin", "/opt/p", ("/opt/p",))


def test_a_plan_arrives_as_it_was() -> None:
    plan = Plan(
        level=NAMESPACES,
        workspace="/a b/ü",
        token="t",
        has_network=True,
        uid=7,
        memory_mb=64,
        pids=3,
        scratch_mb=5,
        cores="0,2",
        shown=[("/real", "/seen")],
        binds=[("/x", "/y", True), ("/z", "", False)],
    )

    assert vars(Plan.from_texts(plan.texts())) == vars(plan)


def test_a_packet_arrives_with_its_texts_and_descriptors() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        packets.send(ours, packets.START, 7, -9, ["a", "", "ü\n", "\udcff"], (0, 1, 2))
        packet = packets.receive(theirs, bytearray(1000))

        assert packet is not None
        assert (packet.kind, packet.number, packet.value) == (packets.START, 7, -9)
        assert packet.texts == ["a", "", "ü\n", "\udcff"]
        assert len(packet.fds) == 3
        assert not any(os.get_inheritable(fd) for fd in packet.fds)
        for fd in packet.fds:
            os.close(fd)


def test_a_socket_whose_other_end_is_closed_gives_no_packet() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        ours.close()

        assert packets.receive(theirs, bytearray(1000)) is None


def test_the_environment_of_a_guest_has_nothing_of_this_process(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_HOST", "x")
    spec = GuestSpec(workspace=tmp_path, env={"A": "1"})

    env = isolation.environment(spec, PYTHON, NAMESPACES)

    assert sorted(env) == ["A", "HOME", "LANG", "PATH", "USER", "VIRTUAL_ENV"]
    assert env["HOME"] == "/workspace"
    assert env["PATH"].startswith("/opt/p/bin:")


def test_without_a_root_of_its_own_home_is_where_the_workspace_is(tmp_path: Path) -> None:
    env = isolation.environment(GuestSpec(workspace=tmp_path), PYTHON, LIMITS)

    assert env["HOME"] == str(tmp_path)


def test_a_virtual_environment_is_shown_with_what_it_is_made_of(tmp_path: Path) -> None:
    base, venv = tmp_path / "base", tmp_path / "venv"
    for folder in (base, venv):
        (folder / "bin").mkdir(parents=True)
    (base / "bin" / "python3").touch()
    (venv / "pyvenv.cfg").touch()
    (venv / "bin" / "python").symlink_to(base / "bin" / "python3")

    found = isolation.interpreter(str(venv / "bin" / "python"), ("/usr",))

    assert (found.bin, found.venv) == (str(venv / "bin"), str(venv))
    assert found.paths == (str(venv), str(base))


def test_the_python_of_the_system_needs_nothing_more(tmp_path: Path) -> None:
    found = isolation.interpreter("/usr/bin/true", ("/usr",))

    assert (found.venv, found.paths) == (None, ())


@pytest.mark.parametrize(("memory_mb", "scratch_mb"), [(None, 256), (64, 32), (4096, 256)])
def test_files_in_memory_take_at_most_half_of_it(
    tmp_path: Path, memory_mb: int | None, scratch_mb: int
) -> None:
    spec = GuestSpec(workspace=tmp_path, memory_mb=memory_mb)

    assert isolation.plan_of(spec, NAMESPACES, PYTHON, -1).scratch_mb == scratch_mb


@pytest.mark.parametrize("option", [{"memory_mb": 31}, {"pids": 0}, {"cpu": 0}])
def test_a_spec_that_cannot_be_meant_is_refused(tmp_path: Path, option: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption, match=next(iter(option))):
        isolation.plan_of(GuestSpec(workspace=tmp_path, **option), NAMESPACES, PYTHON, -1)


@pytest.mark.parametrize(
    "target", ["data", "/", "/a/../b", "/a/", "//a", "/workspace", "/workspace/data", ""]
)
def test_nothing_is_shown_at_a_path_that_could_lead_elsewhere(tmp_path: Path, target: str) -> None:
    spec = GuestSpec(workspace=tmp_path, binds=((tmp_path, target, False),))

    with pytest.raises(InvalidOption, match="absolute path"):
        isolation.check(spec)


def test_within_limits_it_is_said_that_nothing_is_shown(tmp_path: Path) -> None:
    spec = GuestSpec(workspace=tmp_path, binds=((tmp_path, "/data", False),))

    missing = isolation.beyond_limits("refused", spec)

    assert missing[0] == "namespaces: refused"
    assert "binds: /data is not there" in missing


def test_a_new_workspace_gets_a_user_of_its_own_that_is_nobody_here(tmp_path: Path) -> None:
    uid = isolation.choose_uid(tmp_path)

    assert 0x7000_0000 <= uid < 0x7100_0000


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_workspace_that_was_given_keeps_its_user(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").touch()
    (tmp_path / "link").symlink_to("/etc/passwd")
    uid = isolation.choose_uid(tmp_path)
    isolation.give(tmp_path, uid)

    assert isolation.choose_uid(tmp_path) == uid
    assert {path.lstat().st_uid for path in (tmp_path, *tmp_path.rglob("*"))} == {uid}
    assert Path("/etc/passwd").stat().st_uid == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_file_that_has_another_name_elsewhere_is_not_given_away(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").touch()
    (tmp_path / "workspace").mkdir()
    (tmp_path / "workspace" / "name").hardlink_to(tmp_path / "elsewhere")

    isolation.give(tmp_path / "workspace", 0x7000_0001)

    assert (tmp_path / "elsewhere").stat().st_uid == 0
