"""Functions in images that need Docker, on a real Docker engine."""

from __future__ import annotations

import os
import sys
import tarfile
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from apothic_backends.commands import RegisterFunction, RunJob
from apothic_backends.containers import building
from apothic_backends.model.functions import FunctionSpec
from apothic_backends.model.images import ImageBuildFailed, ImageMissing, ImageSpec, ImageStep
from tests.conformance.client import arguments, value_of
from tests.containers.conftest import Ran
from tests.containers.image import EMPTY, NAME

pytestmark = pytest.mark.docker

SERIES = f"{sys.version_info.major}.{sys.version_info.minor}"


def run(image: ImageSpec, function: Callable[..., Any], home: Path, **options: Any) -> Any:
    """The outcome of a call of a function that has an image, in a fresh control plane."""
    import cloudpickle

    from apothic_backends.model.payloads import Payload
    from apothic_backends.registry import open_backend

    cloudpickle.register_pickle_by_value(sys.modules[function.__module__])
    code = Payload(cloudpickle.dumps(function))
    cloudpickle.unregister_pickle_by_value(sys.modules[function.__module__])
    backend = open_backend("local")
    try:
        spec = FunctionSpec("boxed", "f", image=image, **options)
        known = backend.start(RegisterFunction(spec, code)).wait()
        return backend.start(RunJob(known, arguments())).wait()
    finally:
        backend.close()


def steps(*commands: str, base: str = NAME) -> ImageSpec:
    return ImageSpec(base=base, steps=(ImageStep("run_commands", commands),))


def read_made() -> str:
    with open("/made") as file:  # noqa: PTH123 - travels light
        return file.read()


def read_executable() -> str:
    return sys.executable


def test_an_image_of_a_program_is_built_and_its_build_is_in_the_log(
    ran: Callable[..., Ran], tmp_path: Path
) -> None:
    (tmp_path / "config.toml").write_text("colour = 'red'")
    program = f"""
        image = (
            apothic.Image.from_registry({NAME!r})
            .run_commands("echo building {os.urandom(4).hex()}")
            .env(GREETING="hello")
            .add_local_file("config.toml", "/etc/app/config.toml")
            .workdir("/etc/app")
        )

        @app.function(image=image)
        def read():
            return os.environ["GREETING"], os.getcwd(), open("config.toml").read()

        if __name__ == "__main__":
            job = read.spawn()
            print(job.wait())
            print("building" in job.logs())
    """

    found = ran(program, APOTHIC_EXECUTORS="").end().splitlines()

    assert found == [str(("hello", "/etc/app", "colour = 'red'")), "True"]


@pytest.fixture
def own_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("APOTHIC_HOME", str(home))
    return home


def test_a_function_runs_in_its_image(own_home: Path, client: Any) -> None:
    assert value_of(run(steps("echo made > /made"), read_made, own_home)) == "made\n"


def test_an_image_that_was_removed_meanwhile_is_built_again(own_home: Path, client: Any) -> None:
    image = steps("echo again > /made")
    run(image, read_made, own_home)
    client.remove_image(f"apothic/{image.digest}", force=True)

    assert value_of(run(image, read_made, own_home)) == "again\n"


def test_a_name_that_means_another_image_by_now_is_looked_at_again(
    own_home: Path, client: Any
) -> None:
    moved = ImageSpec(base="apothic-test-moved:1")
    other = steps("cp -L /usr/bin/python3 /opt/python3; rm /usr/bin/python3*; mv /opt/* /usr/bin")
    client.tag(NAME, *moved.base.split(":"))
    try:
        before = run(moved, read_executable, own_home, python=SERIES)
        assert value_of(before) == f"/usr/bin/python{SERIES}"
        run(other, read_executable, own_home)
        client.tag(f"apothic/{other.digest}", *moved.base.split(":"))

        after = run(moved, read_executable, own_home, python=SERIES)
        assert value_of(after) == "/usr/bin/python3"
    finally:
        client.remove_image(moved.base, force=True)


