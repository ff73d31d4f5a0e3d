"""The folders of sandboxes on this machine, which do not outlive whoever made them."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

from apothic_backends.model.errors import PathRefused

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


def new_home() -> tuple[Path, int]:
    """A folder for a sandbox, with a `workspace`, and the lock on it: a descriptor, to be closed.

    Those whose lock nobody holds any more are removed: whatever ends, its folder does not stay.
    """
    base = Path(tempfile.gettempdir()) / f"apothic-sandboxes-{os.getuid()}"
    base.mkdir(mode=0o711, exist_ok=True)
    making = os.open(base, _FOLDER)
    try:
        if os.fstat(making).st_uid != os.getuid():
            raise PathRefused(f"{base} is another user's; remove it, or set TMPDIR", path=str(base))
        fcntl.flock(making, fcntl.LOCK_EX)
        for left in [*base.iterdir()]:
            _remove_if_left(left)
        home = Path(tempfile.mkdtemp(dir=base))
        lock = os.open(home, _FOLDER)
        fcntl.flock(lock, fcntl.LOCK_EX)
    finally:
        os.close(making)
    home.chmod(0o711)  # its guest may be another user
    (home / "workspace").mkdir()
    return home, lock


def remove(home: Path) -> None:
    """Remove a folder, whatever those who lived there have made of it."""
    try:
        shutil.rmtree(home)
    except FileNotFoundError:
        pass
    except (OSError, RecursionError):  # without rights to it, or deeper than Python goes
        subprocess.run(["chmod", "-R", "u+rwx", home], check=False, capture_output=True)  # noqa: S603, S607
        subprocess.run(["rm", "-rf", home], check=False, capture_output=True)  # noqa: S603, S607


def _remove_if_left(home: Path) -> None:
    with suppress(OSError):
        lock = os.open(home, _FOLDER)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            remove(home)
        finally:
            os.close(lock)
