"""Records as a store keeps them: a line of JSON, then bytes as they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from apothic_backends.model.payloads import Payload
from apothic_backends.model.texts import decode, encode

Change = tuple[str, bytes | None]
"""The key of a record, and what it is now; None when there is none any more."""

Buffer = bytes | bytearray | memoryview


def pack(head: Sequence[Any], *blobs: Buffer) -> bytes:
    """Fields that JSON has, and bytes that follow them."""
    sizes = [len(blob) if type(blob) is bytes else memoryview(blob).nbytes for blob in blobs]
    return b"\n".join((encode([sizes, *head]).encode(), b"".join(blobs)))


def unpack(record: bytes) -> tuple[list[Any], list[bytes]]:
    """What `pack` was given.

    Raises:
        ValueError: it was not made by `pack`.
    """
    end = record.index(b"\n")
    sizes, *head = decode(record[:end].decode())
    blobs: list[bytes] = []
    start = end + 1
    for size in sizes:
        blobs.append(record[start : start + size])
        start += size
    if start != len(record):
        raise ValueError(f"{len(record)} bytes where {start} are told of")
    return head, blobs


def payload_parts(payload: Payload | None) -> tuple[str | None, tuple[Buffer, ...]]:
    """A payload as a field and blobs for `pack`."""
    return (None, ()) if payload is None else (payload.codec, (payload.data, *payload.buffers))


def payload_of(codec: str | None, blobs: Sequence[bytes]) -> Payload | None:
    """The payload of such parts."""
    return None if codec is None else Payload(blobs[0], tuple(blobs[1:]), codec)
