"""What a recipe of an image is to a backend: its steps, and an archive of the files they bring.

Each step's files lie in a folder of the archive that is named by what is in it. Thus a step changes
with its files, wherever they are here; and where they are is told to nobody.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from posixpath import basename, normpath
from typing import BinaryIO, NamedTuple, Protocol

from pathspec import GitIgnoreSpec

from apothic._listing import NEVER, USUAL, walk
from apothic.packaging import Package, PackedFile, WhyNot, check_size, collected
from apothic_backends.archives import pack
from apothic_backends.images.steps import BROUGHT
from apothic_backends.model.errors import InvalidOption, NotFound, PackageRefused
from apothic_backends.model.images import REQUIREMENT, ImageSpec, ImageStep

IGNORE_FILE = ".dockerignore"

_KEY_FILES = GitIgnoreSpec.from_lines(["id_*", "*.key", "*.pem", "*.ppk", "*.p8"])
_KEY = b"PRIVATE KEY-----", b"PuTTY-User-Key-File"
_HEAD = 4096
_NAME = 16
"""How many digits of a digest name a folder."""


class Declared(Protocol):
    """An `Image`."""

    base: str
    steps: tuple[tuple[str, tuple[str, ...]], ...]
    start: str

    @property
    def python(self) -> str:
        """The series that it was made for."""
        ...


class Recipe(NamedTuple):
    """An image as a backend is told of it, and which files of this machine are in it."""

    spec: ImageSpec
    files: tuple[PackedFile, ...]
    left_out: dict[str, str]
    """What was not brought, by its path here, with the reason."""


def recipe_of(image: Declared, out: BinaryIO) -> Recipe:
    """Read the files that belong to an image, and write them as an archive, if there are any.

    Raises:
        NotFound: a file or a module is missing.
        PackageRefused: files are no files, secrets, lead elsewhere, or are too much.
    """
    brought = _Brought()
    begin = {"base": image.base, "python": image.python}
    if image.start == "from_dockerfile":
        begin = {"dockerfile": brought.dockerfile(Path(image.base))}
    steps = tuple(ImageStep(verb, tuple(brought.words(verb, words))) for verb, words in image.steps)
    files = tuple(brought.files.values())
    check_size(files, f"Leave data out with {IGNORE_FILE} or ignore=, and put it into a Volume")
    context = pack([(file.path, file.source) for file in files], out) if files else None
    return Recipe(ImageSpec(steps=steps, context=context, **begin), files, brought.left_out)


class _Brought:
    """The files that steps bring, as they are found."""

    def __init__(self) -> None:
        self.files: dict[str, PackedFile] = {}
        self.left_out: dict[str, str] = {}

    def dockerfile(self, path: Path) -> str:
        """The text of a Dockerfile; what is in its folder is brought along."""
        _check_file("from_dockerfile", path)
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError as error:
            raise InvalidOption(f"from_dockerfile: {path} is no text: {error}") from error
        if not text.strip() or text.rstrip().endswith("\\"):
            raise InvalidOption(
                f"from_dockerfile: {path} is empty, or ends in the middle of a line"
            )
        package = self._below("from_dockerfile", path.parent, None)
        self._take(package.files, "")
        return text

    def words(self, verb: str, words: tuple[str, ...]) -> Iterator[str]:
        """The words of a step as a backend is told them."""
        if verb == "add_local_file":
            yield f"{self._file(verb, Path(words[0]), basename(words[1]))}/{basename(words[1])}"
            yield words[1]
        elif verb == "add_local_dir":
            yield self._folder(Path(words[0]), words[2] if words[2:] else None)
            yield words[1]
        elif verb == "add_local_python_source":
            yield self._sources(words)
        else:
            yield from (self._word(verb, word) for word in words)

    def _word(self, verb: str, word: str) -> str:
        path = word.removeprefix(REQUIREMENT)
        if path == word or not verb.endswith("pip_install"):
            return word
        folder = self._file(verb, Path(path), "requirements.txt")
        return f"{REQUIREMENT}{folder}/requirements.txt"

    # --- what is brought ------------------------------------------------------------------------

    def _file(self, verb: str, path: Path, name: str) -> str:
        """The folder in which a file lies alone, under that name."""
        _check_file(verb, path)
        source = path.resolve()
        why = next(filter(None, map(_secret, (path, source))), None)
        if why is not None:
            raise PackageRefused(
                f"{verb}: {path} is {why}, which would be part of the image: put it into a Secret",
                files=[str(path)],
            )
        return self._place([PackedFile(name, source.stat().st_size, source)])

    def _folder(self, path: Path, ignore: str | None) -> str:
        package = self._below("add_local_dir", path, ignore)
        return self._place(package.files, f"add_local_dir: {path}")

    def _sources(self, modules: Iterable[str]) -> str:
        found: list[PackedFile] = []
        for name in dict.fromkeys(modules):
            for place in _places(name):
                if place.is_dir():
                    files = self._below("add_local_python_source", place, None).files
                    found += [file.replace(path=f"{name}/{file.path}") for file in files]
                else:
                    found.append(PackedFile(place.name, place.stat().st_size, place.resolve()))
        return self._place(found, f"add_local_python_source: {', '.join(modules)}")

    def _below(self, verb: str, folder: Path, ignore: str | None) -> Package:
        """What is brought of a folder."""
        if not folder.is_dir():
            way_out = "; bring it with add_local_file" if folder.exists() else ""
            raise NotFound(f"{verb}: {folder} is no folder{way_out}", path=str(folder))
        root = folder.resolve()
        if root in (Path(root.anchor), Path.home().resolve()):
            raise PackageRefused(
                f"{verb}: {root} is all there is, and no folder of one project: make one of what "
                "the image needs",
                files=[],
            )
        why_not = _why_not(root, *_rules(root, ignore))
        paths = walk(root, lambda path: path.endswith("/") and why_not(path) is not None, "")
        by = IGNORE_FILE if ignore is None else "ignore="
        package = collected(root, paths, why_not, by)
        self.left_out |= {str(root / path): why for path, why in package.left_out.items()}
        return package

    def _place(self, files: Iterable[PackedFile], what: str = "") -> str:
        """Put files into a folder of their own; its path."""
        files = [*files]
        if not files:
            raise PackageRefused(f"{what} has no files that can be brought", files=[])
        with Path(os.devnull).open("wb") as nowhere:
            content = pack([(file.path, file.source) for file in files], nowhere)
        folder = f"{BROUGHT}{content[:_NAME]}"
        self._take(files, f"{folder}/")
        return folder

    def _take(self, files: Iterable[PackedFile], prefix: str) -> None:
        for file in files:
            path = prefix + file.path
            self.files[path] = PackedFile(path, file.size, file.source)


# --- what is left out ---------------------------------------------------------------------------


def _why_not(root: Path, is_ignored: Callable[[str], bool], why: str) -> WhyNot:
    never = GitIgnoreSpec.from_lines(NEVER)

    def why_not(path: str) -> str | None:
        if never.match_file(path):
            return "never shipped"
        if path == IGNORE_FILE:
            return "it says what is left out"
        if is_ignored(path):
            return why
        return None if path.endswith("/") else _secret(root / path)

    return why_not


def _rules(root: Path, ignore: str | None) -> tuple[Callable[[str], bool], str]:
    """What says whether a path is left out, and why it is so."""
    if ignore is not None:
        return dockerignore(ignore.splitlines()), "ignore="
    try:
        lines = (root / IGNORE_FILE).read_text("utf-8").splitlines()
    except FileNotFoundError:
        return GitIgnoreSpec.from_lines(USUAL).match_file, "made anew everywhere"
    except (OSError, UnicodeDecodeError) as error:
        raise PackageRefused(f"{root / IGNORE_FILE} cannot be read: {error}") from error
    return dockerignore(lines), IGNORE_FILE


def dockerignore(lines: Iterable[str]) -> Callable[[str], bool]:
    """Whether a path is left out, by lines of a .dockerignore.

    They read as those of .gitignore do, but each counts from the top, and the last that fits has
    the say, whatever the others have said of the folders that it is in. Of a folder (a path with a
    slash at its end) it is whether nothing below can be meant.

    Raises:
        InvalidOption: one is no pattern.
    """
    rules: list[tuple[bool, GitIgnoreSpec]] = []
    for line in map(str.strip, lines):
        pattern = normpath(line.removeprefix("!").strip()).lstrip("/")
        if not line or line.startswith("#") or pattern == ".":
            continue
        try:
            rules.append((not line.startswith("!"), GitIgnoreSpec.from_lines([f"/{pattern}"])))
        except ValueError as error:
            raise InvalidOption(f"ignore: {line!r} is no pattern: {error}") from error

    def is_ignored(path: str) -> bool:
        if path.endswith("/") and not all(is_left_out for is_left_out, _ in rules):
            return False
        said = [is_left_out for is_left_out, spec in rules if spec.match_file(path)]
        return bool(said) and said[-1]

    return is_ignored


def _secret(path: Path) -> str | None:
    """What of a file is nobody else's business."""
    if GitIgnoreSpec.from_lines(NEVER).match_file(f"{path.parent.name}/{path.name}"):
        return "never shipped"
    if _KEY_FILES.match_file(path.name) and path.is_file():
        with path.open("rb") as file:
            head = file.read(_HEAD)
        if any(mark in head for mark in _KEY):
            return "a private key"
    return None


# --- finding ------------------------------------------------------------------------------------


def _check_file(verb: str, path: Path) -> None:
    if path.is_dir():
        raise NotFound(f"{verb}: {path} is a folder; bring it with add_local_dir", path=str(path))
    if not path.exists():
        raise NotFound(f"{verb}: there is no file {path}", path=str(path))
    if not path.is_file():
        raise PackageRefused(f"{verb}: {path} is no file", files=[str(path)])


def _places(name: str) -> list[Path]:
    """Where a module is: its file, or its folders."""
    from importlib.util import find_spec  # noqa: PLC0415 - for those who bring modules

    try:
        found = find_spec(name)
    except (ImportError, ValueError):
        found = None
    if found is None:
        raise NotFound(
            f"add_local_python_source: there is no module {name!r} that this program can import",
            name=name,
        )
    places = [*(found.submodule_search_locations or ())] or [found.origin or ""]
    if not all(Path(place).exists() for place in places):
        raise PackageRefused(
            f"add_local_python_source: {name} is no file: Python has it built in, or it is in an "
            "archive",
            files=[],
        )
    return [Path(place) for place in places]
