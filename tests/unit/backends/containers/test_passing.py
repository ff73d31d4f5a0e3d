"""Descriptors for the first process of a container, here played by a plain one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from apothic_backends.containers import engine, passing
from apothic_backends.containers.passing import OURS, RECEIVE, Door

WRITES = "import os; os.write(fds[0], said + b' and done')"


def program(door: Door) -> str:
    """What the first process runs, as if it saw the folder where a container does."""
    return RECEIVE.replace(f"{OURS}/link", door.mount["Source"])


def test_the_first_process_gets_descriptors_and_words() -> None:
    ours, theirs = os.pipe()
    with Door() as door:
        command = [sys.executable, "-I", "-c", f"{program(door)}\n{WRITES}"]
        with subprocess.Popen(command) as first:
            has_come = door.pass_on([theirs], b"hello", lambda: True)
            first.wait()
    os.close(theirs)

    assert (has_come, os.read(ours, 100)) == (True, b"hello and done")
    os.close(ours)


def test_one_that_ends_before_it_comes_is_noticed() -> None:
    with Door() as door:
        assert not door.pass_on([], b"", lambda: False)


def test_nothing_is_left_of_the_folder() -> None:
    with Door() as door:
        folder = door.mount["Source"]

    assert not Path(folder).exists()


def test_a_folder_is_read_only_unless_it_is_to_be_written_to() -> None:
    modes = [passing.bind("/a", "/b")["ReadOnly"], passing.bind("/a", "/b", is_writable=True)]

    assert modes == [
        True,
        {"Type": "bind", "Source": "/a", "Target": "/b", "ReadOnly": False},
    ]


def test_what_the_daemon_says_comes_with_the_way_out() -> None:
    told = {
        reason: str(engine.refused(reason))
        for reason in ("Permission denied", "write: no space left on device", "Connection aborted")
    }

    assert "group `docker`" in told["Permission denied"]
    assert "apothic image prune" in told["write: no space left on device"]
    assert "systemctl start docker" in told["Connection aborted"]


def test_an_image_that_is_nowhere_is_named() -> None:
    error = engine.missing("a/b:1", "not found")

    assert (error.data["image"], "docker login" in error.message) == ("a/b:1", True)
