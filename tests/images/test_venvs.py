"""Functions with images that need no more than Python run in virtual environments."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Iterator
from importlib import import_module
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from apothic import (
    App,
    Image,
    ImageBuildFailed,
    JobTimeout,
    MemoryLimitExceeded,
    Secret,
    batched,
    method,
)
from apothic_backends.images import installing, interpreters, making
from apothic_backends.images.venvs import Venv
from apothic_backends.model.agents import PythonMismatch
from tests.images.conftest import record, whole
from tests.images.packages import make_wheel
from tests.integration.support import logs

SLIM = Image.debian_slim()
GREETING = SLIM.pip_install("greeting_of_test")


def function(image: Image, body: Any, **options: Any) -> Any:
    """A function that travels by value, so that what it runs in needs nothing of these tests."""
    return App("images").function(image=image, **options)(body)


def test_a_function_finds_the_packages_of_its_image(packages: Path, place: Path) -> None:
    def word() -> tuple[str, str]:
        return import_module("greeting_of_test").WORD, sys.prefix

    found, prefix = function(GREETING, word).remote()

    assert found == "1.0"
    assert [prefix] == [str(place / "images" / digest) for digest in whole(place)]


def test_nothing_that_is_installed_beside_its_caller_is_there(place: Path) -> None:
    def found() -> list[str]:
        from importlib.util import find_spec

        return [name for name in ("pytest", "xdist", "hypothesis") if find_spec(name)]

    assert function(SLIM, found).remote() == []


def test_what_the_image_has_comes_before_what_apothic_brings(packages: Path, here: Path) -> None:
    make_wheel(packages, "platformdirs", "99.0")

    def version() -> str:
        import platformdirs

        return str(vars(platformdirs)["WORD"])

    assert function(SLIM.pip_install("platformdirs"), version).remote() == "99.0"


def test_modules_of_the_user_come_before_what_the_image_has(
    packages: Path, here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "greeting_of_test.py").write_text("WORD = 'mine'")
    monkeypatch.syspath_prepend(tmp_path)

    def word() -> str:
        return str(import_module("greeting_of_test").WORD)

    assert function(GREETING, word).remote() == "mine"


def test_variables_of_the_image_come_before_those_of_the_program(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLOR", "of the program")
    image = SLIM.env(COLOR="first", SHAPE="round").env(COLOR="blue")

    def told() -> tuple[str, str]:
        return os.environ["COLOR"], os.environ["SHAPE"]

    assert function(image, told).remote() == ("blue", "round")


def test_secrets_come_before_variables_of_the_image(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = Secret.from_dict({"COLOR": "of the secret"})

    def told() -> bool:
        return os.environ["COLOR"] == "of the secret"

    assert function(SLIM.env(COLOR="blue"), told, secrets=[secret]).remote()


def test_sources_of_the_user_go_with_the_image(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "sources" / "rules"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("RULE = 'be kind'")
    monkeypatch.syspath_prepend(package.parent)

    def brought() -> list[str]:
        own = [entry for entry in sys.path if entry.startswith(f"{sys.prefix}/sources")]
        return [file.name for entry in own for file in Path(f"{entry}/rules").iterdir()]

    image = SLIM.add_local_python_source("rules")
    assert "__init__.py" in function(image, brought).remote()


def test_every_kind_of_function_runs_in_an_image(packages: Path, place: Path) -> None:
    def count(most: int) -> Iterator[str]:
        for n in range(most):
            yield f"{import_module('greeting_of_test').WORD}/{n}"

    async def later() -> str:
        await asyncio.sleep(0)
        return str(import_module("greeting_of_test").WORD)

    async def stream() -> AsyncIterator[str]:
        yield import_module("greeting_of_test").WORD

    @batched(max_batch_size=2, wait_ms=0)
    def together(numbers: list[int]) -> list[str]:
        return [f"{import_module('greeting_of_test').WORD}/{n}" for n in numbers]

    app = App("kinds")
    assert list(app.function(image=GREETING)(count).remote_gen(2)) == ["1.0/0", "1.0/1"]
    assert app.function(image=GREETING)(later).remote() == "1.0"
    assert app.function(image=GREETING)(together).map([1, 2]) == ["1.0/1", "1.0/2"]
    assert list(app.function(image=GREETING)(stream).remote_gen()) == ["1.0"]


def test_an_object_of_a_class_lives_in_its_image(packages: Path, here: Path) -> None:
    app = App("classes")

    class Counter:
        def __init__(self) -> None:
            self.word = import_module("greeting_of_test").WORD
            self.count = 0

        @method()
        def next(self) -> str:
            self.count += 1
            return f"{self.word}/{self.count}"

    counter: Any = app.cls(image=GREETING)(Counter)()
    assert [counter.next.remote(), counter.next.remote()] == ["1.0/1", "1.0/2"]


def test_functions_with_one_image_share_an_environment_and_its_warm_process(
    packages: Path, here: Path
) -> None:
    def parent() -> int:
        return os.getppid()

    def other() -> int:
        return os.getppid()

    assert function(GREETING, parent).remote() == function(GREETING, other).remote()
    assert len(whole(here)) == 1


def test_what_is_installed_is_shown_in_the_log_of_the_first_job(
    packages: Path, place: Path
) -> None:
    def word() -> str:
        print("it runs")
        return "done"

    job = function(GREETING, word).spawn()
    job.wait()

    assert "greeting_of_test" in logs(job).partition("it runs")[0]


def test_what_was_made_is_remembered(packages: Path, here: Path) -> None:
    function(GREETING, os.getpid).remote()

    assert record(here)["lane"] == "venv"


def test_uv_installs_where_it_is_asked_for(packages: Path, here: Path) -> None:
    pytest.importorskip("uv")

    def word() -> str:
        return str(import_module("greeting_of_test").WORD)

    assert function(SLIM.uv_pip_install("greeting_of_test"), word).remote() == "1.0"


def test_uv_takes_packages_from_where_pip_does(
    packages: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("uv")
    for name in ("UV_NO_INDEX", "UV_FIND_LINKS"):
        monkeypatch.delenv(name)
    image = SLIM.uv_pip_install("greeting_of_test").spec()

    making.make(image, None)

    assert [*Venv(image.digest).folder.glob("lib/*/site-packages/greeting_of_test.py")]


def test_without_uv_python_and_pip_make_it(
    packages: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (interpreters, installing):
        monkeypatch.setattr(module, "uv", lambda: None)
    image = SLIM.uv_pip_install("greeting_of_test").spec()

    making.make(image, None)

    assert [*Venv(image.digest).folder.glob("lib/*/site-packages/greeting_of_test.py")]


def test_a_pickle_of_another_python_is_refused_with_both_named(here: Path) -> None:
    other = "3.12" if sys.version_info[:2] == (3, 11) else "3.11"

    with pytest.raises(PythonMismatch, match=f"its image has {other}"):
        function(Image.debian_slim(other), lambda: 1).remote()


def test_limits_hold_in_an_image_as_they_do_elsewhere(here: Path) -> None:
    def eat() -> int:
        return len(bytearray(400 << 20).replace(b"\0", b"\1"))

    with pytest.raises(MemoryLimitExceeded):
        function(SLIM, eat, memory_mb=100).remote()


def test_a_call_that_takes_too_long_is_stopped_where_it_is(here: Path) -> None:
    def stay() -> None:
        Event().wait()

    with pytest.raises(JobTimeout) as told:
        function(SLIM, stay, timeout_s=0.3).remote()

    assert "in stay" in told.value.data["stack"]


def test_one_whose_python_has_gone_is_made_anew(packages: Path, here: Path) -> None:
    venv = Venv(GREETING.spec().digest)
    making.make(GREETING.spec(), None)
    venv.python.unlink()
    venv.python.symlink_to("/nowhere/python")

    def word() -> str:
        return str(import_module("greeting_of_test").WORD)

    assert function(GREETING, word).remote() == "1.0"


# --- what goes wrong ------------------------------------------------------------------------------


def test_a_package_that_is_not_there_is_named_and_the_function_does_not_run(
    packages: Path, place: Path
) -> None:
    with pytest.raises(
        ImageBuildFailed, match="No matching distribution found for nowhere"
    ) as told:
        function(SLIM.pip_install("nowhere"), os.getpid).remote()

    assert told.value.data["step"] == "pip_install nowhere"
    assert "nowhere" in told.value.data["output"]
    assert whole(place) == []


MODULE = """
import sys
from apothic import App, Image

