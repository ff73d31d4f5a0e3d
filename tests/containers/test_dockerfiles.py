"""Dockerfiles of images, as a real engine reads them."""

from __future__ import annotations

import io
import tarfile

import docker
import pytest

from apothic_backends.images.dockerfile import render
from apothic_backends.model.images import ImageSpec, ImageStep
from tests.containers.image import NAME

pytestmark = pytest.mark.docker

NASTY = (
    "plain",
    "two words",
    "it's",
    'a "b" c',
    "$HOME ${HOME:-x} $(id) `id`",
    "back\\slash \\$HOME \\",
    "# none; && || | > < * ? [a-z] {a,b} ~",
    "<<EOF",
    "é 漢字 \t end ",
    "'\"'\"$'\\",
)


def build(image: ImageSpec, *files: tuple[str, bytes]) -> str:
    """Build it in the engine; the id of what was built."""
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as tar:
        for name, content in [("Dockerfile", render(image).encode()), *files]:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    context.seek(0)
    client = docker.from_env()
    try:
        built, _ = client.images.build(fileobj=context, custom_context=True, rm=True)
        return str(built.id)
    finally:
        client.close()


def run(image_id: str, *command: str) -> str:
    """What a program in it prints, in whole lines: engines lose the others."""
    client = docker.from_env()
    try:
        return client.containers.run(image_id, [*command], remove=True).decode()
    finally:
        client.close()


def remove(image_id: str) -> None:
    """Leave nothing in the engine."""
    client = docker.from_env()
    client.images.remove(image_id, force=True)
    client.close()


def test_whatever_a_recipe_says_is_there_as_it_was_said() -> None:
    steps = [ImageStep("env", tuple(f"V{at}={text}" for at, text in enumerate(NASTY)))]
    printed = "\n".join(f"printf '%s\\n' \"$V{at}\" >> /values" for at in range(len(NASTY)))
    steps += [ImageStep("run_commands", (printed, "printf '%s\\n' 'it'\"'\"'s $HOME \\' > /said"))]
    folder = "/".join(NASTY)
    steps += [ImageStep("workdir", (f"/{folder}",))]
    image_id = build(ImageSpec(base=NAME, steps=tuple(steps)))
    try:
        assert run(image_id, "cat", "/values") == "".join(f"{text}\n" for text in NASTY)
        assert run(image_id, "cat", "/said") == "it's $HOME \\\n"
        assert run(image_id, "pwd") == f"/{folder}\n"
    finally:
        remove(image_id)


def test_files_are_copied_to_wherever_they_are_to_be() -> None:
    steps = [
        ImageStep("add_local_dir", (".apothic/aa", f"/data/{text.replace('/', '')}"))
        for text in NASTY
    ]
    steps += [ImageStep("add_local_file", (".apothic/bb/[a]*?.txt", "/etc/[a]*?.txt"))]
    files = [(".apothic/aa/deep/[x] $HOME", b"dir\n"), (".apothic/bb/[a]*?.txt", b"file\n")]
    image_id = build(ImageSpec(base=NAME, steps=tuple(steps)), *files)
    try:
        listed = run(image_id, "ls", "-1", "--literal", "/data").split("\n")[:-1]
        assert sorted(listed) == sorted(text.replace("/", "") for text in NASTY)
        assert run(image_id, "sh", "-c", "cat /data/*/deep/*") == "dir\n" * len(NASTY)
        assert run(image_id, "cat", "/etc/[a]*?.txt") == "file\n"
        assert run(image_id, "test", "-f", "/etc/passwd") == ""
    finally:
        remove(image_id)


def test_sources_are_found_by_python_in_it_beside_those_that_it_names_already() -> None:
    steps = (
        ImageStep("env", ("PYTHONPATH=/mine",)),
        ImageStep("add_local_python_source", (".apothic/aa",)),
        ImageStep("add_local_python_source", (".apothic/bb",)),
    )
    files = [(".apothic/aa/one.py", b"X = 1"), (".apothic/bb/two.py", b"Y = 2")]
    image_id = build(ImageSpec(base=NAME, steps=steps), *files)
    try:
        look = "import one, two, sys; print(one.X + two.Y, '/mine' in sys.path, '' in sys.path[1:])"
        assert run(image_id, "python3", "-c", look) == "3 True False\n"
    finally:
        remove(image_id)


def test_a_dockerfile_with_another_escape_character_changes_nothing() -> None:
    begin = f"# escape=`\nFROM {NAME}\n"
    steps = (ImageStep("env", (f"A={NASTY[-1]}` \\",)), ImageStep("workdir", ("/a `b\\",)))
    image_id = build(ImageSpec(dockerfile=begin, steps=steps))
    try:
        assert run(image_id, "sh", "-c", 'printf "%s\\n" "$A"') == f"{NASTY[-1]}` \\\n"
        assert run(image_id, "pwd") == "/a `b\\\n"
    finally:
        remove(image_id)
