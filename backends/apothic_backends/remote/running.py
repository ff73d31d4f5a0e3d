"""The servers that run on this machine for this user, each found by a file that it writes.

    APOTHIC_HOME/server/serving.json   where it is and which process, for as long as it serves
    APOTHIC_HOME/server/admin.key      its operator's key
    PROJECT/.apothic/dev.json          the same of `apothic dev`, for who works in that project
    PROJECT/.apothic/dev/admin.key

What another user could have written counts for nothing, and so does what a process has left that
was killed: its number may be another's by now, but that one has begun at another time. So the key
is shown to the process that it is of, and not to whoever has taken its port since.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, cast

from apothic_backends.home import home
from apothic_backends.model.record import Record
from apothic_backends.private import read_private, unfit, write_private
from apothic_backends.project import project
from apothic_backends.remote.address import Address, address_of

FILE, DEV_FILE, KEY = "serving.json", "dev.json", "admin.key"

_BEGAN = 19
"""Field of /proc/PID/stat (proc(5)), counted from the one behind the name."""


class Running(Record):
    """A server that runs."""

    url: str
    pid: int
    folder: Path
    """Where it keeps what is its own."""

    @property
    def key(self) -> str | None:
        """Its operator's key; None if that is not here.

        Raises:
            UsageError: others may read it, or it is a link.
        """
        told = read_private(self.folder / KEY, "a key of the server on this machine")
        return None if told is None else told.strip()


def server_folder() -> Path:
    """Where the server of this user keeps what is its own; it need not be there."""
    return home() / "server"


def dev_folder(root: Path) -> Path:
    """Where the `apothic dev` of a project keeps what is its own; it need not be there."""
    return root / ".apothic" / "dev"


def running(folder: Path | None = None) -> Running | None:
    """The server that runs for this user; None if none does.

    Raises:
        UsageError: the file that should tell could have been written by somebody else.
    """
    folder = folder or server_folder()
    return _told_in(folder / FILE, folder)


def running_dev(root: Path | None = None) -> Running | None:
    """The `apothic dev` that runs in a project, by default in the one of this process, if one does.

    Raises:
        UsageError: as above.
    """
    folder = dev_folder(root or project())
    return _told_in(folder.parent / DEV_FILE, folder)


def _told_in(path: Path, folder: Path) -> Running | None:
    """The server that has said so in a file, if it still runs."""
    told = read_private(path, "where the server on this machine says that it runs")
    if told is None:
        return None
    try:
        said: dict[str, Any] = cast("dict[str, Any]", json.loads(told))
        pid, began = int(said["pid"]), str(said["began"])
        url = str(said["url"])
    except (ValueError, KeyError, TypeError) as error:
        raise unfit(
            path, "where a server says that it runs", f"is damaged ({error}); delete it"
        ) from None
    return Running(url, pid, folder) if began == beginning(pid) else None


def announce(path: Path, url: str) -> None:
    """Say in a file that this process serves at that address."""
    told = {"url": url, "pid": os.getpid(), "began": beginning(os.getpid())}
    write_private(path, json.dumps(told) + "\n")


def key_of_running(address: Address) -> str | None:
    """The operator's key, if it is a server on this machine that has exactly that address."""
    for found in (running_dev(), running()):
        if found is not None and address_of(found.url).origin == address.origin:
            return found.key
    return None


def beginning(pid: int) -> str | None:
    """When a process began, as no other of that number has; None if there is none, or no /proc."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else f"{boot} {fields[_BEGAN]}"
