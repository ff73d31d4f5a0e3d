"""The Dockerfiles of images, and the keys of their layers."""

from __future__ import annotations

import json
import shlex

import pytest
from hypothesis import given, strategies as st

from apothic_backends.images.dockerfile import layers, render
from apothic_backends.model.errors import InvalidOption
from apothic_backends.model.images import ImageSpec, ImageStep

SLIM = ImageSpec(base="python:3.11-slim", python="3.11")
PIP = "PIP_BREAK_SYSTEM_PACKAGES=1 PIP_ROOT_USER_ACTION=ignore python3 -m pip install"

ONE_LINE = st.text(st.characters(exclude_characters="\0\r\n", exclude_categories=["Cs"]))


def with_steps(*steps: tuple[str, *tuple[str, ...]], image: ImageSpec = SLIM) -> ImageSpec:
    return image.replace(steps=tuple(ImageStep(verb, tuple(words)) for verb, *words in steps))


def lines(*steps: tuple[str, *tuple[str, ...]]) -> list[str]:
    """What steps are in a Dockerfile, line by line."""
    first, *others = render(with_steps(*steps)).splitlines()
    assert first == "FROM python:3.11-slim"
    return others


def command(line: str) -> str:
    """What a shell is given."""
    shell, option, found = json.loads(line.removeprefix("RUN "))
    assert (shell, option) == ("/bin/sh", "-c")
    return found


def test_the_layers_are_in_the_order_of_the_steps() -> None:
    assert lines(
        ("env", "A=1", "B=x y"),
        ("workdir", "/srv"),
        ("run_commands", "mkdir a", "mkdir b"),
        ("add_local_dir", ".apothic/aa", "/data"),
        ("add_local_file", ".apothic/bb/app.toml", "/etc/app.toml"),
    ) == [
        "ENV A=1 B='x y'",
        "WORKDIR /srv",
        'RUN ["/bin/sh", "-c", "mkdir a"]',
        'RUN ["/bin/sh", "-c", "mkdir b"]',
        'COPY [".apothic/aa/", "/data/"]',
        'COPY [".apothic/bb/", "/etc/"]',
    ]


def test_packages_are_installed_with_their_options_before_them() -> None:
    (line,) = lines(("pip_install", "--pre", "--index-url=https://x/simple", "a>=1; extra == 'b'"))

    assert command(line).startswith(PIP)
    assert command(line).endswith(
        "--pre --index-url=https://x/simple 'a>=1; extra == '\"'\"'b'\"'\"''"
    )


def test_uv_installs_where_it_is_in_the_image_and_else_pip() -> None:
    (line,) = lines(("uv_pip_install", "numpy"))

    with_uv, without = (
        command(line).removeprefix("if command -v uv >/dev/null; then ").split(";")[:2]
    )
    assert with_uv.startswith("uv pip install --system")
    assert with_uv.endswith(" numpy")
    assert without.startswith(f" else {PIP}")
    assert without.endswith(" numpy")


def test_debian_packages_come_and_their_lists_go_in_one_layer() -> None:
    (line,) = lines(("apt_install", "git", "lib=1:2~*"))

    assert command(line) == (
        "apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y -- git 'lib=1:2~*'"
        " && rm -rf /var/lib/apt/lists/*"
    )


def test_files_of_requirements_are_brought_before_they_are_read() -> None:
    copied, run = lines(("pip_install", "--requirement=.apothic/cc/requirements.txt"))

    assert copied == 'COPY [".apothic/cc/", "/opt/apothic/brought/cc/"]'
    assert command(run).endswith(" --requirement=/opt/apothic/brought/cc/requirements.txt")


def test_sources_are_found_before_what_the_image_names_and_it_is_said_once() -> None:
    sources = ("add_local_python_source", ".apothic/dd"), ("add_local_python_source", ".apothic/ee")

    assert lines(*sources) == [
        'COPY [".apothic/dd/", "/opt/apothic/sources/"]',
        'ENV PYTHONPATH="/opt/apothic/sources${PYTHONPATH:+:$PYTHONPATH}"',
        'COPY [".apothic/ee/", "/opt/apothic/sources/"]',
    ]


def test_a_dockerfile_comes_first_as_it_was_written() -> None:
    image = with_steps(("workdir", "/x"), image=ImageSpec(dockerfile="# mine\nFROM a\nRUN b\n\n"))

    assert render(image) == "# mine\nFROM a\nRUN b\nWORKDIR /x\n"


@given(ONE_LINE)
def test_whatever_a_variable_is_stands_in_quotes_that_docker_does_not_look_into(text: str) -> None:
    (line,) = render(with_steps(("env", f"A={text}"))).split("\n")[1:-1]

    assert shlex.split(line.removeprefix("ENV ")) == [f"A={text}"]
    outside = line.replace("'\"'\"'", "").split("'")[::2]
    assert not set("".join(outside)) & set("$\\`")


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_whatever_a_command_is_it_is_one_line_that_says_it(text: str) -> None:
    (line,) = render(with_steps(("run_commands", text))).split("\n")[1:-1]

    assert command(line) == text


@pytest.mark.parametrize(
    "image",
    [
        ImageSpec(base="a\nRUN b"),
        with_steps(("env", "A=1\nRUN b")),
        with_steps(("workdir", "/a\rb")),
        with_steps(("add_local_dir", ".apothic/aa", "/a\nb")),
        with_steps(("conjure", "x")),
        with_steps(("add_local_dir", ".apothic/aa")),
        with_steps(("add_local_file", ".apothic/aa/b", "/b", "/c")),
    ],
)
def test_what_no_dockerfile_can_say_is_refused(image: ImageSpec) -> None:
    with pytest.raises(InvalidOption):
        render(image)


def test_a_changed_step_changes_its_key_and_those_after_it_only() -> None:
    steps = ("env", "A=1"), ("pip_install", "numpy"), ("run_commands", "true")
    before = [layer.key for layer in layers(with_steps(*steps))]
    after = [
        layer.key for layer in layers(with_steps(steps[0], ("pip_install", "scipy"), steps[2]))
    ]

    assert before[:2] == after[:2]
    assert not set(before[2:]) & set(after[2:])


def test_the_same_command_twice_has_two_keys() -> None:
    found = [
        layer.key for layer in layers(with_steps(("run_commands", "x"), ("run_commands", "x")))
    ]

    assert len(set(found)) == 3


def test_a_dockerfile_has_another_key_with_other_files_beside_it() -> None:
    one, other = (layers(ImageSpec(dockerfile="FROM a", context=digit * 64)) for digit in "01")

    assert one[0].key != other[0].key
