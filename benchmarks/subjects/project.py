"""A folder with the programs that are served, of which versions are written."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

PROGRAMS = Path(__file__).parent.parent / "programs"


class Project:
    """The folder."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self.root = Path(self._folder.name, "project")
        self.root.mkdir()
        (self.root / "pyproject.toml").touch()
        for name in ("page.py", "science.py"):
            shutil.copy(PROGRAMS / name, self.root)

    @property
    def home(self) -> Path:
        """Where what runs it keeps its own files."""
        return self.root.parent / "home"

    def write(self, name: str, version: str) -> None:
        """Save another version of a program."""
        path = self.root / name
        text = path.read_text()
        path.write_text(re.sub(r'(?m)^VERSION = (b?)".*"$', rf'VERSION = \1"{version}"', text))

    def close(self) -> None:
        """Remove it."""
        self._folder.cleanup()
