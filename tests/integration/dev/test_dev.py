"""`apothic dev`: a program is deployed as it is saved, and found from the project."""

from __future__ import annotations

import urllib.request

from apothic.console import Console
from apothic_backends.remote.running import running_dev
from tests.integration.dev.developed import Project, developing
from tests.integration.support import descendants, is_alive, wait_gone, wait_until


def test_an_error_is_shown_once_while_the_last_version_goes_on(project: Project) -> None:
    with developing(project, "--port", "0") as dev:
        dev.until("up", version=1)
        project.save("Welcome", "import nothing_of_this_name\n")
        broken = dev.until("broken")["error"]["traceback"]

        assert "ModuleNotFoundError: No module named 'nothing_of_this_name'" in broken
        assert 'app.py", line 1' in broken
        assert "standby" not in broken
        assert dev.ask() == '"Hello"'

        project.save("Welcome")
        dev.until_it_answers('"Welcome"')


def test_what_is_undone_is_said_to_be_live_again(project: Project) -> None:
    with developing(project, "--port", "0") as dev:
        dev.until("up", version=1)
        project.save("Hello", "def broken(:\n")
        dev.until("broken", version=1)

        project.save("Hello")

        assert not dev.until("deployed", version=1)["is_new"]


def test_a_program_that_is_broken_from_the_start_is_waited_for(project: Project) -> None:
    project.save("Hello", "def broken(:\n")
    with developing(project, "--port", "0") as dev:
        broken = dev.until("broken", version=None)["error"]["traceback"]
        assert "SyntaxError" in broken

        project.save("Hello")
        dev.until("deployed", version=1)
        dev.until("serves", name="page")
        dev.until_it_answers('"Hello"')


NEEDY = """
import os
from apothic import App

app = App("demo")


@app.function(gpu="H100")
def devices() -> str:
    return repr(os.environ.get("CUDA_VISIBLE_DEVICES"))
"""


def test_what_wants_a_gpu_that_is_not_here_runs_without_and_that_is_said_once(
    project: Project,
) -> None:
    project.save("", NEEDY)
    with developing(project, "--port", "0", CUDA_VISIBLE_DEVICES="") as dev:
        dev.until("deployed", version=1)
        told = [project.cli("run", "devices", "--app-name", "demo") for _ in range(2)]

        assert [it.stdout for it in told] == ["''\n", "''\n"]
        wait_until(lambda: dev.errors)
        assert [it for it in dev.errors if "no machine has 1 x H100 for devices" in it] == (
            dev.errors
        )
        assert len(dev.errors) == 1


def test_what_wants_a_gpu_that_is_not_here_may_be_refused_here_too(project: Project) -> None:
    project.save("", NEEDY)
    with developing(
        project, "--port", "0", "--on-missing-gpu", "error", CUDA_VISIBLE_DEVICES=""
    ) as dev:
        dev.until("deployed", version=1)

        assert project.cli("run", "devices", "--app-name", "demo").returncode == 6


def test_an_app_has_a_page(project: Project) -> None:
    with developing(project, "--port", "0") as dev:
        dev.until("up", version=1)
        its = running_dev(project.root)
        assert its is not None
        url = Console(its.url).app_url("default", "default", "demo")
        request = urllib.request.Request(url, headers={"authorization": f"Bearer {its.key}"})

        with urllib.request.urlopen(request) as answer:
            assert dev.urls["page"] in answer.read().decode()


def test_ctrl_c_ends_all_of_it_in_order(project: Project) -> None:
    with developing(project, "--port", "0") as dev:
        dev.until("up", version=1)
        below = descendants(dev.process.pid)

        assert dev.end() == 0
        assert dev.errors == []
        for pid in below:
            wait_gone(pid)
        assert not (project.root / ".apothic" / "dev.json").exists()


def test_services_and_queues_are_there_again_after_a_restart(project: Project) -> None:
    with developing(project, "--port", "0") as dev:
        dev.until("up", version=1)
        before = dict(dev.urls)
    with developing(project, "--port", "0") as dev:
        dev.until("serves", name="page")

        assert dev.urls == before
        assert dev.ask() == '"Hello"'


def test_nothing_is_left_when_it_is_killed(project: Project) -> None:
    with developing(project, "--port", "0") as dev:
        dev.until("up", version=1)
        below = descendants(dev.process.pid)
        assert below
        dev.process.kill()
        dev.process.wait()

        for pid in below:
            wait_gone(pid)
        assert not any(is_alive(pid) for pid in below)
    with developing(project, "--port", "0") as dev:
        dev.until("up")
