"""Programs that take all they can get: they are held, and others go on."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

import pytest

from apothic_backends.model.errors import InvalidOption
from apothic_backends.model.sandboxes import GuestGone
from apothic_backends.sandboxes.guest import Guest
from apothic_backends.sandboxes.output import KEPT_BYTES
from tests.sandboxes.conftest import PATIENCE_S, read_all, run

GIGABYTE = 1 << 30


def test_a_gigabyte_that_nobody_reads_is_written_and_its_end_is_kept(guest: Guest) -> None:
    process = guest.start(["sh", "-c", f"head -c {GIGABYTE} /dev/zero; echo end"])

    assert process.wait(PATIENCE_S * 3) == 0
    chunk = process.read("stdout", 0, 0)
    assert chunk.lost_bytes >= GIGABYTE - 2 * KEPT_BYTES
    rest = read_from(process, chunk.position)
    assert rest.endswith(b"end\n")
    assert chunk.lost_bytes + len(rest) == GIGABYTE + 4


def read_from(process: object, position: int) -> bytes:
    from apothic_backends.sandboxes.process import Process

    assert isinstance(process, Process)
    parts = list[bytes]()
    while True:
        chunk = process.read("stdout", position, PATIENCE_S)
        assert chunk.lost_bytes == 0
        parts.append(chunk.data)
        position = chunk.end
        if chunk.is_end:
            return b"".join(parts)


def test_somebody_who_reads_loses_nothing(guest: Guest) -> None:
    size = 6 * KEPT_BYTES
    process = guest.start(["head", "-c", str(size), "/dev/zero"])

    assert len(read_from(process, 0)) == size


def test_a_program_that_never_reads_its_input_does_not_keep_its_owner(guest: Guest) -> None:
    process = guest.start(["sh", "-c", "sleep 0.3"])

    with pytest.raises(BrokenPipeError):
        process.write(b"x" * 8_000_000)
    assert process.wait(PATIENCE_S) == 0


def test_a_child_that_keeps_the_output_open_does_not_keep_who_waits(guest: Guest) -> None:
    begun = time.monotonic()
    process = guest.start(["sh", "-c", "sleep 1000 & echo done"])

    assert process.wait(PATIENCE_S) == 0
    assert time.monotonic() - begun < PATIENCE_S / 2
    assert read_all(process, "stdout") == "done\n"


def test_what_was_left_in_the_background_lives_on(guest: Guest) -> None:
    run(guest, "sh", "-c", "sleep 1000 & echo $! > pid")

    assert run(guest, "sh", "-c", "kill -0 $(cat pid)").code == 0


def test_a_program_that_ignores_every_signal_is_stopped_at_its_time_out(guest: Guest) -> None:
    process = guest.start(["sh", "-c", "trap '' TERM INT HUP; echo begun; while :; do :; done"])
    assert process.read("stdout", 0, PATIENCE_S).data == b"begun\n"
    process.kill(signal.SIGTERM)

    process.expire(0.1)

    assert process.wait(PATIENCE_S) == -1
    assert read_all(process, "stdout") == "begun\n"


@pytest.mark.parametrize("how", ["", "setsid ", "setsid setsid ", "env -i setsid "])
def test_a_time_out_kills_what_was_started_too(guest: Guest, how: str) -> None:
    program = f"{how}sh -c 'echo $$ > pid; exec sleep 1000' & echo begun; wait; sleep 1000"
    process = guest.start(["sh", "-c", program])
    process.read("stdout", 0, PATIENCE_S)
    run(guest, "sh", "-c", "until [ -s pid ]; do :; done")

    process.expire(0.1)

    assert process.wait(PATIENCE_S) == -1
    assert run(guest, "sh", "-c", "kill -0 $(cat pid)").code != 0


def test_kill_reaches_what_has_left_its_session(guest: Guest) -> None:
    process = guest.start(["sh", "-c", "setsid sleep 1000 & echo $!; wait"])
    pid = process.read("stdout", 0, PATIENCE_S).data.decode().strip()

    process.kill()

    assert process.wait(PATIENCE_S) == -signal.SIGKILL
    assert run(guest, "kill", "-0", pid).code != 0


def test_a_program_may_handle_a_signal(guest: Guest) -> None:
    process = guest.start(["sh", "-c", "trap 'exit 5' TERM; echo up; while :; do sleep 0.1; done"])
    process.read("stdout", 0, PATIENCE_S)

    process.kill(signal.SIGTERM)

    assert process.wait(PATIENCE_S) == 5


def test_a_fork_bomb_stays_within_its_processes_and_is_killed(
    opened: Callable[..., Guest],
) -> None:
    guest = opened(pids=20, untrusted=True)
    bomb = "import os\nwhile True:\n try:\n  os.fork()\n except OSError:\n  pass"
    process = guest.start(["python3", "-I", "-S", "-c", bomb])
    process.expire(1.0)

    assert process.wait(PATIENCE_S) == -1
    assert run(guest, "echo", "alive").stdout == "alive\n"


def test_a_guest_with_too_many_processes_says_so(opened: Callable[..., Guest]) -> None:
    guest = opened(pids=3, untrusted=True)
    for _ in range(3):
        guest.start(["sleep", "1000"])

    with pytest.raises(GuestGone, match="unavailable"):
        guest.start(["true"])


def test_a_program_that_takes_too_much_memory_fails(opened: Callable[..., Guest]) -> None:
    guest = opened(memory_mb=64)

    ran = run(guest, "python3", "-I", "-S", "-c", "x = bytearray(256 << 20)")

    assert ran.code == 1
    assert "MemoryError" in ran.stderr


@pytest.mark.parametrize("path", ["/tmp/x", "/dev/shm/x"])
def test_files_in_memory_have_a_limit(opened: Callable[..., Guest], path: str) -> None:
    ran = run(opened(memory_mb=64), "head", "-c", "100000000", "/dev/zero", "--", workdir="/tmp")
    assert ran.code is not None

    ran = run(opened(memory_mb=64), "dd", "if=/dev/zero", f"of={path}", "bs=1M", "count=100")

    assert "No space left" in ran.stderr


@pytest.mark.parametrize("option", [{"memory_mb": 1}, {"pids": 0}, {"cpu": 0}])
def test_a_limit_that_cannot_be_meant_is_refused(
    opened: Callable[..., Guest], option: dict[str, int]
) -> None:
    with pytest.raises(InvalidOption):
        opened(**option)


def test_a_guest_runs_on_as_many_cores_as_it_was_given(opened: Callable[..., Guest]) -> None:
    assert run(opened(cpu=1), "nproc").stdout == "1\n"


def test_no_program_leaves_a_core_dump(guest: Guest) -> None:
    assert run(guest, "sh", "-c", "ulimit -c").stdout == "0\n"
