"""What an executor does to run in the files that are shipped, and not where the user works.

It unpacks them unless another executor has, goes there, and has Python look for modules there
first. On another machine than the control plane's it fetches them before. Nothing of the user's
own folders is on its path.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from apothic_backends.depot import Archives, Trees
from apothic_backends.model.errors import ApothicError, NotFound
from apothic_emulator.executors.control import Control

HINT = (
    "The function runs from the files that are shipped; `apothic package --list` shows which they "
    "are, and why others are not"
)
_READ_ONLY = "The files that are shipped cannot be written to; write to a Volume, or below /tmp"


def enter(spec: dict[str, Any], control: Control) -> bytes | None:
    """Run in the tree from now on; what to report if it cannot be had."""
    tree, own = spec["tree"], spec["source_path"]
    try:
        folder = opened(tree, control)
    except (ApothicError, OSError) as error:
        code = "setup_failed"
        told = {"code": code, "message": str(error), "type_name": "", "traceback": ""}
        return json.dumps(told).encode()
    sys.dont_write_bytecode = True  # root could, and others may have no right to
    sys.path[:0] = [str(folder / path) if path else str(folder) for path in own]
    spec["cwd"] = str(folder)
    os.chdir(folder)
    os.environ["APOTHIC_SOURCE"] = "\n".join((tree["digest"], *own))
    return None


def opened(tree: dict[str, str], control: Control) -> Path:
    """The tree, fetched and unpacked if it has to be; it stays while this process lives.

    Raises:
        ApothicError: it cannot be had.
    """
    trees, archive = Trees(Path(tree["trees"])), Path(tree["archive"])
    try:
        return trees.open(tree["digest"], archive)
    except NotFound:
        from apothic_emulator.executors import archives  # on other machines  # noqa: PLC0415

        archives.fetch(control, tree["digest"], archive)
        if "most" in tree:
            Archives(archive.parent).make_room(int(tree["most"]), trees, tree["digest"])
        return trees.open(tree["digest"], archive)


def noter(folder: str) -> Callable[[BaseException], None]:
    """What says where the function runs, if that is why something was not found, or not written."""

    def note(error: BaseException) -> None:
        hint = _hint(error, folder)
        if hint and hint not in getattr(error, "__notes__", ()):
            error.add_note(hint)

    return note


def _hint(error: BaseException, folder: str) -> str:
    if isinstance(error, ModuleNotFoundError):
        return HINT
    if isinstance(error, FileNotFoundError) and _is_below(error.filename, folder):
        return HINT
    if isinstance(error, PermissionError) and _is_below(error.filename, folder):
        return _READ_ONLY
    return ""


def _is_below(name: object, folder: str) -> bool:
    if not isinstance(name, str | bytes) or not name:
        return False
    path = os.path.join(folder, os.fsdecode(name))  # noqa: PTH118 - which may be absolute
    return path.startswith(folder + os.sep)
