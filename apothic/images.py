"""Image: what the place where a function runs has to have in it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, NoReturn, TypedDict, Unpack

from apothic._values import Value, flag, is_dict, is_list, is_string, refuse, text
from apothic_backends.model.errors import InvalidOption
from apothic_backends.model.images import REQUIREMENT, ImageSpec, ImageStep

Local = str | os.PathLike[str]
"""A path on this machine; a relative one counts from the working directory."""

SERIES = ("3.11", "3.12", "3.13", "3.14")
"""The Pythons that `debian_slim` has, beside the one of this program."""

_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_")
_DIGITS = frozenset("0123456789")
_REFERENCE = _LETTERS | _DIGITS | frozenset("-./:@")


CARRIED: dict[Image, ImageSpec] = {}
"""What images were when they were shipped last; they take it along to workers, which have no such
files."""


class PipOptions(TypedDict, total=False):
    """How packages are installed."""

    requirements: Local | None
    """A file of yours that lists packages, one a line, as pip reads them."""
    index_url: str | None
    """Where packages come from, in place of PyPI."""
    extra_index_url: str | None
    """Where they come from, too."""
    find_links: str | None
    """A page, or a folder of the image, that has some."""
    pre: bool
    """Also versions before their release."""
    extra_options: str
    """Options of pip, or uv: "--no-deps --only-binary :all:"."""


class Image(Value):
    """An immutable recipe: every verb gives a new one with a step more.

    Nothing is built, and no file of yours is read, before a function with it is called or deployed.
    What two images begin with alike is built once.
    """

    base: str
    """The image that the steps start from, or the path of a Dockerfile."""
    steps: tuple[tuple[str, tuple[str, ...]], ...]
    """Verbs and their arguments, in order."""
    start: str
    """The verb that it starts with: "debian_slim", "from_registry" or "from_dockerfile"."""

    def __init__(
        self,
        base: str,
        steps: tuple[tuple[str, tuple[str, ...]], ...] = (),
        start: str = "from_registry",
    ) -> None:
        super().__init__(base=_plain("base", base), steps=steps, start=start)

    @property
    def python(self) -> str:
        """The series of Python that it was made for, such as "3.11"; "" if none was named."""
        is_slim = self.start == "debian_slim"
        return self.base.removeprefix("python:").removesuffix("-slim") if is_slim else ""

    @property
    def brings_files(self) -> bool:
        """Whether files of this machine belong to it."""
        return self.start == "from_dockerfile" or any(
            verb.startswith("add_local_") or any(word.startswith(REQUIREMENT) for word in words)
            for verb, words in self.steps
        )

    def spec(self) -> ImageSpec:
        """What a backend must know of it; files of this machine that belong to it are read.

        Raises:
            NotFound: a file or a module is missing.
            PackageRefused: files are no files, secrets, lead elsewhere, or are too much.
        """
        if not self.brings_files:
            steps = tuple(ImageStep(verb, words) for verb, words in self.steps)
            return ImageSpec(self.base, self.python, steps=steps)
        from apothic._recipes import recipe_of  # what packs files is large  # noqa: PLC0415

        with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - pathlib is not loaded yet
            return recipe_of(self, nowhere).spec

    # --- what it begins with --------------------------------------------------------------------

    @classmethod
    def debian_slim(cls, python_version: str | None = None) -> Image:
        """Slim Debian with that Python ("3.11"), or with the one that declares it.

        With packages, variables and Python sources alone it needs no Docker: it is a virtual
        environment then, of a Python of this series.

        Raises:
            InvalidOption: it is no series, or none that there is.
        """
        import sys  # noqa: PLC0415 - here, beside its only use

        own = f"{sys.version_info.major}.{sys.version_info.minor}"
        series = own if python_version is None else _series(python_version, own)
        return cls(f"python:{series}-slim", start="debian_slim")

    @classmethod
    def from_registry(cls, reference: str) -> Image:
        """Any image that a registry serves: "ubuntu:24.04", "ghcr.io/acme/tool@sha256:…".

        Raises:
            InvalidOption: nothing can be called so.
        """
        text("reference", reference)
        if {*reference} - _REFERENCE or reference[0] not in _LETTERS | _DIGITS:
            refuse("reference", reference, "the name of an image such as 'python:3.12-slim'")
        return cls(reference)

    @classmethod
    def from_dockerfile(cls, path: Local) -> Image:
        """What a Dockerfile of yours builds; the path counts from the working directory.

        It can copy what is in its folder, apart from what the .dockerignore there names.
        """
        return cls(_local("path", path), start="from_dockerfile")

    # --- packages -------------------------------------------------------------------------------

    def pip_install(self, *packages: str | list[str], **options: Unpack[PipOptions]) -> Image:
        """Install packages with pip: "numpy", "pandas>=2", a URL.

        `requirements` is a file of yours that lists more; the other options are those of pip, and
        what has none here goes into `extra_options`, as a shell would read it.

        Raises:
            InvalidOption: a package is an option, or an address has a password in it.
        """
        return self._with("pip_install", _installed("pip_install", packages, options))

    def uv_pip_install(self, *packages: str | list[str], **options: Unpack[PipOptions]) -> Image:
        """Install packages with uv, which is faster; with pip where there is no uv.

        It takes what `pip_install` takes.

        Raises:
            InvalidOption: as `pip_install`.
        """
        return self._with("uv_pip_install", _installed("uv_pip_install", packages, options))

    def apt_install(self, *packages: str | list[str]) -> Image:
        """Install Debian packages; the lists of what there is are fetched before.

        Raises:
            InvalidOption: a package is an option.
        """
        return self._with("apt_install", _packages("apt_install", packages))

    # --- the rest -------------------------------------------------------------------------------

    def env(self, variables: dict[str, str] | None = None, /, **more: str) -> Image:
        """Set environment variables, as keywords or as a dictionary.

        Nothing in a value is special: `$HOME` is these five characters. They are part of the image
        and seen by whoever sees it; what is secret goes into a `Secret`.

        Raises:
            InvalidOption: a name is none, or a value is not one line of text.
        """
        if variables is not None and not is_dict(variables):
            refuse("env", variables, "a dictionary, or keywords")
        merged: dict[Any, Any] = {**(variables or {}), **more}
        for name, value in merged.items():
            if (
                not is_string(name)
                or not name
                or {*name} - _LETTERS - _DIGITS
                or name[0] in _DIGITS
            ):
                refuse("a name in env", name, "A-Z a-z 0-9 _, with no digit first")
            if not is_string(value):
                refuse(f"env {name}", value, "a string")
            _one_line(f"env {name}", value)
        return self._with("env", [f"{name}={value}" for name, value in merged.items()])

    def workdir(self, path: str) -> Image:
        """Start in that directory, which is made if it is not there.

        Raises:
            InvalidOption: the path is not absolute.
        """
        return self._with("workdir", [_remote("workdir", path)])

    def run_commands(self, *commands: str | list[str]) -> Image:
        """Run shell commands while it is built, one layer each.

        Raises:
            InvalidOption: a command is no text.
        """
        return self._with("run_commands", [_plain("run_commands", it) for it in _flat(commands)])

    def add_local_file(self, local_path: Local, remote_path: str) -> Image:
        """Bring a file of yours along, to be `remote_path`, or in that if it ends in a slash.

        Raises:
            InvalidOption: `remote_path` is not absolute.
        """
        local = _local("local_path", local_path)
        remote = text("remote_path", remote_path)
        if remote.endswith("/"):
            remote += os.path.basename(local)  # noqa: PTH119 - pathlib is not loaded yet
        return self._with("add_local_file", [local, _remote("remote_path", remote)])

    def add_local_dir(
        self, local_path: Local, remote_path: str, *, ignore: list[str] | None = None
    ) -> Image:
        """Bring what is in a directory of yours along, to be in `remote_path`.

        `ignore` says what is left out, as lines of a .dockerignore do: `["**/*.csv", "!keep.csv"]`.
        Without it the .dockerignore in the directory says so; where there is none, it is what is
        made anew everywhere: `__pycache__`, virtual environments. Secrets are never brought.

        Raises:
            InvalidOption: `remote_path` is not absolute, or a pattern is none.
        """
        words = [_local("local_path", local_path), _remote("remote_path", remote_path)]
        if ignore is not None:
            if not is_list(ignore):
                refuse("ignore", ignore, 'a list such as ["**/*.csv"]')
            words.append("\n".join(_one_line("ignore", _plain("ignore", it)) for it in ignore))
        return self._with("add_local_dir", words)

    def add_local_python_source(self, *modules: str) -> Image:
        """Bring modules and packages of yours along, by the name under which you import them.

        Raises:
            InvalidOption: nothing is imported by that name.
        """
        for name in modules:
            if not is_string(name) or not name.isidentifier():
                refuse("a module", name, "a name as in `import my_package`, and no path")
        return self._with("add_local_python_source", modules)

    def _with(self, verb: str, words: Iterable[str]) -> Image:
        step = (verb, tuple(words))
        return Image(self.base, (*self.steps, step), self.start) if step[1] else self

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel with what it was when it was shipped."""
        return (_travelled, (self.base, self.steps, self.start, CARRIED.get(self)))

    def __repr__(self) -> str:
        """The calls that make it."""
        calls = [(self.start, (self.python or self.base,)), *self.steps]
        return "Image" + "".join(f".{verb}({', '.join(map(repr, words))})" for verb, words in calls)


