"""What a guest's programs try to reach, and cannot: run with namespaces of their own."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from apothic_backends.sandboxes.guest import Guest
from tests.sandboxes.conftest import run

CANARY = "canary-5b0c7f"
HOME = "/root"
PRY = "ls /proc/1/fd || cd /proc/1/root || cat /proc/1/mem || cat /proc/1/environ"


@pytest.fixture
def canary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file of this machine, and a variable of this process, that no guest may read."""
    monkeypatch.setenv("APOTHIC_TEST_CANARY", CANARY)
    with tempfile.TemporaryDirectory(dir=Path(__file__).parent) as folder:
        path = Path(folder) / "canary"
        path.write_text(CANARY, "utf-8")
        path.chmod(0o644)
        yield path


def status_of(guest: Guest) -> dict[str, str]:
    """What the kernel says of a program of the guest."""
    lines = run(guest, "cat", "/proc/self/status").stdout.splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def python(guest: Guest, program: str) -> str:
    """What a Python program prints in the guest."""
    ran = run(guest, "python3", "-I", "-S", "-c", program)
    assert ran.code == 0, ran.stderr
    return ran.stdout.strip()


# --- who it is --------------------------------------------------------------------------------


def test_a_guest_is_not_root_inside(guest: Guest) -> None:
    assert run(guest, "id", "-u").stdout == "1000\n"


def test_a_guest_is_not_root_outside(guest: Guest, workspace: Path) -> None:
    run(guest, "touch", "made")

    assert (workspace / "made").stat().st_uid != 0


def test_a_guest_has_no_capabilities_and_can_get_none(guest: Guest) -> None:
    status = status_of(guest)

    sets = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
    assert {int(status[name], 16) for name in sets} == {0}
    assert status["NoNewPrivs"] == "1"


def test_a_guest_has_a_filter_of_system_calls(guest: Guest) -> None:
    assert status_of(guest)["Seccomp"] == "2"


# --- files ------------------------------------------------------------------------------------


def test_a_file_of_the_machine_cannot_be_read(guest: Guest, canary: Path) -> None:
    for path in (canary, f"/proc/1/root{canary}", f"/proc/self/root{canary}"):
        assert CANARY not in run(guest, "cat", str(path)).stdout
    assert run(guest, "grep", "-rs", CANARY, "/etc", "/tmp", "/dev/shm", "/workspace").stdout == ""


@pytest.mark.parametrize("path", ["/var/run/docker.sock", "/run/docker.sock", "/run", "/var"])
def test_a_place_of_sockets_is_not_there(guest: Guest, path: str) -> None:
    assert run(guest, "ls", path).code != 0


@pytest.mark.parametrize("path", ["/home", f"{HOME}/.ssh", f"{HOME}/.bashrc", "/mnt", "/srv"])
def test_a_place_of_people_is_not_there(guest: Guest, path: str) -> None:
    assert run(guest, "ls", path).code != 0


@pytest.mark.parametrize("path", ["/sys", "/sys/fs/cgroup"])
def test_there_are_no_control_groups_to_be_written(guest: Guest, path: str) -> None:
    assert run(guest, "sh", "-c", f"mkdir {path}/x || echo 1 > {path}/cgroup.procs").code != 0


@pytest.mark.parametrize("path", ["/", "/usr", "/usr/bin", "/etc", "/dev", "/proc", "/root"])
def test_the_root_cannot_be_written(guest: Guest, path: str) -> None:
    assert run(guest, "touch", f"{path}/apothic-test").code != 0


def test_what_is_mounted_is_read_only_but_for_the_workspace_and_memory(guest: Guest) -> None:
    mounts = [line.split() for line in run(guest, "cat", "/proc/self/mounts").stdout.splitlines()]

    writable = {where for _, where, _, options, *_ in mounts if "rw" in options.split(",")}
    devices = {where for where in writable if where.startswith("/dev/")}
    assert writable - devices == {"/workspace", "/tmp", "/proc"}


def test_the_disks_of_the_machine_are_no_devices_here(guest: Guest) -> None:
    assert run(guest, "find", "/dev", "-type", "b").stdout == ""


