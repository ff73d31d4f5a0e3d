"""An archive that is fetched over a session is there as a whole, or not at all."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from apothic_backends import codec
from apothic_backends.model.errors import ArchiveRefused, NotFound
from apothic_backends.model.payloads import Payload
from apothic_emulator.executors import archives, wire
from apothic_emulator.executors.control import Control
from apothic_emulator.executors.wire import Frame

DATA = bytes(range(256)) * 8192
DIGEST = hashlib.sha256(DATA).hexdigest()


@contextmanager
def session(data: bytes, pieces: int = 4) -> Generator[tuple[Control, list[int]]]:
    """A session whose other end has these bytes, and gives no more than so many pieces of them."""
    near, far = socket.socketpair()
    asked: list[int] = []

    def serve() -> None:
        while (frame := wire.receive_frame(far)) is not None:
            command = codec.from_bytes(frame.body, frame.buffers)
            asked.append(command.at)
            if len(asked) > pieces:
                far.close()
                return
            buffers: list[bytes] = []
            piece = data[command.at : command.at + (1 << 19)]
            body = codec.to_bytes(Payload(piece, codec="bytes"), buffers)
            kind = wire.REPLY
            if not data:
                kind, body = wire.FAILURE, codec.to_bytes(NotFound("it is not here"), buffers)
            told = Frame(kind, 0, frame.attempt, 1, body, tuple(buffers))
            wire.send_all(far, wire.frame_parts(told))

    server = threading.Thread(target=serve, daemon=True)
    server.start()
    control = Control(near.detach())
    yield control, asked
    control._socket.close()
    server.join()
    far.close()


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.stat().st_size]


def test_an_archive_comes_in_pieces(tmp_path: Path) -> None:
    with session(DATA, pieces=99) as (control, asked):
        archives.fetch(control, DIGEST, tmp_path / "archives" / DIGEST)

    assert (tmp_path / "archives" / DIGEST).read_bytes() == DATA
    assert asked == [n << 19 for n in range(5)]


def test_one_that_is_there_is_not_fetched(tmp_path: Path) -> None:
    (tmp_path / DIGEST).write_bytes(DATA)
    with session(DATA) as (control, asked):
        archives.fetch(control, DIGEST, tmp_path / DIGEST)

    assert asked == []


def test_what_is_another_archive_never_has_its_name(tmp_path: Path) -> None:
    with session(DATA[:-1] + b"x", pieces=99) as (control, _), pytest.raises(ArchiveRefused):
        archives.fetch(control, DIGEST, tmp_path / DIGEST)

    assert names(tmp_path) == []


def test_half_of_an_archive_never_has_its_name(tmp_path: Path) -> None:
    with session(DATA, pieces=2) as (control, _), pytest.raises(EOFError):
        archives.fetch(control, DIGEST, tmp_path / DIGEST)

    assert names(tmp_path) == []


def test_whoever_comes_after_one_who_failed_begins_anew(tmp_path: Path) -> None:
    (tmp_path / f".{DIGEST}.part").write_bytes(b"what somebody left who was killed")
    with session(b"") as (control, _), pytest.raises(NotFound):
        archives.fetch(control, DIGEST, tmp_path / DIGEST)
    with session(DATA, pieces=99) as (control, _):
        archives.fetch(control, DIGEST, tmp_path / DIGEST)

    assert names(tmp_path) == [DIGEST]
