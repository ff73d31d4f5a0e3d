"""Programs in a guest: arguments, environment, input, output and how they end."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from apothic_backends.model.errors import InvalidOption
from apothic_backends.model.sandboxes import GuestGone, ProgramNotFound, StdinClosed
from apothic_backends.sandboxes.guest import Guest
from tests.sandboxes.conftest import PATIENCE_S, read_all, run


def test_a_program_runs_and_its_output_and_exit_code_come_back(guest: Guest) -> None:
    ran = run(guest, "sh", "-c", "echo out; echo err >&2; exit 7")

    assert (ran.stdout, ran.stderr, ran.code) == ("out\n", "err\n", 7)


def test_a_signal_is_an_exit_code_below_zero(guest: Guest) -> None:
    assert run(guest, "sh", "-c", "kill -TERM $$").code == -signal.SIGTERM


@pytest.mark.parametrize("argument", ["; touch x", "$(touch x)", "a\nb", "-rf", "'", "`id`", "ä€"])
def test_an_argument_arrives_as_it_is(guest: Guest, workspace: Path, argument: str) -> None:
    ran = run(guest, "printf", "%s", argument)

    assert ran.stdout == argument
    assert list(workspace.iterdir()) == []


def test_what_the_guest_writes_in_the_workspace_is_there(guest: Guest, workspace: Path) -> None:
    run(guest, "sh", "-c", "mkdir -p a; echo 1 > a/b; chmod 600 a/b")

    assert (workspace / "a" / "b").read_text("utf-8") == "1\n"


def test_the_guest_reads_and_changes_what_was_in_the_workspace(
    workspace: Path, opened: Callable[..., Guest]
) -> None:
    (workspace / "old").write_text("old\n", "utf-8")

    ran = run(opened(), "sh", "-c", "cat old; echo new > old")

    assert ran.stdout == "old\n"
    assert (workspace / "old").read_text("utf-8") == "new\n"


def test_a_program_that_is_not_there_is_a_typed_error(guest: Guest) -> None:
    with pytest.raises(ProgramNotFound, match="no-such-program"):
        guest.start(["no-such-program"])


@pytest.mark.parametrize("argv", ["ls -l", [], [b"ls"], ["ls", "a\0b"]])
def test_arguments_that_are_none_are_refused(guest: Guest, argv: list[str]) -> None:
    with pytest.raises(InvalidOption):
        guest.start(argv)


def test_too_many_bytes_of_arguments_are_refused(guest: Guest) -> None:
    assert run(guest, "true", "x" * 65_000).code == 0
    with pytest.raises(InvalidOption, match="65536"):
        guest.start(["true", "x" * 65_536])


@pytest.mark.parametrize(
    "options", [{"env": {"A": "x" * 65_536}}, {"env": {"A=B": "x"}}, {"workdir": "x" * 65_536}]
)
def test_an_environment_that_cannot_be_is_refused(guest: Guest, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption):
        guest.start(["true"], **options)


def test_arguments_and_environment_may_both_be_long(guest: Guest) -> None:
    ran = run(guest, "sh", "-c", "echo ${#A} ${#1}", "sh", "x" * 64_000, env={"A": "y" * 64_000})

    assert ran.stdout == "64000 64000\n"


@pytest.mark.parametrize("workdir", ["nowhere", "/workspace/nowhere", "/usr/bin/true"])
def test_a_working_directory_that_is_none_is_a_typed_error(guest: Guest, workdir: str) -> None:
    with pytest.raises(ProgramNotFound, match=workdir):
        guest.start(["true"], workdir=workdir)


def test_a_working_directory_may_be_below_the_workspace(guest: Guest, workspace: Path) -> None:
    run(guest, "mkdir", "-p", "a/b")

    assert run(guest, "pwd", workdir="a/b").stdout == "/workspace/a/b\n"
    assert run(guest, "pwd", workdir="/tmp").stdout == "/tmp\n"
    assert run(guest, "pwd").stdout == "/workspace\n"


def test_input_is_what_was_written(guest: Guest) -> None:
    process = guest.start(["cat"])
    process.write(b"a" * 300_000)
    process.close_stdin()

    assert read_all(process, "stdout") == "a" * 300_000
    assert process.wait(PATIENCE_S) == 0


def test_input_for_a_program_that_has_ended_is_a_typed_error(guest: Guest) -> None:
    process = guest.start(["true"])
    process.wait(PATIENCE_S)

    with pytest.raises(StdinClosed):
        process.write(b"x")


def test_after_close_nothing_can_be_started_and_what_ran_is_dead(guest: Guest) -> None:
    process = guest.start(["sleep", "1000"])
    guest.close()

    assert process.wait(PATIENCE_S) == -signal.SIGKILL
    with pytest.raises(GuestGone):
        guest.start(["true"])