@pytest.mark.parametrize("name", ["sysrq-trigger", "kcore", "sys/kernel/core_pattern"])
def test_the_kernel_cannot_be_set_by_its_files(guest: Guest, name: str) -> None:
    program = f"open('/proc/{name}', 'r+b').write(b'')"

    assert run(guest, "python3", "-I", "-S", "-c", program).code != 0


# --- processes --------------------------------------------------------------------------------


def test_only_its_own_processes_are_there(guest: Guest) -> None:
    pids = run(guest, "sh", "-c", "ls /proc | grep -c '^[0-9]'").stdout

    assert int(pids) <= 6
    assert run(guest, "kill", "-0", str(os.getpid())).code != 0


def test_the_environment_of_the_host_is_not_there(guest: Guest, canary: Path) -> None:
    assert CANARY not in run(guest, "env").stdout
    assert run(guest, "sh", "-c", "cat /proc/1/environ /proc/*/environ").stdout.find(CANARY) < 0


def test_the_first_process_cannot_be_looked_into(guest: Guest) -> None:
    ran = run(guest, "sh", "-c", PRY)

    assert ran.code != 0
    assert ran.stdout == ""


def test_the_first_process_cannot_be_traced(guest: Guest) -> None:
    attach = (
        "import ctypes; c = ctypes.CDLL(None, use_errno=True); "
        "print(c.ptrace(16, 1, 0, 0), ctypes.get_errno())"
    )

    assert python(guest, attach) == "-1 1"


@pytest.mark.parametrize("name", ["KILL", "STOP", "INT", "TERM", "CHLD", "HUP", "SEGV"])
def test_the_first_process_cannot_be_stopped(guest: Guest, name: str) -> None:
    run(guest, "sh", "-c", f"kill -{name} 1")

    assert run(guest, "echo", "alive").stdout == "alive\n"


def test_a_program_has_no_descriptors_but_its_own(guest: Guest) -> None:
    is_there = "os.path.exists(f'/proc/self/fd/{fd}')"

    assert python(guest, f"import os; print([fd for fd in range(64) if {is_there}])") == "[0, 1, 2]"


# --- system calls -----------------------------------------------------------------------------

