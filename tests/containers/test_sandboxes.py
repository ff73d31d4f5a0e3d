"""Sandboxes whose programs run in containers, on a real Docker engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from runpy import run_path
from typing import Any
from urllib.request import urlopen

import pytest

from apothic import App, Sandbox
from apothic_backends.model.errors import InvalidOption
from apothic_backends.registry import open_backend
from tests.containers.image import NAME
from tests.services.placing import using

pytestmark = pytest.mark.docker

EXAMPLES = Path(__file__).parents[2] / "examples"

app = App("containers")
workspace = app.sandbox("box", isolation="docker", image=NAME, untrusted=True, memory_mb=256)


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    with using(open_backend("local")), workspace.create() as box:
        yield box


def test_it_tells_that_it_is_in_a_container(box: Sandbox) -> None:
    assert (box.isolation().level, box.isolation().missing) == ("container", ())


def test_a_program_gives_its_output_and_its_return_code(box: Sandbox) -> None:
    process = box.exec("sh", "-c", "echo out; echo err >&2; exit 3")

    assert (process.wait(), process.stdout.read(), process.stderr.read()) == (3, "out\n", "err\n")


def test_programs_see_files_from_outside_and_the_other_way_round(box: Sandbox) -> None:
    box.files.write_text("/workspace/there/a.txt", "from outside")

    assert box.exec("sh", "-c", "cat there/a.txt; echo more >> there/a.txt").wait() == 0
    assert box.files.read_text("/workspace/there/a.txt") == "from outsidemore\n"


def test_what_listens_in_one_that_has_no_network_has_a_url(box: Sandbox) -> None:
    box.files.write_text("/workspace/page.html", "hello")
    server = box.exec("python3", "-m", "http.server", "8000")

    with urlopen(f"{box.url(8000)}/page.html", timeout=60) as answer:
        assert answer.read() == b"hello"
    server.kill()


def test_a_session_keeps_its_state(box: Sandbox) -> None:
    session = box.session("main")

    session.run("cd /tmp && export COLOUR=red")

    assert session.run("echo $PWD $COLOUR").stdout == "/tmp red\n"


def test_a_python_session_keeps_its_state(box: Sandbox) -> None:
    session = box.session("py", kind="python")

    session.run("n = 20")

    assert session.run("print(n + 1)").stdout == "21\n"


def test_one_that_takes_too_long_is_ended_and_its_output_kept(box: Sandbox) -> None:
    process = box.exec("sh", "-c", "echo begun; sleep 100", timeout_s=0.5)

    assert (process.wait(), process.stdout.read()) == (-1, "begun\n")


def test_the_agent_of_the_example_gets_there_in_a_container(box: Sandbox) -> None:
    agent: Any = run_path(str(EXAMPLES / "coding_agent.py"))
    box.files.write_text("/workspace/test_slugs.py", agent["TESTS"])

    passed = [agent["attempt"](box, agent[name]) for name in ("FIRST", "SECOND")]

    assert passed == [False, True]


def test_an_image_is_for_containers() -> None:
    with pytest.raises(InvalidOption, match="image is for isolation='docker'"):
        app.sandbox("other", image=NAME)
