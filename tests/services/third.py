"""The third home: a server that runs nothing itself, and rents from the fakes of Fly and Vast."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from apothic_backends.remote.backend import RemoteBackend
from tests.fakes.fly.fake import FakeFly
from tests.fakes.serving import served
from tests.fakes.vast.fake import KEY, FakeVast
from tests.services.second import Second

_OPTIONS = "--provider fly --provider vast --max-usd-per-hour 100 --machine-image any"


class Third:
    """Such a server, and both providers; what it has rented stays until the end."""

    def __init__(self, folder: Path) -> None:
        self._undo = ExitStack()
        fly = self._undo.enter_context(served(FakeFly(folder / "fly")))
        vast = self._undo.enter_context(served(FakeVast(folder=folder / "vast")))
        env = {
            "FLY_API_TOKEN": fly.token,
            "FLY_ORG": fly.org,
            "APOTHIC_FLY_URL": fly.url,
            "VAST_API_KEY": KEY,
            "APOTHIC_VAST_URL": vast.url,
        }
        self._second = Second(folder, *_OPTIONS.split(), agents=0, env=env)
        self._undo.callback(self._second.close)

    def open(self) -> RemoteBackend:
        """What a program of the operator's has."""
        return self._second.open()

    def close(self) -> None:
        """All of it ends."""
        self._undo.close()