CALLS = {
    "unshare, users": "c.unshare(0x10000000)",
    "unshare, mounts": "c.unshare(0x00020000)",
    "setns": "c.setns(os.open('/proc/self/ns/net', 0), 0)",
    "mount": "c.mount(b'none', b'/tmp', b'tmpfs', 0, None)",
    "bind": "c.mount(b'/etc', b'/tmp', None, 4096, None)",
    "remount": "c.mount(None, b'/usr', None, 32 | 4096, None)",
    "umount": "c.umount2(b'/proc', 2)",
    "chroot": "c.chroot(b'/tmp')",
    "open by handle": "c.open_by_handle_at(-100, None, 0)",
    "keyctl": "c.syscall(250 if os.uname().machine == 'x86_64' else 219, 0, -1, 0)",
    "sethostname": "c.sethostname(b'x', 1)",
    "reboot": "c.reboot(0)",
    "swapon": "c.swapon(b'/tmp/x', 0)",
    "setuid": "c.setuid(0)",
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_a_call_that_leads_out_is_refused(guest: Guest, call: str) -> None:
    program = f"import ctypes, os; c = ctypes.CDLL(None, use_errno=True); print({call})"

    assert python(guest, program) == "-1"


def test_a_program_that_is_set_user_id_gives_no_rights(guest: Guest) -> None:
    assert run(guest, "su").code != 0
    assert run(guest, "sh", "-c", "cp /usr/bin/id . && chmod u+s id && ./id -u").stdout in {
        "",
        "1000\n",
    }


@pytest.mark.parametrize("change", ["chmod('own', {})", "fchmod(os.open('own', 64), {})"])
def test_permissions_may_be_changed_but_not_so_that_a_program_is_set_user_id(
    guest: Guest, change: str
) -> None:
    run(guest, "touch", "own")
    python(guest, f"import os; [os.{change.format('mode')} for mode in (0o600, 0o711)]")

    ran = run(guest, "python3", "-I", "-S", "-c", f"import os; os.{change.format('0o4755')}")
    assert "PermissionError" in ran.stderr


# --- network ----------------------------------------------------------------------------------


def test_there_is_no_network_but_a_loopback_device(guest: Guest) -> None:
    lines = run(guest, "cat", "/proc/net/dev").stdout.splitlines()[2:]

    assert [re.split(r":", line.strip())[0] for line in lines] == ["lo"]


def test_the_addresses_of_metadata_cannot_be_reached(guest: Guest) -> None:
    connect = (
        "import _socket; s = _socket.socket(); s.settimeout(5); "
        "print(s.connect_ex(('169.254.169.254', 80)))"
    )

    assert python(guest, connect) == "101"  # ENETUNREACH


def test_a_port_of_the_machine_cannot_be_reached(guest: Guest) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        connect = f"import _socket; print(_socket.socket().connect_ex(('127.0.0.1', {port})))"

        assert python(guest, connect) == "111"  # ECONNREFUSED


def test_a_socket_without_a_file_cannot_be_reached(guest: Guest) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("\0apothic-test")
        server.listen()
        connect = "import _socket; print(_socket.socket(1).connect_ex('\\0apothic-test'))"

        assert python(guest, connect) == "111"  # ECONNREFUSED


def test_the_owner_reaches_a_port_of_the_guest(guest: Guest) -> None:
    serve = (
        "import socket; s = socket.create_server(('127.0.0.1', 8080)); print('up', flush=True); "
        "c, _ = s.accept(); c.sendall(b'hello'); c.close()"
    )
    process = guest.start(["python3", "-I", "-c", serve])
    assert process.read("stdout", 0, 60).data == b"up\n"

    with guest.connect(8080) as connection:
        connection.settimeout(60)
        assert connection.recv(16) == b"hello"


def test_a_port_where_nobody_listens_is_refused(guest: Guest) -> None:
    with pytest.raises(ConnectionRefusedError):
        guest.connect(8081)


def test_with_network_a_port_of_the_machine_can_be_reached(opened: Callable[..., Guest]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        connect = f"import _socket; print(_socket.socket().connect_ex(('127.0.0.1', {port})))"

        assert python(opened(network=True), connect) == "0"


def test_another_guest_is_not_there(guest: Guest, opened: Callable[..., Guest]) -> None:
    other = opened()
    sleeper = other.start(["sleep", "1000"])

    assert "sleep" not in run(guest, "sh", "-c", "cat /proc/*/comm").stdout
    assert sleeper.poll() is None


# --- what it shares ---------------------------------------------------------------------------


def test_a_bind_is_read_only_unless_it_may_be_written(
    tmp_path: Path, opened: Callable[..., Guest]
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a").write_text("a", "utf-8")
    (tmp_path / "data").chmod(0o777)
    binds = ((tmp_path / "data", "/data", False), (tmp_path / "data", "/mnt/data", True))

    guest = opened(binds=binds)

    assert run(guest, "cat", "/data/a").stdout == "a"
    assert run(guest, "touch", "/data/b").code != 0
    assert run(guest, "touch", "/mnt/data/b").code == 0


def test_the_python_of_the_owner_is_the_python_of_the_guest(guest: Guest) -> None:
    ran = run(guest, "python3", "-c", "import sys, pytest; print(sys.prefix)")

    assert ran.stdout.strip() == sys.prefix


# --- how it ends ------------------------------------------------------------------------------

OWNER = """
import os, sys
from pathlib import Path
from apothic_backends.sandboxes.guest import open_guest
from apothic_backends.sandboxes.isolation import GuestSpec

guest = open_guest(GuestSpec(workspace=Path(sys.argv[1]), untrusted=sys.argv[2] == "1"))
guest.start(["sh", "-c", "exec 9> held; flock 9; echo locked; exec sleep 1000"]).read("stdout", 0)
print("ready", flush=True)
sys.stdin.read()
"""


def test_a_guest_dies_with_its_owner(guest: Guest, tmp_path: Path) -> None:
    folder = tmp_path / "second"
    folder.mkdir()
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(folder), "1"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"ready\n"
        owner.kill()

    # The lock is free as soon as nobody of the guest is left.
    lock = subprocess.run(["flock", "--timeout", "60", folder / "held", "true"], check=False)
    assert lock.returncode == 0