def _travelled(
    base: str,
    steps: tuple[tuple[str, tuple[str, ...]], ...],
    start: str,
    recipe: ImageSpec | None,
) -> Image:
    image = Image(base, steps, start)
    if recipe is not None:
        CARRIED[image] = recipe
    return image


# --- checks -------------------------------------------------------------------------------------


def _plain(what: str, value: Any) -> str:
    """Check a text that can be handed to a program."""
    text(what, value)
    if "\0" in value or (not value.isprintable() and not _is_encodable(value)):
        refuse(what, value, "a text without NUL, which UTF-8 can say")
    return value


def _is_encodable(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _one_line(what: str, value: str) -> str:
    if any(mark in value for mark in "\0\r\n") or not _is_encodable(value):
        refuse(what, value, "one line of text")
    return value


def _local(what: str, path: Any) -> str:
    """The absolute path of what may not be there yet."""
    if not isinstance(path, str | os.PathLike):
        refuse(what, path, "a path")
    return os.path.abspath(_plain(what, os.fspath(path)))  # noqa: PTH100 - as it is written


def _remote(what: str, path: Any) -> str:
    """A path in the image, without what leads up or nowhere."""
    if not text(what, path).startswith("/") or ".." in path.split("/"):
        refuse(what, path, "an absolute path such as '/app', without '..'")
    parts = [part for part in _one_line(what, path).split("/") if part not in ("", ".")]
    return "/" + "/".join(parts)


def _series(version: Any, own: str) -> str:
    if isinstance(version, float):
        refuse("python_version", version, "a text: '3.10' and '3.1' are the same number")
    text("python_version", version)
    if version.count(".") > 1:
        series = ".".join(version.split(".")[:2])
        refuse("python_version", version, f"a series such as {series!r}, without its patch")
    if version not in (*SERIES, own):
        refuse("python_version", version, f"one of {', '.join(SERIES)}")
    return str(version)


def _flat(given: Iterable[str | list[str]]) -> list[Any]:
    """Words, and those in lists; a list in a list is left for a check to refuse."""
    words: list[Any] = []
    for word in given:
        words.extend(word if is_list(word) else [word])
    return words


def _packages(verb: str, given: Iterable[str | list[str]]) -> list[str]:
    packages = [_one_line(verb, text(verb, word)) for word in _flat(given)]
    for word in packages:
        if word.startswith("-"):
            _refuse_option(verb, word)
    return packages


def _refuse_option(verb: str, word: str) -> NoReturn:
    way_out = "" if verb == "apt_install" else f"; say {verb}(..., extra_options={word!r})"
    raise InvalidOption(f"{verb} takes names of packages, and {word!r} is an option{way_out}")


def _installed(verb: str, given: Iterable[str | list[str]], options: PipOptions) -> list[str]:
    """What pip is told: options, then packages; nothing if nothing is to be installed."""
    packages = _packages(verb, given)
    words = [word for name, value in options.items() for word in _option(verb, name, value)]
    for word in (*words, *packages):
        _check_address(verb, word)
    return [*words, *packages] if packages or options.get("requirements") else []


def _option(verb: str, name: str, value: Any) -> list[str]:
    """An option as pip is told it."""
    if name not in PipOptions.__annotations__:
        known = ", ".join(PipOptions.__annotations__)
        raise InvalidOption(f"{verb}: there is no option {name!r}; there are: {known}", option=name)
    if name == "pre":
        return ["--pre"] if flag(name, value) else []
    if not value:
        return []
    if name == "requirements":
        return [f"{REQUIREMENT}{_local(name, value)}"]
    said = _one_line(name, text(name, value))
    if name == "extra_options":
        import shlex  # few images need it  # noqa: PLC0415

        return shlex.split(said)
    return [f"--{name.replace('_', '-')}={said}"]


def _check_address(verb: str, word: str) -> None:
    """See to it that no password is in an image, where whoever gets the image can read it."""
    scheme, is_url, rest = word.partition("://")
    user, is_said, _ = rest.partition("/")[0].rpartition("@")
    if is_url and is_said and (":" in user or not scheme.endswith("ssh")):
        address = f"{scheme}://…@{rest.rpartition('@')[2]}"
        raise InvalidOption(
            f"{verb}: {address} has a password or a token in it, which would be part of the image. "
            "Use an address that needs none, or bring the package with add_local_file"
        )
