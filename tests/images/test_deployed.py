"""What is deployed with an image runs in it: functions, services, classes, and runs by hand."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from urllib.request import urlopen

import pytest

from apothic import App, Image, RemoteFunction, method
from tests.images.conftest import whole
from tests.integration.screens import COMMAND

CALLING = """
from apothic import App, Image

app = App("calling")
image = Image.debian_slim().pip_install(requirements="needs.txt")


@app.function(image=image)
def inner():
    import greeting_of_test as greeting
    return greeting.WORD


@app.function(image=image)
def outer():
    return inner.remote()
"""

GREETING = Image.debian_slim().pip_install("greeting_of_test")


@pytest.fixture
def project(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that is shipped."""
    root = tmp_path / "project"
    root.mkdir()
    (root / "pyproject.toml").touch()
    monkeypatch.chdir(root)
    return root


def test_a_deployed_function_runs_in_its_image(packages: Path, here: Path, project: Path) -> None:
    app = App("deployed")

    @app.function(image=GREETING)
    def word() -> tuple[str, str]:
        return import_module("greeting_of_test").WORD, sys.prefix

    app.deploy()
    found, prefix = RemoteFunction.from_name("deployed", "word").remote()

    assert found == "1.0"
    assert [Path(prefix).name] == whole(here)


def test_a_deployment_is_new_when_files_of_an_image_are(here: Path, project: Path) -> None:
    (project / "brought.py").write_text("WORD = 'old'")
    sys.path.insert(0, str(project))
    app = App("changing")
    image = Image.debian_slim().add_local_python_source("brought")

    @app.function(image=image)
    def word() -> str:
        return str(import_module("brought").WORD)

    try:
        first = app.deploy()
        assert app.deploy() == first
        assert word.remote() == "old"
        (project / "brought.py").write_text("WORD = 'new'")
        assert app.deploy() != first
        assert word.remote() == "new"
    finally:
        sys.path.remove(str(project))


def test_a_function_calls_another_in_its_image_without_the_files_that_it_brings(
    packages: Path, here: Path, project: Path
) -> None:
    (project / "needs.txt").write_text("greeting_of_test")
    (project / ".apothicignore").write_text("needs.txt")
    (project / "app.py").write_text(CALLING)
    sys.path.insert(0, str(project))
    try:
        app = import_module("app").app
        app.deploy()
        (project / "needs.txt").unlink()
        assert app.functions["outer"].remote() == "1.0"
    finally:
        sys.path.remove(str(project))
        del sys.modules["app"]


def test_a_deployed_service_answers_from_its_image(
    packages: Path, here: Path, project: Path
) -> None:
    app = App("serving")

    @app.endpoint(image=GREETING)
    def word() -> str:
        return str(import_module("greeting_of_test").WORD)

    app.deploy()
    with urlopen(word.get_web_url(), timeout=60) as answer:
        assert json.load(answer) == "1.0"


def test_objects_of_a_deployed_class_live_in_its_image(
    packages: Path, here: Path, project: Path
) -> None:
    app = App("living")

    @app.cls(image=GREETING)
    class Greeter:
        @method()
        def word(self) -> str:
            return str(import_module("greeting_of_test").WORD)

    app.deploy()
    assert Greeter().word.remote() == "1.0"


def test_a_run_that_is_triggered_by_hand_has_its_image(packages: Path, project: Path) -> None:
    (project / "app.py").write_text(
        "from apothic import App, Cron, Image\n"
        "app = App('timed')\n"
        "image = Image.debian_slim().pip_install('greeting_of_test')\n"
        "@app.function(image=image, schedule=Cron('0 3 * * *'))\n"
        "def word():\n"
        "    import greeting_of_test as greeting\n"
        "    return greeting.WORD\n"
    )
    done = subprocess.run(
        [*COMMAND, "trigger", "app.py"], capture_output=True, text=True, timeout=60, check=False
    )

    assert (done.returncode, done.stdout) == (0, "1.0\n"), done.stderr
