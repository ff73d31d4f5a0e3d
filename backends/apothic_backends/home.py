"""The one directory of this user in which Apothic keeps what outlives programs.

`APOTHIC_HOME` names it; else it is where the platform has such things. Nobody else may look into
it.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from apothic_backends.model.errors import UsageError

VARIABLE = "APOTHIC_HOME"


def home() -> Path:
    """The directory, made if it is not there, and readable by its owner alone.

    Raises:
        UsageError: it cannot be made, is somebody else's, or is one that everybody writes to.
    """
    path = _named()
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.stat()
        if found.st_uid != os.geteuid():
            raise _unfit(path, f"belongs to user {found.st_uid}")
        if found.st_mode & stat.S_IWOTH:
            raise _unfit(path, "may be written to by everybody")
        if stat.S_IMODE(found.st_mode) & 0o077:
            path.chmod(0o700)
    except OSError as error:
        raise _unfit(path, f"cannot be used ({error.strerror or error})") from error
    return path


def _named() -> Path:
    named = os.environ.get(VARIABLE)
    if not named:
        from platformdirs import user_data_path  # 10 ms, for few programs  # noqa: PLC0415

        return user_data_path("apothic", appauthor=False)
    path = Path(named).expanduser()
    if not path.is_absolute():
        raise _unfit(path, "is no absolute path, so it would be another one in another directory")
    return path


def _unfit(path: Path, why: str) -> UsageError:
    return UsageError(
        f"{path}, where Apothic keeps what outlives a program, {why}; name another directory with "
        f"{VARIABLE}",
        path=str(path),
    )
