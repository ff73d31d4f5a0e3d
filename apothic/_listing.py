"""Which files of a folder are its own: as git says, or as its ignore files do where git cannot."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath

from pathspec import GitIgnoreSpec

from apothic_backends.model.errors import PackageRefused

NEVER = (
    *(".git", ".apothic", ".ssh", ".gnupg", ".aws", ".netrc", ".pypirc", ".env", ".env.*"),
    *("!.env.example", "!.env.sample", "!.env.template"),
)
"""What is never shipped, whoever asks for it, at any depth: secrets, and what is the machine's."""

USUAL = (
    *("__pycache__/", "*.py[cod]", ".venv/", "venv/", "node_modules/", "*.egg-info/", ".DS_Store"),
    *(".mypy_cache/", ".pytest_cache/", ".ruff_cache/", ".hypothesis/", ".tox/", ".nox/"),
)
"""What is made anew everywhere: left out unless it is tracked, or `include` names it."""

_OTHER = "?"
_VENV = "pyvenv.cfg"

Ignored = Callable[[str], bool]
"""Whether a path, with a slash at its end if it is a folder, is left out."""


def own_files(root: Path) -> list[str]:
    """The files of a project, and its links, by their paths below `root`.

    Raises:
        PackageRefused: it is a work tree that git cannot read.
    """
    listed = _by_git(root)
    if listed is None:
        return [*walk(root, _Rules(root), "")]
    usual = GitIgnoreSpec.from_lines(USUAL)
    venvs = {path.removesuffix(_VENV) for _, path in listed if path.endswith(f"/{_VENV}")}
    return [
        path
        for tag, path in listed
        if tag != _OTHER or not (usual.match_file(path) or path.startswith(tuple(venvs)))
    ]


def matching(root: Path, lines: Iterable[str]) -> list[str]:
    """The files below `root` that patterns name, whatever else is said of them."""
    spec = GitIgnoreSpec.from_lines(lines)
    never = GitIgnoreSpec.from_lines(NEVER)
    return [path for path in walk(root, never.match_file, "") if spec.match_file(path)]


# --- git ----------------------------------------------------------------------------------------


def _by_git(root: Path, prefix: str = "") -> list[tuple[str, str]] | None:
    """What git lists, each with whether it is tracked; None where git has no say."""
    listed = _ask_git(root)
    if not listed:
        return None  # no work tree, or one that ignores this folder as a whole
    found: dict[str, str] = {}
    for line in listed:
        tag, path = line[0], line[2:]
        there = root / path
        if path.endswith("/") or (there.is_dir() and not there.is_symlink()):
            inside = _by_git(there, f"{prefix}{path.rstrip('/')}/")  # a repository of its own
            found |= {name: inner for inner, name in inside or ()}
        else:
            found[prefix + path] = tag
    return [(tag, path) for path, tag in found.items()]


def _ask_git(root: Path) -> list[str]:
    command = ["git", "-C", str(root), "-c", "core.fsmonitor=false", "ls-files", "-z", "-t", "-c"]
    env = {name: text for name, text in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(  # noqa: S603 - no shell
            [*command, "-o", "--exclude-standard"],
            env={**env, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
    except OSError:
        return []  # there is no git here
    if done.returncode:
        if any((folder / ".git").exists() for folder in (root, *root.parents)):
            why = os.fsdecode(done.stderr).strip().removeprefix("fatal: ")
            raise PackageRefused(f"git cannot list the files of {root}: {why}", files=[])
        return []
    return [os.fsdecode(line) for line in done.stdout.split(b"\0") if line]


# --- without git --------------------------------------------------------------------------------


class _Rules:
    """The ignore files from the top down to a folder; a deeper one has the last word."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._specs: dict[str, GitIgnoreSpec | None] = {}
        self._usual = GitIgnoreSpec.from_lines([*USUAL, ".git"])

    def __call__(self, path: str) -> bool:
        """Whether a path is left out."""
        if path.endswith("/") and (self._root / path / _VENV).exists():
            return True
        folder = PurePosixPath(path).parent
        for above in (folder, *folder.parents):
            spec = self._spec(above.as_posix())
            below = path[len(_prefix(above.as_posix())) :]
            said = None if spec is None else spec.check_file(below).include
            if said is not None:
                return said
        return self._usual.match_file(path)

    def _spec(self, folder: str) -> GitIgnoreSpec | None:
        if folder not in self._specs:
            self._specs[folder] = ignore_file(self._root / folder / ".gitignore")
        return self._specs[folder]


def _prefix(folder: str) -> str:
    return "" if folder == "." else f"{folder}/"


def ignore_file(path: Path) -> GitIgnoreSpec | None:
    """The patterns in a file, if it is there.

    Raises:
        PackageRefused: it cannot be read.
    """
    try:
        return GitIgnoreSpec.from_lines(path.read_text("utf-8", "surrogateescape").splitlines())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise PackageRefused(f"{path} cannot be read: {error.strerror}", files=[]) from error


def walk(root: Path, is_ignored: Ignored, folder: str) -> Iterator[str]:
    """Files and links below a folder; links are not followed."""
    try:
        with os.scandir(root / folder) as scan:
            entries = sorted(scan, key=lambda entry: entry.name)
    except OSError as error:
        why = f"{root / folder} cannot be read: {error.strerror}"
        raise PackageRefused(why, files=[]) from error
    for entry in entries:
        path = folder + entry.name
        if entry.is_dir(follow_symlinks=False):
            if not is_ignored(f"{path}/"):
                yield from walk(root, is_ignored, f"{path}/")
        elif not is_ignored(path):
            yield path
