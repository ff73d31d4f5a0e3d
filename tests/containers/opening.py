"""A control plane whose executors are in containers of the image for tests."""

from __future__ import annotations

import os
from pathlib import Path

from apothic_backends.base import Backend
from apothic_emulator.host.backend import LocalBackend
from tests.containers.image import NAME
from tests.warm import WarmHost

_VARIABLE = "APOTHIC_EXECUTORS"


def open_in_containers(folder: Path) -> Backend:
    """The `local` backend, whose functions may write to a folder of this machine."""
    before = os.environ.get(_VARIABLE)
    os.environ[_VARIABLE] = f"docker:{NAME}"
    try:
        host = WarmHost()
        host.agent.environments.binds = (str(folder),)
    finally:
        if before is None:
            del os.environ[_VARIABLE]
        else:
            os.environ[_VARIABLE] = before
    return LocalBackend(host)
