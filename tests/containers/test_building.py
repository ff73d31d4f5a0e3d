"""Images of Docker made from recipes, on a real Docker engine."""

from __future__ import annotations

import gc
import threading
from pathlib import Path
from typing import Any

import pytest

from apothic_backends import archives
from apothic_backends.containers import building, engine
from apothic_backends.model.errors import InvalidOption
from apothic_backends.model.images import (
    ImageBuildFailed,
    ImageMissing,
    ImageSpec,
    ImageStep,
    NoDocker,
)
from tests.containers.image import NAME

pytestmark = pytest.mark.docker

SECRET = "geheim-4711"


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APOTHIC_HOME", str(tmp_path / "home"))


def recipe(*commands: str, base: str = NAME, context: str | None = None, **more: str) -> ImageSpec:
    steps = (ImageStep("run_commands", commands),) if commands else ()
    return ImageSpec(base=base, steps=steps, context=context, **more)


def built(image: ImageSpec, client: Any | None, archive: Path | None = None) -> list[str]:
    """What a build has said."""
    said: list[str] = []
    building.build(image, archive, said.append, client)
    return said


def output_of(client: Any, image: str, *argv: str) -> str:
    """What a program in an image prints."""
    made = client.create_container(image, entrypoint=[*argv], command=[])
    try:
        client.start(made["Id"])
        client.wait(made["Id"])
        text: str = client.logs(made["Id"]).decode()
    finally:
        client.remove_container(made["Id"], force=True)
    return text


def test_a_recipe_becomes_an_image_that_is_called_by_its_digest(client: Any) -> None:
    image = recipe("echo made > /made")

    built(image, client)

    assert output_of(client, f"apothic/{image.digest}", "cat", "/made") == "made\n"


def test_what_its_steps_print_is_told_line_by_line(client: Any) -> None:
    said = built(recipe("echo first; echo second >&2", "printf third"), client)

    told = [line for line in said if not line.startswith("Step ")]
    assert sorted(told) == ["first\n", "second\n", "third\n"]


def test_one_that_is_here_is_not_built_again(client: Any) -> None:
    image = recipe("date +%N > /when")
    built(image, client)
    before = client.inspect_image(building.name_of(image))["Id"]

    assert built(image, client) == []
    assert client.inspect_image(building.name_of(image))["Id"] == before


def test_without_steps_its_base_is_taken_as_it_is(client: Any) -> None:
    assert building.build(recipe(), None, lambda _: None, client) == NAME


