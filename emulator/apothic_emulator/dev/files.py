"""The files that are shipped, and what has become of them: content decides, and nothing else."""

from __future__ import annotations

import ast
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

RULES = frozenset({".gitignore", ".apothicignore", "pyproject.toml"})
"""What says which files are shipped."""

NEVER = frozenset({".apothic", ".git", "__pycache__"})
"""Folders whose files never are."""

MOST_MADE = 200
"""The most folders below one that was made."""


class Files:
    """What is known of the files of a project. Paths are relative to its root, with slashes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._digests: dict[str, bytes] = {}
        self._others: set[str] = set()
        """What was changed and is not shipped."""
        self._made: set[str] = set()
        """Folders that were made, in which files may come to be shipped."""

    def __len__(self) -> int:
        """How many are shipped."""
        return len(self._digests)

    def __contains__(self, path: str) -> bool:
        """Whether it is shipped."""
        return path in self._digests

    @property
    def all(self) -> list[str]:
        """All that are shipped."""
        return [*self._digests]

    def folders(self) -> set[str]:
        """Where they are, or may come to be."""
        found = {"."} | {str(Path(path).parent) for path in self._digests}
        for made in self._made:
            found |= self._below(made)
        return found

    def _below(self, folder: str) -> set[str]:
        """A folder and those in it; none where there are so many that they are no project's."""
        found: set[str] = set()
        for place, names, _ in os.walk(self.root / folder):
            names[:] = [name for name in names if self.relative(f"{place}/{name}") is not None]
            found.add(Path(place).relative_to(self.root).as_posix())
            if len(found) > MOST_MADE:
                return set()
        return found

    def ship(self, shipped: Iterable[str]) -> set[str]:
        """These are shipped from now on: which of them were not before, or are no more."""
        now = set(shipped)
        changed = now ^ self._digests.keys()
        for path in self._digests.keys() - now:
            del self._digests[path]
        for path in now - self._digests.keys():
            self._digests[path] = self._digest(path)
        self._others -= now
        return changed

    def relative(self, path: str) -> str | None:
        """A path as it is named here; None for what is never shipped."""
        try:
            below = Path(path).relative_to(self.root)
        except ValueError:
            return None
        is_never = not below.parts or not NEVER.isdisjoint(below.parts)
        return None if is_never else below.as_posix()

    def changed(self, paths: Iterable[str]) -> set[str]:
        """Those of the shipped ones that hold something else than when they were last looked at."""
        found: set[str] = set()
        for path in paths:
            if path in self._digests and (digest := self._digest(path)) != self._digests[path]:
                self._digests[path] = digest
                found.add(path)
        return found

    def unknown(self, paths: Iterable[str]) -> set[str]:
        """Those that may be shipped for all that is known."""
        found = {path for path in paths if path not in self._digests and path not in self._others}
        if any(Path(path).name in RULES for path in paths):
            self._others.clear()
        return found

    def leave_out(self, paths: Iterable[str]) -> None:
        """These are not shipped, as was found out; but what comes to be in them may."""
        for path in paths:
            if path not in self._digests:
                self._others.add(path)
                if (self.root / path).is_dir():
                    self._made.add(path)

    def half(self, paths: Iterable[str]) -> set[str]:
        """Those that look as if somebody was about to write them."""
        return {path for path in paths if path in self._digests and self._is_half(path)}

    def _digest(self, path: str) -> bytes:
        try:
            return hashlib.sha256((self.root / path).read_bytes()).digest()
        except OSError:
            return b""

    def _is_half(self, path: str) -> bool:
        try:
            source = (self.root / path).read_bytes()
        except OSError:
            return True  # taken away, maybe to put another in its place
        if not path.endswith(".py"):
            return not source
        try:
            ast.parse(source)
        except (SyntaxError, ValueError):
            return True
        return not source
