"""What a client and a server say to each other, as messages of one WebSocket.

    [length of the head: 4 bytes, big-endian][head: JSON][buffers, one after the other]

The head has `kind`, `number`, the `sizes` of the buffers, and a `body`, which is what `codec` makes
of a value. The client numbers what it asks, in one row over all its connections:

| kind      | who    | what it says                                                          |
|-----------|--------|-----------------------------------------------------------------------|
| `hello`   | client | a `Hello`: which version, who, what it still waits for                |
| `welcome` | server | a `Welcome`: of whom, and what it takes                               |
| `ask`     | client | a command; `once` says that a repetition must not be carried out anew |
| `give_up` | client | nobody waits for the reply with that number any more                  |
| `seen`    | client | the replies with these numbers have come, and may be forgotten; it is |
|           |        | numbered and answered itself, as is the next                          |
| `back`    | client | what came with the reply of that number reached nobody, and goes back |
| `reply`   | server | the reply with that number                                            |
| `fail`    | server | the error instead; with number 0 it ends the connection               |
| `going`   | both   | the connection ends in order; a client that goes will not come back   |

A client that was cut off says `hello` again with what it waits for, and asks for all of that again,
lowest number first. So numbers only grow on one connection, and what comes twice is dropped.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from typing import Any, cast

from apothic_backends import codec
from apothic_backends.model.errors import UsageError
from apothic_backends.model.record import Record
from apothic_backends.remote.errors import PayloadTooLarge

VERSION = 1

HELLO, WELCOME, GOING = "hello", "welcome", "going"
ASK, GIVE_UP, SEEN, BACK = "ask", "give_up", "seen", "back"
REPLY, FAIL = "reply", "fail"

MOST_BYTES = 64 << 20
"""The most bytes of a message, either way."""

PING_S = 20.0
"""How often each side looks whether the other is there; proxies cut what is silent for longer."""

CLIENT_PATH = "/v1/session"

_HEAD = struct.Struct(">I")
_MOST_NUMBER = 1 << 53

_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode
_decode = json.JSONDecoder().decode

Buffer = bytes | bytearray | memoryview


class Hello(Record):
    """How a client begins a connection."""

    client: str
    """128 random bits: by these a server knows it again."""
    pending: list[int]
    version: int = VERSION
    python: str = ""
    """Its Python, such as "3.11"."""


class Welcome(Record):
    """How a server answers."""

    durability: str
    most_bytes: int = MOST_BYTES
    version: int = VERSION
    python: str = ""
    """The Python of its workers."""


class Message(Record):
    """One message, taken apart."""

    kind: str
    number: int
    body: Any
    buffers: list[memoryview]
    once: bool = False

    def value(self) -> Any:
        """What the body is of.

        Raises:
            UsageError: of nothing that travels.
        """
        return codec.from_json(self.body, self.buffers)

    def record(self, kind: type[Record]) -> Any:
        """The body as a record of that kind, which only these messages know.

        Raises:
            UsageError: it is none.
        """
        try:
            told: dict[str, Any] = {**self.body}
            known = {name: told[name] for name in kind.fields if name in told}
            return kind(**known)  # what newer versions say beside it is passed over
        except (TypeError, KeyError) as error:
            raise UsageError(f"no {kind.__name__} in a message: {error}") from None

    def numbers(self) -> list[int]:
        """The body as numbers of messages.

        Raises:
            UsageError: it is something else.
        """
        return numbers_in(self.body)


def numbers_in(told: Any) -> list[int]:
    """Numbers of messages.

    Raises:
        UsageError: it is something else.
    """
    if isinstance(told, list):
        numbers = [it for it in cast("list[Any]", told) if type(it) is int]
        if numbers == told:
            return numbers
    raise UsageError(f"no numbers of messages: {told!r:.100}")


def pack(kind: str, number: int, body: Any = None, *, once: bool = False) -> bytes:
    """A message of a body that JSON has."""
    return _join({"kind": kind, "number": number, "body": body}, (), once=once)


def pack_record(kind: str, record: Record) -> bytes:
    """A message of a record that only these messages know."""
    return pack(kind, 0, {field: getattr(record, field) for field in record.fields})


def pack_value(
    kind: str, number: int, value: Any, *, most: int = MOST_BYTES, once: bool = False
) -> bytes:
    """A message of a value that travels.

    Raises:
        PayloadTooLarge: it has more than `most` bytes.
    """
    buffers: list[Buffer] = []
    body = codec.to_json(value, buffers)
    nbytes = sum(memoryview(buffer).nbytes for buffer in buffers)
    if nbytes > most:
        raise too_large(nbytes, most)
    packed = _join({"kind": kind, "number": number, "body": body}, buffers, once=once)
    if len(packed) > most:
        raise too_large(len(packed), most)
    return packed


def _join(head: dict[str, Any], buffers: Sequence[Buffer], *, once: bool) -> bytes:
    if buffers:
        head["sizes"] = [memoryview(buffer).nbytes for buffer in buffers]
    if once:
        head["once"] = True
    text = _encode(head).encode()
    return b"".join((_HEAD.pack(len(text)), text, *buffers))


def too_large(nbytes: int, most: int) -> PayloadTooLarge:
    """The error for what cannot travel."""
    return PayloadTooLarge(
        f"{nbytes} bytes are too many for one message to or from a control plane that runs "
        f"elsewhere: it takes {most}. Hand large data over in a volume or a bucket",
        nbytes=nbytes,
        most=most,
    )


def unpack(data: bytes) -> Message:
    """Take a message apart.

    Raises:
        UsageError: it is none.
    """
    try:
        (size,) = _HEAD.unpack_from(data)
        start = _HEAD.size + size
        head = _decode(str(memoryview(data)[_HEAD.size : start], "utf-8"))
        buffers = _split(data, start, head.get("sizes", ()))
        kind, number, once = head["kind"], head["number"], head.get("once", False)
    except (struct.error, ValueError, RecursionError, KeyError, AttributeError, TypeError) as error:
        raise UsageError(f"not a message of ours: {error!r:.200}") from None
    if type(number) is not int or not 0 <= number < _MOST_NUMBER or not isinstance(kind, str):
        raise UsageError("not a message of ours: it has no kind or no number")
    return Message(kind, number, head.get("body"), buffers, once is True)


def _split(data: bytes, start: int, sizes: Sequence[int]) -> list[memoryview]:
    """The buffers behind the head, all of which they fill."""
    buffers: list[memoryview] = []
    view = memoryview(data)
    for size in sizes:
        if type(size) is not int or size < 0:
            raise ValueError(f"a buffer of {size!r:.20} bytes")
        buffers.append(view[start : start + size])
        start += size
    if start != len(data):
        raise ValueError(f"{len(data)} bytes where {start} are told of")
    return buffers