def test_files_of_the_recipe_are_copied_from_its_archive(client: Any, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello\n")
    with (tmp_path / "archive").open("wb") as out:
        digest = archives.pack([(".apothic/0/a.txt", tmp_path / "a.txt")], out)
    image = ImageSpec(
        base=NAME,
        steps=(ImageStep("add_local_file", (".apothic/0/a.txt", "/data/a.txt")),),
        context=digest,
    )

    built(image, client, tmp_path / "archive")

    assert output_of(client, building.name_of(image), "cat", "/data/a.txt") == "hello\n"


def test_a_failing_step_is_shown_with_the_end_of_its_output(client: Any) -> None:
    with pytest.raises(ImageBuildFailed) as failed:
        built(recipe("echo well", "echo so far; echo oh no >&2; exit 3"), client)

    assert "oh no" in failed.value.data["step"]
    assert {"so far", "oh no"} == set(failed.value.data["output"].splitlines())
    assert "code: 3" in failed.value.message
    assert "well" not in failed.value.data["output"]


def test_after_a_failure_no_image_and_no_container_is_left(client: Any) -> None:
    image = recipe("exit 1")

    with pytest.raises(ImageBuildFailed):
        built(image, client)

    assert building.ready(image, client) is None


def test_a_base_that_is_nowhere_is_named(client: Any) -> None:
    with pytest.raises(ImageMissing, match=r"no-such-image\.invalid/it:1") as missing:
        built(recipe("true", base="no-such-image.invalid/it:1"), client)

    assert missing.value.data["image"] == "no-such-image.invalid/it:1"


def test_a_base_that_is_nowhere_is_named_where_it_needs_no_steps(client: Any) -> None:
    with pytest.raises(ImageMissing, match=r"no-such-image\.invalid/it:1"):
        built(recipe(base="no-such-image.invalid/it:1"), client)


def test_a_dockerfile_that_cannot_be_read_is_a_failure_of_it(client: Any) -> None:
    with pytest.raises(ImageBuildFailed, match="RUNN"):
        built(ImageSpec(dockerfile=f"FROM {NAME}\nRUNN true\n"), client)


def test_a_full_disk_is_told_with_the_way_out(client: Any) -> None:
    with pytest.raises(ImageBuildFailed, match="apothic image prune"):
        built(recipe("echo 'cp: write error: No space left on device' >&2; exit 1"), client)


def test_a_newline_in_a_variable_is_refused_before_anything_is_built(client: Any) -> None:
    image = ImageSpec(base=NAME, steps=(ImageStep("env", ("A=one\ntwo",)),))

    with pytest.raises(InvalidOption, match="more than one line"):
        built(image, client)


@pytest.mark.parametrize("form", ["shell", "exec"])
def test_a_private_index_reaches_commands_that_install_and_nobody_else(
    client: Any, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", f"https://me:{SECRET}@index.invalid/simple")
    monkeypatch.setenv("UV_INDEX", f"https://me:{SECRET}@index.invalid/simple")
    monkeypatch.setenv("HTTP_PROXY", f"http://me:{SECRET}@proxy.invalid")
    command = "env | grep -c @index.invalid; : pip install"
    image = recipe(command, "env")
    if form == "shell":
        image = ImageSpec(dockerfile=f"FROM {NAME}\nRUN {command}\nRUN env\n")

    said = "".join(built(image, client))

    assert "3" in said.splitlines()  # those two, and what carries them
    history = client.history(building.name_of(image))
    config = client.inspect_image(building.name_of(image))
    assert SECRET not in f"{history}{config}"
    assert SECRET not in said
    assert SECRET not in output_of(client, building.name_of(image), "env")


def test_an_index_is_read_from_the_files_of_pip(
    client: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    conf = tmp_path / "pip.conf"
    conf.write_text("[global]\nindex-url = https://index.invalid/simple\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(conf))
    monkeypatch.delenv("PIP_INDEX_URL", raising=False)

    said = built(recipe('echo "$PIP_INDEX_URL"; : pip'), client)

    assert "https://index.invalid/simple\n" in said


def test_two_that_want_the_same_image_at_once_build_it_once(client: Any) -> None:
    image = recipe("sleep 0.3; date +%N > /when")
    said: list[list[str]] = []
    threads = [threading.Thread(target=lambda: said.append(built(image, None))) for _ in range(2)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(bool(lines) for lines in said) == [False, True]


def test_what_was_built_is_listed_and_pruned(client: Any) -> None:
    image = recipe("true")
    built(image, client)

    (found,) = [it for it in building.listed(client) if it.digest == image.digest]
    removed = building.prune([image.digest], client)

    assert (found.size_bytes > 0, found.created_at > 0) == (True, True)
    assert [it.digest for it in removed] == [image.digest]
    assert building.ready(image, client) is None


def test_pruning_leaves_what_a_container_is_made_from(client: Any) -> None:
    image = recipe("true")
    built(image, client)
    made = client.create_container(building.name_of(image), entrypoint=["true"])

    assert building.prune([image.digest], client) == []

    client.remove_container(made["Id"])


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("at", ["unix:///nowhere/docker.sock", "tcp://127.0.0.1:9"])
def test_without_a_daemon_it_is_told_how_to_get_one(
    monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_HOST", at)

    with pytest.raises(NoDocker, match="DOCKER_HOST"):
        engine.connect()
    gc.collect()  # the library leaves a socket open where nobody answers


def test_a_socket_that_may_not_be_used_is_told_with_the_way_out() -> None:
    refused = engine.refused("PermissionError: Permission denied")

    assert "group `docker`" in refused.message
