"""The Dockerfile of an image, layer by layer.

Whatever stands in a recipe comes out as it was meant: commands are in the exec form, which is JSON;
what Docker reads itself is in single quotes, where nothing is special to it, not even a dollar.
A layer can be reused as long as it and all before it are the same.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from hashlib import sha256
from posixpath import dirname
from shlex import join, quote
from typing import NamedTuple

from apothic_backends.images.steps import BROUGHT, arguments, requirements
from apothic_backends.model.errors import InvalidOption
from apothic_backends.model.images import ImageSpec, ImageStep

SOURCES = "/opt/apothic/sources"
"""Where Python sources of the user's machine are, which `PYTHONPATH` names."""
PLACED = "/opt/apothic/brought"
"""Where files of requirements are."""

_APT = "apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --"
_PIP = (
    "PIP_BREAK_SYSTEM_PACKAGES=1 PIP_ROOT_USER_ACTION=ignore python3 -m pip install "
    "--no-cache-dir --disable-pip-version-check"
)
_UV = "uv pip install --system --break-system-packages --no-cache"


class Layer(NamedTuple):
    """A step as Docker is told of it."""

    title: str
    """The verb with its words, shortly."""
    instructions: tuple[str, ...]
    key: str
    """The same for the same step after the same layers: 64 hexadecimal digits."""


def render(image: ImageSpec) -> str:
    """The Dockerfile; its context is the recipe's archive.

    Raises:
        InvalidOption: something is in the recipe that no Dockerfile can say.
    """
    return "\n".join(line for layer in layers(image) for line in layer.instructions) + "\n"


def layers(image: ImageSpec) -> list[Layer]:
    """The layers in their order; the first is what the image begins with.

    Raises:
        InvalidOption: as `render`.
    """
    found = [_first(image)]
    has_sources = False
    for step in image.steps:
        written = [*_writer(step.verb)(step)]
        if step.verb == "add_local_python_source" and not has_sources:
            written.append(f'ENV PYTHONPATH="{SOURCES}${{PYTHONPATH:+:$PYTHONPATH}}"')
            has_sources = True
        title = " ".join([step.verb, *step.words])
        found.append(Layer(title, tuple(written), _key(found[-1].key, *written)))
    return found


def _first(image: ImageSpec) -> Layer:
    if image.dockerfile:  # it may copy anything of its folder
        text = image.dockerfile.rstrip()
        return Layer("the Dockerfile and its folder", (text,), _key(text, image.context))
    text = f"FROM {_line(image.base)}"
    return Layer(text, (text,), _key(text))


def _key(*parts: str | None) -> str:
    return sha256(json.dumps(parts).encode()).hexdigest()


# --- instructions -------------------------------------------------------------------------------


def _apt(step: ImageStep) -> Iterator[str]:
    yield _run(f"{_APT} {join(step.words)} && rm -rf /var/lib/apt/lists/*")


def _pip(step: ImageStep) -> Iterator[str]:
    yield from _requirements(step)
    yield _run(f"{_PIP} {join(arguments(step, PLACED))}")


def _uv(step: ImageStep) -> Iterator[str]:
    yield from _requirements(step)
    wanted = join(arguments(step, PLACED))
    yield _run(f"if command -v uv >/dev/null; then {_UV} {wanted}; else {_PIP} {wanted}; fi")


def _requirements(step: ImageStep) -> Iterator[str]:
    for folder in requirements(step):
        yield _copy(folder, f"{PLACED}/{folder.removeprefix(BROUGHT)}")


def _env(step: ImageStep) -> Iterator[str]:
    pairs = (word.partition("=") for word in step.words)
    yield f"ENV {' '.join(f'{name}={quote(_line(value))}' for name, _, value in pairs)}"


def _workdir(step: ImageStep) -> Iterator[str]:
    for path in step.words:
        yield f"WORKDIR {quote(_line(path))}"


def _commands(step: ImageStep) -> Iterator[str]:
    for command in step.words:
        yield _run(command)


def _file(step: ImageStep) -> Iterator[str]:
    """A folder is copied that has this file alone: Docker reads patterns in names of files."""
    source, target = _pair(step)
    yield _copy(dirname(source), dirname(target))


def _pair(step: ImageStep) -> tuple[str, str]:
    if len(step.words) != 2:  # noqa: PLR2004 - what is brought, and where it is to be
        raise InvalidOption(f"{step.verb} takes a path here and one in the image: {step.words}")
    return step.words[0], step.words[1]


def _folder(step: ImageStep) -> Iterator[str]:
    source, target = _pair(step)
    yield _copy(source, target)


def _sources(step: ImageStep) -> Iterator[str]:
    for folder in step.words:
        yield _copy(folder, SOURCES)


_WRITERS: dict[str, Callable[[ImageStep], Iterator[str]]] = {
    "apt_install": _apt,
    "pip_install": _pip,
    "uv_pip_install": _uv,
    "env": _env,
    "workdir": _workdir,
    "run_commands": _commands,
    "add_local_file": _file,
    "add_local_dir": _folder,
    "add_local_python_source": _sources,
}


def _writer(verb: str) -> Callable[[ImageStep], Iterator[str]]:
    known = _WRITERS.get(verb)
    if known is None:
        raise InvalidOption(f"{verb!r} is no step of an image; there are: {', '.join(_WRITERS)}")
    return known


def _run(command: str) -> str:
    return f"RUN {_json('/bin/sh', '-c', command)}"


def _copy(folder: str, target: str) -> str:
    """Copy what is in a folder of the context; Docker reads quotes in paths that are JSON, too."""
    return f"COPY {_json(f'{folder}/', quote(_line(target).rstrip('/') + '/'))}"


def _json(*words: str) -> str:
    return json.dumps(words, ensure_ascii=False)


def _line(text: str) -> str:
    """What stands in one line.

    Raises:
        InvalidOption: it does not.
    """
    if any(mark in text for mark in "\0\r\n"):
        raise InvalidOption(f"{text!r:.80} has more than one line, which no Dockerfile can say")
    return text
