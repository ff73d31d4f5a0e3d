"""The archives of code that one control plane, or one agent, has: taken in, given out, unpacked.

Volumes are asked for here, too.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from apothic_backends.commands.archives import GetArchive, HasArchive, PutArchive
from apothic_backends.depot import Archives
from apothic_backends.home import home
from apothic_backends.model.errors import ApothicError
from apothic_backends.model.payloads import Payload

RAW = "bytes"
"""How pieces of archives are encoded: not at all."""


class Stock:
    """Archives in a folder; without one, in this user's home, where all programs share them."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self.most: int | None = None
        """Bytes of archives that may lie here, where they are but copies of what is elsewhere."""
        self._archives: Archives | None = None
        self._desk: Any = None
        self._lock = threading.Lock()
        self._rules: dict[type, Callable[[Any], object]] = {
            HasArchive: lambda asked: self.archives.has(asked.digest),
            PutArchive: self._put,
            GetArchive: self._get,
        }

    @property
    def archives(self) -> Archives:
        """The archives themselves.

        Raises:
            UsageError: there is no home to keep them in.
        """
        with self._lock:
            if self._archives is None:
                self._archives = Archives(self._folder or home() / "archives")
            return self._archives

    @property
    def volumes(self) -> Any:
        """A `Desk`, loaded for the first program that asks for volumes from another machine."""
        with self._lock:
            if self._desk is None:
                from apothic_emulator.agent.desk import Desk  # see above  # noqa: PLC0415

                self._desk = Desk()
            return self._desk

    def carry_out(self, command: Any, token: Any) -> None:
        """Do what is asked, and answer as the core would."""
        if command.__module__.endswith(".volumes"):
            self.volumes.carry_out(command, token)
            return
        try:
            reply = self._rules[type(command)](command)
        except ApothicError as error:
            token.fail(error)
        else:
            token.complete(reply)

    def _put(self, asked: PutArchive) -> int:
        return self.archives.put(asked.digest, asked.size, asked.at, asked.data.data)

    def _get(self, asked: GetArchive) -> Payload:
        return Payload(self.archives.get(asked.digest, asked.at, asked.most), codec=RAW)

    def tree(self, digest: str) -> dict[str, str]:
        """What an executor needs to run in an archive's tree, which it unpacks if nobody has."""
        archive = self.archives.path(digest)
        told = {"digest": digest, "archive": str(archive), "trees": str(home() / "trees")}
        return told if self.most is None else {**told, "most": str(self.most)}
