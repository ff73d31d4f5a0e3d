"""What is shipped of a project: which files, how large, and why others are not.

A project's own files are those that git tracks, and untracked ones that it does not ignore. In
`[tool.apothic]`, `include` adds files and `exclude` takes some away, as patterns of .gitignore; so
does the file .apothicignore. What cannot be code is never shipped: .env, .git, sockets.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import BinaryIO

from pathspec import GitIgnoreSpec

from apothic._listing import NEVER, ignore_file, matching, own_files
from apothic_backends.archives import MOST_BYTES, MOST_FILES, check_path, pack
from apothic_backends.model.errors import PackageRefused
from apothic_backends.model.record import Record
from apothic_backends.project import patterns

IGNORE_FILE = ".apothicignore"
_SHOWN = 5
"""How many files a message names."""

WhyNot = Callable[[str], str | None]
"""Why a path is left out; None if it is not."""


class PackedFile(Record):
    """A file that is shipped: its path there, its size in bytes, and where it is here."""

    path: str
    size: int
    source: Path


class Package(Record):
    """The files of a project that are shipped, by path; and what is not, with the reason."""

    root: Path
    files: tuple[PackedFile, ...]
    left_out: dict[str, str]

    @property
    def nbytes(self) -> int:
        """The size of all files together."""
        return sum(file.size for file in self.files)

    def write(self, out: BinaryIO) -> str:
        """Write the archive; its digest.

        Raises:
            PackageRefused: a file has changed meanwhile, or cannot be read.
        """
        return pack([(file.path, file.source) for file in self.files], out)


def package_of(root: Path, also: Iterable[Path] = ()) -> Package:
    """What is shipped of a project; `also` are files of it that are, whatever git says of them.

    Raises:
        PackageRefused: links lead out of it, it is too large, or is no project but all there is.
        InvalidOption: what `[tool.apothic]` says cannot be meant.
    """
    root = root.resolve()
    _check_root(root)
    wanted = {*own_files(root)}
    included = patterns(root, "include")
    wanted |= {*matching(root, included)} if included else set()
    wanted |= {it.relative_to(root).as_posix() for it in also if it.is_relative_to(root)}
    package = collected(root, wanted, _why_not(root), IGNORE_FILE)
    check_size(package.files, f"Leave data out with {IGNORE_FILE}, and put it into a Volume")
    return package


def _check_root(root: Path) -> None:
    if root in (Path(root.anchor), Path.home().resolve()):
        raise PackageRefused(
            f"{root} is no project: all that is below it would be shipped. Put the program into a "
            "folder of its own, with a pyproject.toml",
            files=[],
        )


def _why_not(root: Path) -> WhyNot:
    never = GitIgnoreSpec.from_lines(NEVER)
    unwanted = GitIgnoreSpec.from_lines(patterns(root, "exclude"))
    own = ignore_file(root / IGNORE_FILE)
    if own is not None:
        unwanted = own + unwanted

    def why_not(path: str) -> str | None:
        if never.match_file(path):
            return "never shipped"
        return f"{IGNORE_FILE} or exclude" if unwanted.match_file(path) else None

    return why_not


def check_size(files: Collection[PackedFile], way_out: str) -> None:
    """See to it that files are not too much to be shipped.

    Raises:
        PackageRefused: they are; the message names the largest, and says how to leave some out.
    """
    count, nbytes = len(files), sum(file.size for file in files)
    if count <= MOST_FILES and nbytes <= MOST_BYTES:
        return
    largest = sorted(files, key=lambda file: -file.size)[:_SHOWN]
    raise PackageRefused(
        f"{count} files of {nbytes / (1 << 20):.0f} MiB would be shipped, and at most {MOST_FILES} "
        f"of {MOST_BYTES >> 20} MiB can be. The largest are "
        f"{', '.join(f'{file.path} ({file.size >> 20} MiB)' for file in largest)}. {way_out}",
        files=[file.path for file in largest],
    )


def collected(root: Path, paths: Iterable[str], why_not: WhyNot, ignored_by: str) -> Package:
    """What is shipped of these paths below a folder; `ignored_by` tells how to leave out more.

    Raises:
        PackageRefused: links lead out of the folder, or to what is not shipped.
    """
    found = _Collected(root, why_not, ignored_by)
    for path in sorted(paths):
        found.take(path)
    return Package(root, found.finish(), found.left_out)


class _Collected:
    """Files as they are found; links are looked at when all else is known."""

    def __init__(self, root: Path, why_not: WhyNot, ignored_by: str) -> None:
        self.left_out: dict[str, str] = {}
        self._root = root
        self._why_not = why_not
        self._ignored_by = ignored_by
        self._files: dict[str, PackedFile] = {}
        self._links: list[str] = []

    def take(self, path: str) -> None:
        """Decide about one path."""
        try:
            found = (self._root / path).lstat()
        except (FileNotFoundError, NotADirectoryError):
            return  # git knows it still
        why = self._why_not(path)
        if why is not None:
            self.left_out[path] = why
        elif stat.S_ISLNK(found.st_mode):
            self._links.append(path)
        elif stat.S_ISREG(found.st_mode):
            self._add(path, path, found.st_size)
        else:
            self.left_out[path] = "no file"

    def _add(self, path: str, source: str, size: int) -> None:
        check_path(path)
        self._files[path] = PackedFile(path, size, self._root / source)

    def finish(self) -> tuple[PackedFile, ...]:
        """Everything, with what links lead to in their place.

        Raises:
            PackageRefused: some lead out, or to what is not shipped.
        """
        shipped = dict(self._files)
        bad = [link for link in self._links if not self._follow(link, shipped)]
        if bad:
            more = f" and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else ""
            raise PackageRefused(
                f"these links lead to what is not shipped: {', '.join(bad[:_SHOWN])}{more}. Put "
                f"files in their place, or leave them out with {self._ignored_by}",
                files=bad,
            )
        return tuple(self._files[path] for path in sorted(self._files))

    def _follow(self, link: str, shipped: dict[str, PackedFile]) -> bool:
        """Ship what a link leads to, if that is shipped anyway; False if it is not."""
        if not (self._root / link).exists():
            self.left_out[link] = "leads to nothing"
            return True
        real = os.path.realpath(self._root / link)
        below = os.path.relpath(real, self._root)
        if below in (".", "..") or below.startswith("../"):
            return False
        if below in shipped:
            self._add(link, below, shipped[below].size)
            return True
        inside = [path for path in shipped if path.startswith(f"{below}/")]
        for path in inside:
            self._add(link + path.removeprefix(below), path, shipped[path].size)
        return bool(inside)
