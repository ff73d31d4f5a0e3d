"""What a save does to what runs; one `apothic dev` for all of it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.dev.developed import Dev, Project, developing
from tests.integration.support import read_when_there

PROGRAM = """
import os
from apothic import App, Queue

app = App("demo")
word = "$TEXT"


@app.function(max_containers=2)
def wait(began: str, gate: str) -> str:
    with open(began, "w") as file:
        file.write("began\\n")
    with open(gate) as file:
        file.read()
    return word


@app.function()
def keep(text: str) -> int:
    queue = Queue.from_name("kept", create_if_missing=True)
    if text:
        queue.put(text)
    return len(queue)


@app.endpoint()
def page() -> str:
    return word
"""


def program(text: str) -> str:
    return PROGRAM.replace("$TEXT", text)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("saving"))
    (project.root / ".gitignore").write_text("*.log\n")
    project.save("", program("first"))
    return project


@pytest.fixture(scope="module")
def dev(project: Project) -> Iterator[Dev]:
    with developing(project, "--port", "0") as dev:
        dev.until("up", name="page")
        yield dev


def call(project: Project, name: str, *args: str) -> str:
    """The result of a call from another terminal."""
    payload = json.dumps({"args": args})
    done = project.cli("run", name, "--app-name", "demo", "--payload", payload, "--json")
    return str(json.loads(done.stdout)["result"])


def test_a_job_ends_in_the_code_that_it_began_in(
    project: Project, dev: Dev, tmp_path: Path
) -> None:
    began, gate = tmp_path / "began", tmp_path / "gate"
    os.mkfifo(gate)
    payload = json.dumps({"args": [str(began), str(gate)]})
    with project.begin("run", "wait", "--app-name", "demo", "--payload", payload) as job:
        read_when_there(began)
        project.save("", program("second"))
        dev.until("deployed")
        gate.write_text("")

        assert job.communicate()[0].strip() == "first"
    dev.until_it_answers('"second"')


def test_what_a_queue_holds_is_held_by_the_next_version(project: Project, dev: Dev) -> None:
    before = call(project, "keep", "item")
    project.save("", program("third"))
    dev.until("deployed", changed="app.py")

    assert call(project, "keep", "") == before == "1"


def test_a_new_file_in_a_new_folder_is_deployed_and_what_is_ignored_is_not(
    project: Project, dev: Dev
) -> None:
    (project.root / "noise.log").write_text("nothing that ships")
    (project.root / "app.py").touch()
    (project.root / "pages").mkdir()
    (project.root / "pages" / "words.py").write_text("word = 'from a module'\n")
    while "pages/words.py" not in dev.until("deployed")["changed"]:
        pass
    project.save("", program("x").replace('word = "x"', "from pages.words import word"))
    assert dev.until("deployed")["changed"] == "app.py"
    dev.until_it_answers('"from a module"')
    (project.root / "pages" / "words.py").write_text("word = 'from it again'\n")

    assert dev.until("deployed")["changed"] == "pages/words.py"
    dev.until_it_answers('"from it again"')


def test_a_service_that_cannot_start_leaves_the_one_before_in_its_place(
    project: Project, dev: Dev
) -> None:
    project.save("", program("fine"))
    dev.until_it_answers('"fine"')
    broken = '@app.asgi()\ndef page():\n    raise ValueError("no good")\n'
    project.save("", program("x").partition("@app.endpoint")[0] + broken)
    error = dev.until("failed", name="page")["error"]

    assert f'File "{project.root}/app.py", line' in error
    assert error.strip().endswith("ValueError: no good")
    assert "apothic_emulator" not in error
    assert dev.ask() == '"fine"'


def test_a_program_that_is_still_loaded_is_given_up_for_the_next(
    project: Project, dev: Dev, tmp_path: Path
) -> None:
    began = tmp_path / "began"
    loads = f"open({str(began)!r}, 'w').write('it is loaded\\n')"
    project.save("", f"{loads}\nwhile True:\n    pass\n")
    read_when_there(began)
    project.save("", program("last"))

    dev.until_it_answers('"last"')