@pytest.mark.parametrize(
    ("image", "code"),
    [
        (steps("echo so far; exit 7"), ImageBuildFailed.code),
        (ImageSpec(base="no-such-image.invalid/it:1"), ImageMissing.code),
        (ImageSpec(base=EMPTY), ImageBuildFailed.code),
    ],
    ids=["failing step", "missing image", "no python"],
)
def test_an_image_that_cannot_be_had_fails_its_jobs_once(
    own_home: Path, client: Any, image: ImageSpec, code: str
) -> None:
    outcome = run(image, read_made, own_home)

    assert outcome.error.code == code


def test_a_base_without_python_is_shown_one_that_this_machine_has(
    own_home: Path, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APOTHIC_PYTHON", sys.base_prefix)
    image = steps("echo shown > /made; rm -f /usr/bin/python3*")

    assert value_of(run(image, read_made, own_home)) == "shown\n"
    assert value_of(run(image, read_executable, own_home)).startswith(sys.base_prefix)


NO_PYTHON = steps("rm -f /usr/bin/python3*")


@pytest.fixture(scope="module")
def no_python(home: Path) -> Iterator[ImageSpec]:
    """An image that is there, and has none."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("APOTHIC_HOME", str(home))
        building.build(NO_PYTHON, None, lambda _line: None)
        yield NO_PYTHON
        building.prune([NO_PYTHON.digest])


def test_a_python_in_an_archive_is_unpacked_once_and_shown(
    no_python: ImageSpec,
    own_home: Path,
    client: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("APOTHIC_PYTHON", str(python_archive(client, tmp_path / "python.tar")))

    found = value_of(run(no_python, read_executable, own_home, python=SERIES))

    (unpacked,) = (own_home / "pythons").iterdir()
    assert found == f"{unpacked}/python/bin/python3"


def python_archive(client: Any, path: Path) -> Path:
    """The Python of the image for tests, packed as such are: with one folder at the top."""
    made = client.create_container(NAME, entrypoint=["true"])["Id"]
    places = {f"/usr/bin/python{SERIES}": "python/bin/python3", f"/usr/lib/python{SERIES}": ""}
    with tarfile.open(path, "w") as packed:
        for place, name in places.items():
            pieces, _ = client.get_archive(made, place)
            with tarfile.open(fileobj=BytesIO(b"".join(pieces))) as taken:
                for member in taken:
                    content = taken.extractfile(member) if member.isreg() else None
                    member.name = name or f"python/lib/{member.name}"
                    packed.addfile(member, content)
    client.remove_container(made)
    return path


def pack_nothing(path: Path) -> None:
    path.write_bytes(b"no archive")


def pack_something(path: Path) -> None:
    with tarfile.open(path, "w") as packed:
        packed.addfile(tarfile.TarInfo("README"))


def pack_what_does_not_run(path: Path) -> None:
    with tarfile.open(path, "w") as packed:
        packed.addfile(tarfile.TarInfo("python/bin/python3"))


@pytest.mark.parametrize(
    ("pack", "said"),
    [
        (pack_nothing, "is no folder, nor an archive that can be unpacked"),
        (pack_something, "has no bin/python3 in it"),
        (pack_what_does_not_run, "does not run in this image"),
    ],
)
def test_what_is_no_archive_of_a_python_is_named(
    no_python: ImageSpec,
    own_home: Path,
    client: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    pack: Callable[[Path], None],
    said: str,
) -> None:
    pack(tmp_path / "python.tar")
    monkeypatch.setenv("APOTHIC_PYTHON", str(tmp_path / "python.tar"))

    outcome = run(no_python, read_made, own_home)

    assert outcome.error.code == ImageBuildFailed.code
    assert f"APOTHIC_PYTHON={tmp_path / 'python.tar'}" in outcome.error.message
    assert said in outcome.error.message
