"""What a person sees and presses, and who has the port."""

from __future__ import annotations

import os
import socket
from typing import Any

from tests.integration.dev.developed import Project, developing, environment
from tests.integration.terminal import talk


def test_keys_pause_reload_and_quit(project: Project) -> None:
    shell: Any = environment(project.home, NO_COLOR="1")
    seen = talk(
        ["-m", "apothic.cli", "dev", "app.py", "--port", "0"],
        [
            ("page is up in version 1", "p"),
            ("paused: r deploys what is saved, p goes on", "r"),
            ("nothing that ships has changed", "p"),
            ("goes on: what is saved is deployed", "q"),
        ],
        project.root,
        **shell,
    )

    lines = seen.shown.splitlines()
    assert seen.code == 0
    assert lines[0].startswith("control plane  http://127.0.0.1:")
    assert lines[1] == "r reload  p pause  q quit"
    assert lines[2] == "watching the 2 files that ship: apothic package --list"
    assert lines[3].endswith("  demo version 1 is live")
    assert lines[4].split()[:2] == ["page", "endpoint"]
    assert lines[5].split() == ["greet", "function"]


def test_what_is_saved_while_it_is_paused_waits(project: Project) -> None:
    with developing(project, "--port", "0", "--trigger", "manual") as dev:
        dev.until("up", version=1)
        project.save("Welcome")

        assert dev.until("event")["text"] == "app.py changed; r deploys it"
        assert dev.ask() == '"Hello"'


def test_a_port_that_is_taken_is_told_with_whoever_has_it(project: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = project.cli("dev", "app.py", "--port", str(port))

    assert done.returncode == 8
    assert f"port {port} is taken by process {os.getpid()}" in done.stderr


def test_without_a_port_the_next_one_is_taken_that_is_free(project: Project) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind(("127.0.0.1", 7600))
            taken.listen()
        except OSError:
            pass  # somebody else has it
        with developing(project) as dev:
            url = dev.until("open")["url"]
            note = dev.until("note")["text"]

    assert 7600 < int(url.rpartition(":")[2]) < 7700
    assert note.startswith("port 7600 is taken by ")


def test_a_project_has_one(project: Project) -> None:
    with developing(project, "--port", "0") as dev:
        url = dev.until("open")["url"]
        done = project.cli("dev", "app.py")

    assert done.returncode == 8
    assert f"process {dev.process.pid}, at {url}" in done.stderr


def test_a_file_that_is_not_there_is_told_at_once(project: Project) -> None:
    done = project.cli("dev", "ap.py")

    assert done.returncode == 2
    assert "there is no file 'ap.py'" in done.stderr
