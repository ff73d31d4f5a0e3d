"""Descriptors for the first process of a container, over a socket that is gone once it has them.

The socket lies in a folder that nobody else can enter, and is shown to one container alone. Who
connects first gets what is passed; who comes later finds nobody.
"""

from __future__ import annotations

import shutil
import socket
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

OURS = "/run/apothic"
"""Where a container has what is ours: the socket's folder, our packages."""
PATIENCE_S = 30.0
"""How long a container may take from its start to its first process."""

_LINK = "link"
_LOOK_S = 0.1
_FDS = 4

RECEIVE = f"""
import socket, sys
at = socket.socket(socket.AF_UNIX)
at.connect("{OURS}/link/{_LINK}")
_, fds, _, _ = socket.recv_fds(at, 1, {_FDS})
with at.makefile("rb") as told:
    said = told.read()
at.close()
sys.path.insert(0, "{OURS}")
"""
"""What the first process begins with: afterwards it has `fds`, and the bytes `said` beside them."""


class Door:
    """A socket in a folder, for one container to be shown."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="apothic-link-"))  # others cannot enter it
        shared = self._folder / "shared"
        shared.mkdir()
        shared.chmod(0o755)
        self.mount = bind(str(shared), f"{OURS}/link")
        """Where the container has to have it."""
        self._door = socket.socket(socket.AF_UNIX)
        self._door.bind(str(shared / _LINK))
        (shared / _LINK).chmod(0o666)
        self._door.listen(1)
        self._door.settimeout(_LOOK_S)

    def __enter__(self) -> Self:
        """It is there."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """Have nothing of it left."""
        self._door.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def pass_on(self, fds: Sequence[int], said: bytes, is_running: Callable[[], bool]) -> bool:
        """Wait for the first process and give it descriptors and words; False if it has ended."""
        for _ in range(int(PATIENCE_S / _LOOK_S)):
            try:
                taken, _ = self._door.accept()
            except TimeoutError:
                if not is_running():
                    return False
            else:
                with taken:
                    socket.send_fds(taken, [b"x"], [*fds])
                    taken.sendall(said)
                return True
        return False


def bind(source: str, target: str, *, is_writable: bool = False) -> dict[str, Any]:
    """A file or folder of this machine that a container sees, in the words of Docker's API."""
    return {"Type": "bind", "Source": source, "Target": target, "ReadOnly": not is_writable}
