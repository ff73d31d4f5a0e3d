"""Guests in containers, on a real Docker engine."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import docker
import pytest

from apothic_backends.model.errors import InvalidOption
from apothic_backends.model.sandboxes import GuestGone, IsolationMissing
from apothic_backends.sandboxes.container import open_container
from apothic_backends.sandboxes.guest import Guest
from apothic_backends.sandboxes.isolation import GuestSpec
from tests.containers.image import EMPTY, NAME

pytestmark = pytest.mark.docker

PATIENCE_S = 60.0


class Ran(NamedTuple):
    """What a program has done."""

    code: int | None
    out: str
    err: str


def run(guest: Guest, *argv: str, pty: tuple[int, int] | None = None) -> Ran:
    process = guest.start(argv, pty=pty)
    code = process.wait(PATIENCE_S)
    out, err = (process.read(it, 0, 0).data.decode() for it in ("stdout", "stderr"))
    return Ran(code, out, err)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("place")


@pytest.fixture(scope="module")
def guest(place: Path) -> Iterator[Guest]:
    workspace = place / "workspace"
    workspace.mkdir()
    spec = GuestSpec(workspace=workspace, untrusted=True, memory_mb=128, pids=16, cpu=1)
    guest = open_container(spec, NAME)
    yield guest
    guest.close()


def test_it_is_told_that_it_is_a_container_and_lacks_nothing(guest: Guest) -> None:
    assert (guest.isolation.level, guest.isolation.missing) == ("container", ())


def test_its_output_and_its_end_are_told(guest: Guest) -> None:
    assert run(guest, "sh", "-c", "echo out; echo err >&2; exit 3") == Ran(3, "out\n", "err\n")


def test_its_files_are_those_of_the_workspace(guest: Guest, place: Path) -> None:
    (place / "workspace" / "from-here").write_text("hello")
    os.chown(place / "workspace" / "from-here", *(guest.owner or (-1, -1)))

    ran = run(guest, "sh", "-c", "cat from-here; echo there > from-there")

    assert (ran.out, (place / "workspace" / "from-there").read_text()) == ("hello", "there\n")


def test_it_has_a_terminal_where_one_is_asked_for(guest: Guest) -> None:
    assert run(guest, "stty", "size", pty=(33, 77)).out == "33 77\r\n"


def test_its_user_is_not_root_and_has_no_rights(guest: Guest) -> None:
    ran = run(guest, "sh", "-c", "id -u; grep -E '^(Cap|NoNewPrivs)' /proc/self/status")

    assert ran.out.splitlines()[0] != "0"
    rights = dict(line.split(":\t") for line in ran.out.splitlines()[1:])
    assert {int(value, 16) for name, value in rights.items() if name != "NoNewPrivs"} == {0}
    assert rights["NoNewPrivs"] == "1"


@pytest.mark.parametrize("path", ["/here", "/usr/here", "/etc/here", "/run/apothic/here", "/dev/h"])
def test_its_root_cannot_be_written(guest: Guest, path: str) -> None:
    assert run(guest, "touch", path).code != 0


def test_what_is_scratch_can_be_written(guest: Guest) -> None:
    assert run(guest, "sh", "-c", "echo x > /tmp/x && cat /tmp/x").out == "x\n"


def test_it_has_no_network(guest: Guest) -> None:
    assert run(guest, "sh", "-c", "tail -n +3 /proc/net/dev").out.split(":")[0].strip() == "lo"


def test_no_docker_socket_and_no_control_socket_is_in_it(guest: Guest) -> None:
    found = run(guest, "sh", "-c", "find / -type s 2>/dev/null; ls /run/docker.sock")

    assert found.out == ""


def test_it_sees_no_processes_but_its_own(guest: Guest) -> None:
    listed = run(guest, "sh", "-c", "ls -d /proc/[0-9]*").out.split()

    assert len(listed) <= 3


def test_its_first_process_cannot_be_looked_into(guest: Guest) -> None:
    assert run(guest, "cat", "/proc/1/environ").code != 0
    assert run(guest, "ls", "/proc/1/fd").code != 0


@pytest.mark.parametrize("flags", ["-m", "-U", "-n", "-p"])
def test_it_makes_no_namespaces(guest: Guest, flags: str) -> None:
    assert run(guest, "unshare", flags, "true").code != 0


def test_control_groups_cannot_be_written(guest: Guest) -> None:
    tried = "mkdir /sys/fs/cgroup/x /sys/fs/cgroup/memory/x /sys/fs/cgroup/pids/x"

    assert run(guest, "sh", "-c", f"{tried} 2>/dev/null; ls -d /sys/fs/cgroup/*/x").out == ""


def test_a_secret_of_this_process_is_not_in_its_environment(
    guest: Guest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CANARY", "sings")

    assert "sings" not in run(guest, "env").out


def test_memory_is_limited_for_all_of_it(guest: Guest) -> None:
    assert run(guest, "python3", "-c", "x = b'x' * (400 << 20)").code not in {0, None}
    assert run(guest, "true").code == 0


def test_a_fork_bomb_ends_at_its_limit(guest: Guest) -> None:
    tried = "for i in $(seq 60); do sleep 60 & done; echo begun"

    run(guest, "sh", "-c", tried)

    assert len(run(guest, "sh", "-c", "ls -d /proc/[0-9]* | wc -l; true").out) < 4


def test_an_image_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidOption, match="no-such-image-anywhere"):
        open_container(GuestSpec(workspace=tmp_path), "no-such-image-anywhere")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_without_docker_it_is_refused_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")

    with pytest.raises(IsolationMissing, match="there is no Docker that can be used here"):
        open_container(GuestSpec(workspace=tmp_path), NAME)
    gc.collect()  # the library leaves a socket open where nobody answers


def test_an_image_without_python_is_told_as_one(tmp_path: Path) -> None:
    with pytest.raises(GuestGone, match="python3"):
        open_container(GuestSpec(workspace=tmp_path), EMPTY)


HOLDS = """
import sys
from pathlib import Path
from apothic_backends.sandboxes.container import open_container
from apothic_backends.sandboxes.isolation import GuestSpec
guest = open_container(GuestSpec(workspace=Path(sys.argv[1])), sys.argv[2])
guest.start(["sleep", "1000"])
print("up", flush=True)
sys.stdin.read()
"""


def test_nothing_of_it_outlives_who_holds_it(tmp_path: Path) -> None:
    client = docker.from_env()
    before = {it.id for it in client.containers.list(all=True)}
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(tmp_path), NAME],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "up\n"
        (made,) = [it for it in client.containers.list() if it.id not in before]
        holder.kill()
        made.wait(timeout=PATIENCE_S, condition="removed")

    assert {it.id for it in client.containers.list(all=True)} <= before
    client.close()