app = App("others")

@app.function(image=Image.debian_slim({series!r}).pip_install("greeting_of_test"))
def told(number):
    import greeting_of_test as greeting
    print("from there")
    return sys.version_info[:2], greeting.WORD, number + 1
"""


def another_python() -> str:
    """The series of another Python of this machine that Apothic runs under; empty if none is."""
    own = sys.version_info[:2]
    for minor in (12, 13, 14, 11):
        with contextlib.suppress(ImageBuildFailed):
            if own != (3, minor) and interpreters.find(f"3.{minor}"):
                return f"3.{minor}"
    return ""


@pytest.mark.skipif(not another_python(), reason="there is no other Python here")
def test_a_function_of_a_module_runs_under_another_python(
    packages: Path, here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    series = another_python()
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "of_another.py").write_text(MODULE.format(series=series))
    monkeypatch.syspath_prepend(tmp_path / "modules")
    module = import_module("of_another")

    version, word, number = module.told.remote(1)

    assert (f"{version[0]}.{version[1]}", word, number) == (series, "1.0", 2)


def test_a_python_that_is_not_here_is_named_with_the_way_out() -> None:
    with pytest.raises(ImageBuildFailed, match=r"no Python 3\.99 .*uv python install 3\.99"):
        interpreters.find("3.99")
