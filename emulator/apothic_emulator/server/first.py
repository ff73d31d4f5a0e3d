"""The key that a server begins with: for its operator, in a file that nobody else may read."""

from __future__ import annotations

from pathlib import Path

from apothic_backends.private import write_private
from apothic_backends.remote.running import KEY
from apothic_emulator.server.keys import Keys

ACCOUNT = "default"
GIVEN = "operator"
"""The name of the key that `APOTHIC_ADMIN_KEY` is for."""


def first_key(keys: Keys, folder: Path, now: float, given: str = "") -> Path | None:
    """Make the operator's key if there is none at all; where its token is, if it was made.

    A token that was `given` is the operator's from now on, in place of one that was given before.

    Raises:
        InvalidOption: that is no token.
        StoreError: the key cannot be kept.
    """
    if given:
        keys.adopt(given, ACCOUNT, ("admin",), now, name=GIVEN)
        return None
    if len(keys):
        return None
    path = folder / KEY
    key, token = keys.create(ACCOUNT, ("admin",), now, name="first")
    try:
        write_private(path, token + "\n")
    except OSError:
        keys.revoke(key.key_id)  # else nobody could ever make one
        raise
    return path
