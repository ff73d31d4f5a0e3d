"""Guests for the tests, with namespaces of their own where this machine has them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from apothic_backends.model.sandboxes import IsolationMissing
from apothic_backends.sandboxes.guest import Guest, open_guest
from apothic_backends.sandboxes.isolation import GuestSpec

PATIENCE_S = 60.0


class Ran:
    """What came of a program that has ended."""

    def __init__(self, guest: Guest, argv: tuple[str, ...], **options: Any) -> None:
        process = guest.start(argv, **options)
        process.close_stdin()
        self.code = process.wait(PATIENCE_S)
        self.stdout = read_all(process, "stdout")
        self.stderr = read_all(process, "stderr")


def read_all(process: Any, stream: str) -> str:
    """All of a stream, to its end."""
    position, parts = 0, list[bytes]()
    while True:
        chunk = process.read(stream, position, PATIENCE_S)
        parts.append(chunk.data)
        position = chunk.end
        if chunk.is_end:
            return b"".join(parts).decode("utf-8", "replace")


def run(guest: Guest, *argv: str, **options: Any) -> Ran:
    """Run a program to its end."""
    return Ran(guest, argv, **options)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    path = tmp_path / "workspace"
    path.mkdir()
    return path


@pytest.fixture
def opened(workspace: Path) -> Iterator[Callable[..., Guest]]:
    """Opens guests that may be trusted; they are closed after the test."""
    with contextlib.ExitStack() as stack:

        def open_one(**options: Any) -> Guest:
            guest = open_guest(GuestSpec(workspace=workspace, **options))
            stack.callback(guest.close)
            return guest

        yield open_one


@pytest.fixture
def guest(workspace: Path) -> Iterator[Guest]:
    """A guest that is kept apart; the test is left out where that cannot be."""
    try:
        guest = open_guest(GuestSpec(workspace=workspace, untrusted=True))
    except IsolationMissing as missing:
        pytest.skip(f"no isolation on this machine: {missing}")
    yield guest
    guest.close()
