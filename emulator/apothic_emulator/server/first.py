"""The key that a server begins with: for its operator, in a file that nobody else may read."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from apothic_backends.model.errors import UsageError
from apothic_emulator.server.keys import Keys

FILE = "admin.key"
ACCOUNT = "default"


def first_key(keys: Keys, folder: Path, now: float) -> Path | None:
    """Make the operator's key if there is none at all; where its token is, if it was made."""
    if len(keys):
        return None
    path = folder / FILE
    key, token = keys.create(ACCOUNT, ("admin",), now, name="first")
    try:
        write_own(path, token)
    except OSError:
        keys.revoke(key.key_id)  # else nobody could ever make one
        raise
    return path


def write_own(path: Path, text: str) -> None:
    """Write a file that nobody else may read, in the place of one that is there."""
    path.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(path, flags, 0o600)
    with os.fdopen(fd, "w") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())


def read_token(path: Path) -> str:
    """The token in a file, if nobody else could have read or written it.

    Raises:
        UsageError: others may read it, it is a link, or somebody else's.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise UsageError(f"the key in {path} cannot be read: {error.strerror}") from None
    with os.fdopen(fd) as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
            raise UsageError(f"{path} is no file of yours, so the key in it is not used")
        if stat.S_IMODE(found.st_mode) & 0o077:
            raise UsageError(
                f"others may read {path}: run `chmod 600 {path}`, and revoke the key if they did"
            )
        return file.read(4096).strip()
