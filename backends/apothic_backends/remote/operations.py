"""Which commands must not be carried out twice."""

from __future__ import annotations

import re
from typing import Any

from apothic_backends.commands import Command
from apothic_backends.commands.jobs import WaitJob

_LOOKS = re.compile(r"(Get|List|Read|Count|Peek|Find)[A-Z]")
"""Commands that change nothing begin so."""

_CHANGING = frozenset({"ReadItems"})
"""Those that begin so, and drop what was read."""

_SAME_AGAIN = frozenset(
    {
        *("RegisterFunction", "KeepSecret", "CheckSecrets"),
        *("CancelJob", "KeepJob", "ReleaseJob", "HoldJob", "PublishImage"),
        *("PutPieces", "CommitVolume", "PlaceVolume"),  # by its token
    }
)
"""Those that lead to the same when they are carried out twice."""


def changes_something(command: Command[Any]) -> bool:
    """Whether it makes a difference if a command is carried out twice."""
    if type(command) is WaitJob:
        return False
    name = type(command).__name__
    if name in _SAME_AGAIN:
        return False
    return name in _CHANGING or _LOOKS.match(name) is None
