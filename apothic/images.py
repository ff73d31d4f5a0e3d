"""Image: what the place where a function runs has to have in it."""

from __future__ import annotations

import os
from typing import Any

from apothic._values import Value, refuse, text
from apothic_backends.model.errors import InvalidOption


class Image(Value):
    """An immutable recipe: every verb gives a new one with a step more."""

    base: str
    """The image that the steps start from, or the path of a Dockerfile."""
    steps: tuple[tuple[str, tuple[str, ...]], ...]
    """Verbs and their arguments, in order."""

    def __init__(self, base: str, steps: tuple[tuple[str, tuple[str, ...]], ...] = ()) -> None:
        super().__init__(base=text("base", base), steps=steps)

    @classmethod
    def debian_slim(cls, python_version: str | None = None) -> Image:
        """Slim Debian with that Python ("3.11"), or with the one that declares it."""
        if python_version is None:
            import sys  # noqa: PLC0415 - here, beside its only use

            python_version = f"{sys.version_info.major}.{sys.version_info.minor}"
        major, _, minor = text("python_version", python_version).partition(".")
        if major != "3" or not minor.isdigit():
            refuse("python_version", python_version, "a series such as '3.11'")
        return cls(f"python:{python_version}-slim")

    @classmethod
    def from_registry(cls, reference: str) -> Image:
        """Any image that a registry serves."""
        return cls(text("reference", reference))

    @classmethod
    def from_dockerfile(cls, path: str | os.PathLike[str]) -> Image:
        """What a Dockerfile of yours builds; the path counts from the working directory."""
        return cls(os.fspath(path), (("from_dockerfile", (os.fspath(path),)),))

    def pip_install(self, *packages: str | list[str]) -> Image:
        """Install packages with pip."""
        return self._with("pip_install", packages)

    def uv_pip_install(self, *packages: str | list[str]) -> Image:
        """Install packages with uv."""
        return self._with("uv_pip_install", packages)

    def apt_install(self, *packages: str | list[str]) -> Image:
        """Install Debian packages."""
        return self._with("apt_install", packages)

    def env(self, variables: dict[str, str] | None = None, /, **more: str) -> Image:
        """Set environment variables, as keywords or as a dictionary."""
        merged: dict[str, Any] = {**(variables or {}), **more}
        for name, value in merged.items():
            if not isinstance(value, str):
                refuse(f"env {name}", value, "a string")
        return self._with("env", tuple(f"{name}={value}" for name, value in merged.items()))

    def run_commands(self, *commands: str | list[str]) -> Image:
        """Run shell commands, one layer each."""
        return self._with("run_commands", commands)

    def workdir(self, path: str) -> Image:
        """Start in that directory."""
        return self._with("workdir", (path,))

    def add_local_file(self, local_path: str | os.PathLike[str], remote_path: str) -> Image:
        """Bring a file of yours along."""
        return self._with("add_local_file", (os.fspath(local_path), remote_path))

    def add_local_dir(self, local_path: str | os.PathLike[str], remote_path: str) -> Image:
        """Bring a directory of yours along."""
        return self._with("add_local_dir", (os.fspath(local_path), remote_path))

    def add_local_python_source(self, *modules: str) -> Image:
        """Bring modules and packages of yours along, by the name under which you import them."""
        return self._with("add_local_python_source", modules)

    def _with(self, verb: str, given: tuple[str | list[str], ...]) -> Image:
        words: list[str] = []
        for word in given:
            words.extend([word] if isinstance(word, str) else word)
        for word in words:
            text(verb, word)
            if verb.endswith("install") and word.startswith("-"):
                raise InvalidOption(f"{verb} takes names of packages; {word!r} is an option")
        return Image(self.base, (*self.steps, (verb, tuple(words)))) if words else self
