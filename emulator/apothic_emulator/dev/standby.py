"""Interpreters that wait for a program, each for one: `apothic.cli.standby`, from this side."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import anyio
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

MODULE = "apothic.cli.standby"
"""The SDK loads programs; it is found by its name."""

_MOST = 64 << 20
"""Bytes of an answer: it names every file."""

END_S = 2.0
"""What a program's own threads and handlers get to end once it is deployed."""


class StoodDown(Exception):
    """It has ended without an answer."""


class StandBy:
    """One interpreter."""

    def __init__(self, process: Process) -> None:
        self._process = process
        assert process.stdout is not None
        self._heard = BufferedByteReceiveStream(process.stdout)
        self._installed = _installed()

    @property
    def is_fresh(self) -> bool:
        """Whether it lives, and nothing was installed since it imported what it did."""
        return self._process.returncode is None and self._installed == _installed()

    async def warm(self, modules: Sequence[str]) -> None:
        """Have it import these, and connect.

        Raises:
            StoodDown: it cannot.
        """
        await self._ask({"imports": modules})

    async def listed(self) -> dict[str, Any]:
        """Which files would be shipped, or what is wrong with them."""
        return await self._ask({"list": True})

    async def deploy(self, target: str, changed: Sequence[str]) -> dict[str, Any]:
        """Have it load a program and deploy that: what that gave, or what was wrong."""
        return await self._ask({"target": target, "changed": [*changed]})

    async def after(self) -> dict[str, Any]:
        """What is shipped now, and which modules are imported that were installed."""
        return await self._ask({"after": True})

    async def _ask(self, order: Mapping[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        try:
            await self._process.stdin.send(json.dumps(order).encode() + b"\n")
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            raise StoodDown from None
        return await self._answer()

    async def _answer(self) -> dict[str, Any]:
        try:
            line = await self._heard.receive_until(b"\n", _MOST)
        except (anyio.EndOfStream, anyio.IncompleteRead, anyio.BrokenResourceError):
            raise StoodDown from None
        told: dict[str, Any] = json.loads(line)
        return told

    async def end(self, patience_s: float = END_S) -> None:
        """Let it end by itself for a while, and see to it that it has."""
        with anyio.CancelScope(shield=True):
            with anyio.move_on_after(patience_s):
                await self._process.wait()
            if self._process.returncode is None:
                self._process.kill()
            await self._process.aclose()


async def stand_by(environment: Mapping[str, str]) -> StandBy:
    """Start one; it is told what to import next."""
    process = await anyio.open_process(
        [sys.executable, "-m", MODULE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=None,
        env=environment,
        start_new_session=True,  # Ctrl-C is for us
    )
    return StandBy(process)


def _installed() -> list[int]:
    """What changes when something is installed where modules come from."""
    found: list[int] = []
    for path in sys.path:
        try:
            if path.endswith("-packages"):
                found.append(os.stat(path).st_mtime_ns)  # noqa: PTH116 - a path of sys.path
        except OSError:
            continue
    return found
