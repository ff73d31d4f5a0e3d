"""Small files of this user that nobody else may read or write: keys, and where a server is."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

from apothic_backends.model.errors import UsageError


def read_private(path: Path, what: str) -> str | None:
    """What a file says, None if there is none; `what` it is for, in messages: "where keys are".

    Raises:
        UsageError: others could have read or written it; it is a link, or cannot be read.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise unfit(path, what, f"cannot be read ({error.strerror or error})") from None
    with os.fdopen(fd, encoding="utf-8") as file:
        _check(path, what, os.fstat(fd))
        try:
            return file.read()
        except ValueError as error:
            raise unfit(path, what, f"is damaged ({error}); delete it") from None


def write_private(path: Path, text: str) -> None:
    """Have a file say that, all of it or nothing, and for nobody else to read."""
    made = path.with_name(f"{path.name}.{os.getpid()}")
    with suppress(FileNotFoundError):
        made.unlink()
    fd = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(fd)
    made.replace(path)


def unfit(path: Path, what: str, why: str) -> UsageError:
    """The error that says why a file is not used."""
    return UsageError(f"{path}, {what}, {why}", path=str(path))


def _check(path: Path, what: str, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise unfit(path, what, "is no file")
    if found.st_uid != os.geteuid():
        raise unfit(path, what, f"belongs to user {found.st_uid}")
    mode = stat.S_IMODE(found.st_mode)
    if mode & 0o077:
        raise unfit(
            path,
            what,
            f"may be read by others (mode {mode:04o}), so what it says may be known: revoke the "
            f"keys, or run `chmod 600 {path}` if nobody else uses this machine",
        )
