"""Programs that have a terminal."""

from __future__ import annotations

import pytest

from apothic_backends.sandboxes.guest import Guest
from apothic_backends.sandboxes.process import Process
from tests.sandboxes.conftest import PATIENCE_S, read_all, run


def read_until(process: Process, text: str) -> str:
    """What was written until a text comes."""
    position, found = 0, ""
    while text not in found:
        chunk = process.read("stdout", position, PATIENCE_S)
        assert chunk.data, found
        found += chunk.data.decode()
        position = chunk.end
    return found


def test_a_terminal_is_one_and_of_the_size_that_was_asked_for(guest: Guest) -> None:
    ran = run(guest, "sh", "-c", "tty; stty size; echo err >&2", pty=(30, 90))

    assert ran.code == 0
    assert ran.stdout.split() == ["/dev/pts/0", "30", "90", "err"]


def test_a_terminal_takes_another_size(guest: Guest) -> None:
    process = guest.start(["sh", "-c", "echo up; read x; stty size"], pty=(24, 80))
    read_until(process, "up")

    process.resize(50, 132)
    process.write(b"\n")

    assert "50 132" in read_all(process, "stdout")


def test_an_interrupt_that_is_typed_stops_the_program(guest: Guest) -> None:
    process = guest.start(["cat"], pty=(24, 80))
    process.write(b"up\n")
    read_until(process, "up\r\nup\r\n")  # the terminal's echo, and then the program's

    process.write(b"\x03")

    assert process.wait(PATIENCE_S) == -2


def test_the_end_of_input_ends_a_shell(guest: Guest) -> None:
    process = guest.start(["sh"], pty=(24, 80))
    process.write(b"echo $((6 * 7))\n")
    read_until(process, "42")

    process.close_stdin()

    assert process.wait(PATIENCE_S) == 0


def test_without_a_terminal_there_is_none(guest: Guest) -> None:
    assert run(guest, "tty").stdout == "not a tty\n"


@pytest.mark.parametrize("path", ["/dev/stdout", "/dev/stderr", "/proc/self/fd/1"])
def test_a_program_may_open_its_own_output(guest: Guest, path: str) -> None:
    ran = run(guest, "sh", "-c", f"echo hi > {path}")

    assert ran.stdout + ran.stderr == "hi\n"


def test_merged_output_keeps_its_order(guest: Guest) -> None:
    ran = run(guest, "sh", "-c", "echo a; echo b >&2; echo c", merge_stderr=True)

    assert (ran.stdout, ran.stderr) == ("a\nb\nc\n", "")
