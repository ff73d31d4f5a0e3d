"""Machines that cannot keep programs apart, or only for users who are not root."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from apothic_backends.sandboxes.guest import Guest

REFUSE = """
import json, sys
from pathlib import Path
from apothic_backends.model.sandboxes import IsolationMissing
from apothic_backends.sandboxes.guest import open_guest
from apothic_backends.sandboxes.inside import filters, kernel
from apothic_backends.sandboxes.isolation import GuestSpec

kernel.forbid_new_privileges()
assert filters.install() == []  # from here on the kernel refuses new namespaces

workspace = Path(sys.argv[1])
try:
    open_guest(GuestSpec(workspace=workspace, untrusted=True))
except IsolationMissing as error:
    refused = str(error), error.data["missing"]
guest = open_guest(GuestSpec(workspace=workspace, pids=20))
"""
"""The start of a program on a machine that has no namespaces to give."""

USER = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
uid, gid = os.getuid(), os.getgid()
assert libc.unshare(0x10000000) == 0, os.strerror(ctypes.get_errno())
open("/proc/self/setgroups", "w").write("deny")
open("/proc/self/uid_map", "w").write(f"1000 {uid} 1")
open("/proc/self/gid_map", "w").write(f"1000 {gid} 1")
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""
"""Runs a program as user 1000, who has no rights."""

AS_USER = """
import json, os, sys
from pathlib import Path
from apothic_backends.sandboxes.guest import open_guest
from apothic_backends.sandboxes.isolation import GuestSpec

guest = open_guest(GuestSpec(workspace=Path(sys.argv[1]), untrusted=True))
process = guest.start(["sh", "-c", "id -u; echo a > a; cat /proc/self/status"])
code = process.wait(60)
status = process.read("stdout", 0, 60).data.decode()
print(json.dumps([os.getuid(), guest.isolation.level, guest.owner, code, status]))
guest.close()
"""


def outcome_of(*command: str) -> Any:
    """What a program of its own prints, as JSON."""
    ran = subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, check=False, timeout=120
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def within_limits(workspace: Path, program: str) -> Any:
    """What comes of a program that has a `guest` which only has limits."""
    return outcome_of("-c", f"{REFUSE}\n{program}\nguest.close()", str(workspace))


def test_untrusted_programs_are_refused_where_there_are_no_namespaces(workspace: Path) -> None:
    message, missing = within_limits(workspace, "print(json.dumps(refused))")

    assert message.startswith("untrusted=True, but this machine cannot keep programs apart")
    assert "Operation not permitted" in missing[0]


def test_trusted_programs_run_with_limits_that_say_what_is_missing(workspace: Path) -> None:
    show = "print(json.dumps([guest.isolation.level, list(guest.isolation.missing)]))"

    level, missing = within_limits(workspace, show)

    assert level == "limits"
    assert missing[0].startswith("namespaces: ")
    assert len(missing) >= 3


def test_within_limits_a_program_runs_in_the_workspace_with_an_environment_of_its_own(
    workspace: Path,
) -> None:
    run = """
import os
os.environ["CANARY"] = "canary"
process = guest.start(["sh", "-c", "pwd; echo $HOME; env | grep -c canary; ulimit -c"])
code = process.wait(60)
print(json.dumps(process.read("stdout", 0, 60).data.decode().split()))
"""
    assert within_limits(workspace, run) == [str(workspace), str(workspace), "0", "0"]


def test_within_limits_all_that_was_started_ends_with_the_guest(workspace: Path) -> None:
    run = """
process = guest.start(["sh", "-c", "exec 9> held; flock 9; setsid sleep 1000 & echo locked"])
process.read("stdout", 0, 60)
process.wait(60)
guest.close()
print(0)
"""
    within_limits(workspace, run)

    # The lock is free as soon as nobody of the guest is left.
    lock = subprocess.run(["flock", "--timeout", "60", workspace / "held", "true"], check=False)
    assert lock.returncode == 0


def test_within_limits_all_that_was_started_dies_with_its_owner(workspace: Path) -> None:
    run = """
process = guest.start(["sh", "-c", "exec 9> held; flock 9; setsid sleep 1000 & echo locked"])
process.read("stdout", 0, 60)
print("ready", flush=True)
sys.stdin.read()
"""
    owner = subprocess.Popen(
        [sys.executable, "-c", REFUSE + run, str(workspace)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"ready\n"
        owner.kill()

    lock = subprocess.run(["flock", "--timeout", "60", workspace / "held", "true"], check=False)
    assert lock.returncode == 0


def test_within_limits_a_time_out_kills_what_was_started_too(workspace: Path) -> None:
    run = """
process = guest.start(["sh", "-c", "setsid sleep 1000 & echo $!; wait"])
pid = process.read("stdout", 0, 60).data.decode().strip()
process.expire(0.1)
code = process.wait(60)
alive = guest.start(["kill", "-0", pid]).wait(60)
print(json.dumps([code, alive != 0]))
"""
    assert within_limits(workspace, run) == [-1, True]


def test_a_user_without_rights_has_guests_that_are_kept_apart(guest: Guest, tmp_path: Path) -> None:
    folder = tmp_path / "of-user"
    folder.mkdir()

    uid, level, owner, code, status = outcome_of("-c", USER, "-c", AS_USER, str(folder))

    assert (uid, level, owner, code) == (1000, "namespaces", None, 0)
    assert status.startswith("1000\n")
    assert "CapBnd:\t0000000000000000" in status
    assert (folder / "a").read_text("utf-8") == "a\n"


@pytest.mark.parametrize("name", ["PATH", "HOME", "LANG"])
def test_a_guest_has_what_every_program_needs(guest: Guest, name: str) -> None:
    assert guest.start(["sh", "-c", f'[ -n "${name}" ]']).wait(60) == 0
