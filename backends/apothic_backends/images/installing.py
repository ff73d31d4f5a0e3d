"""Installing into a virtual environment, by uv or pip, as this user has set them up.

Whoever has told pip anything by its files and variables, which uv does not read, gets pip; where uv
is asked for, it is told of the same places. Addresses of indexes may have passwords in them: the
tools get them by their environment, which nobody else can read, and not as arguments.
"""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from apothic_backends.images import pip
from apothic_backends.images.interpreters import uv
from apothic_backends.model.images import ImageBuildFailed

_LINES = 40
"""So much of the end of a tool's output goes with an error."""

_VARIABLES = {
    "--index-url": ("PIP_INDEX_URL", "UV_DEFAULT_INDEX"),
    "--extra-index-url": ("PIP_EXTRA_INDEX_URL", "UV_INDEX"),
    "--find-links": ("PIP_FIND_LINKS", "UV_FIND_LINKS"),
}
"""Options with addresses, and the variables of pip and of uv that say the same."""

_BETWEEN = {"UV_FIND_LINKS": ","}
"""What stands between several addresses, where that is no space."""

_PASSWORD = re.compile(r"(?<=://)[^/@\s]+@")
_ABOUT = (
    re.compile(r"^ERROR: (No matching distribution found for .+)$", re.MULTILINE),
    re.compile(r"^ERROR: (Failed to build .+|Failed building wheel for .+)$", re.MULTILINE),
    re.compile(r"(Failed to build `.+`)"),
    re.compile(r"(Because .+ was not found .+)"),
    re.compile(r"^ERROR: (.+)$", re.MULTILINE),
)
"""What tools say of the package at which they failed, the plainest first."""

Apart = tuple[list[str], dict[str, str]]


class Tool:
    """uv, or pip, for one environment."""

    def __init__(self, python: Path, verb: str) -> None:
        self.python = python
        self.is_uv = uses_uv(verb)

    def command(self, words: Sequence[str]) -> list[str]:
        """What installs these words."""
        python = str(self.python)
        if self.is_uv:
            return [uv() or "uv", "pip", "install", "--python", python, *words]
        own = [sys.executable, "-m", "pip", "--python", python]
        program = own if find_spec("pip") is not None else [python, "-m", "pip"]
        return [*program, "install", "--no-input", "--disable-pip-version-check", *words]

    def install(self, words: Sequence[str], env: Mapping[str, str], step: str) -> None:
        """Install them.

        Raises:
            ImageBuildFailed: the tool could not; it has its last words.
        """
        if self.is_uv:
            env = {**env, **pip.for_uv(env)}
        plain, told = _apart(words, env, is_uv=self.is_uv)
        variables = {**env, **told, "PYTHONUNBUFFERED": "1", "NO_COLOR": "1"}
        if not self.is_uv and find_spec("pip") is None:
            run([str(self.python), "-m", "ensurepip"], variables, step)
        run(self.command(plain), variables, step)


def uses_uv(verb: str) -> bool:
    """Whether that verb is done by uv here."""
    return uv() is not None and (verb == "uv_pip_install" or not pip.is_set_up(sys.prefix))


def _apart(words: Sequence[str], env: Mapping[str, str], *, is_uv: bool) -> Apart:
    """Words that may be seen by everybody, and variables for those that may not.

    Addresses of a recipe come in place of the user's index, and beside the user's others.
    """
    plain: list[str] = []
    told: dict[str, list[str]] = {}
    for word in words:
        option, _, address = word.partition("=")
        names = _VARIABLES.get(option)
        if names is None:
            plain.append(word)
            continue
        name = names[is_uv]
        others = [env[name]] if name in env and option != "--index-url" else []
        told.setdefault(name, others).append(address)
    joined = {name: _BETWEEN.get(name, " ").join(addresses) for name, addresses in told.items()}
    return plain, joined


def shown(words: Sequence[str]) -> str:
    """Words as people may see them: without passwords."""
    return _PASSWORD.sub("***@", " ".join(words))


def run(command: Sequence[str], env: Mapping[str, str], step: str) -> None:
    """Run a command, whose output goes on to ours line by line.

    Raises:
        ImageBuildFailed: it failed, or could not be run.
    """
    last: deque[str] = deque(maxlen=_LINES)
    try:
        process = subprocess.Popen(  # noqa: S603 - pip, uv or Python, with words of the recipe
            command,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
    except OSError as error:
        raise failed(step, f"{command[0]} cannot be run: {error}") from error
    with process:
        assert process.stdout is not None, "it was asked for"
        try:
            for line in process.stdout:
                text = _PASSWORD.sub("***@", line)
                last.append(text)
                os.write(1, text.encode())
        except BaseException:  # we are to end: it must not be waited for
            process.kill()
            raise
    if process.returncode:
        raise failed(step, "".join(last))


def failed(step: str, output: str) -> ImageBuildFailed:
    """What to say of a step that failed after printing this."""
    about = next((found[1] for it in _ABOUT if (found := it.search(output))), "")
    if os.strerror(errno.ENOSPC) in output:
        about = (
            "the disk is full. `apothic image prune` removes what is unused, APOTHIC_HOME names "
            "another place"
        )
    said = f": {about}" if about else ""
    return ImageBuildFailed(
        f"`{step}` of the image failed{said}\n{output.rstrip()}", step=step, output=output
    )
