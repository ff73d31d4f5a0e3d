"""What agents and their control plane say to one another, as bytes; nothing is ever unpickled."""

from __future__ import annotations

from typing import Any, get_args, get_origin, get_type_hints

from apothic_backends import codec
from apothic_backends.model.errors import ApothicError, UsageError
from apothic_backends.model.record import Record
from apothic_emulator.agent.channel import ChannelError
from apothic_emulator.core import effects, facts, hellos
from apothic_emulator.core.records import Buffer, pack, unpack


class Ask(Record):
    """Code in an executor asks for something: `body` and `buffers` are a command."""

    executor: int
    job: int
    request: int
    body: bytes
    buffers: tuple[bytes, ...] = ()


class GaveUp(Record):
    """Code in an executor wants no reply to that any more, or has not taken the one that came."""

    executor: int
    request: int


class Draining(Record):
    """The agent is about to leave, and is to get nothing new."""

    executor: int = 0
    """None."""


class Devices(Record):
    """What the agent's machine has of GPUs by now; `reason` says why it has none."""

    gpus: tuple[hellos.Gpu, ...]
    reason: str = ""
    executor: int = 0


class Answer(Record):
    """The reply to what code in an executor has asked; `kind` is that of the frame for it.

    What is `lent` goes back unless the code there takes it.
    """

    executor: int
    request: int
    kind: int
    body: bytes
    buffers: tuple[bytes, ...] = ()
    lent: bool = False


class Dial(Record):
    """Open a stream for a connection to a service, and show its name."""

    service: str
    stream: str
    executor: int = 0


class Give(Record):
    """The secrets of an executor, or in `error` why it gets none. They are in nobody's `repr`."""

    executor: int
    text: bytes
    error: bytes = b""

    def __repr__(self) -> str:
        """Names only."""
        return f"Give(executor={self.executor})"


_DOWN = (
    effects.StartExecutor,
    effects.Dispatch,
    effects.DispatchBatch,
    effects.Go,
    effects.Recall,
    effects.Interrupt,
    effects.Credit,
    effects.DumpStack,
    effects.Terminate,
    effects.Kill,
    effects.Retire,
    Answer,
    Dial,
    Give,
)
_UP = (
    facts.Prepared,
    facts.Loaded,
    facts.LoadFailed,
    facts.Accepted,
    facts.Reported,
    facts.Said,
    facts.Produced,
    facts.Printed,
    facts.Recalled,
    facts.StackDumped,
    facts.Ended,
    Ask,
    GaveUp,
    Draining,
    Devices,
)
_INSIDE = (
    facts.Excess,
    hellos.Join,
    hellos.Welcome,
    hellos.Capacity,
    hellos.Gpu,
    hellos.HeldExecutor,
    hellos.HeldJob,
)
_KINDS: dict[str, type[Record]] = {kind.__name__: kind for kind in (*_DOWN, *_UP, *_INSIDE)}

DOWN = frozenset(kind.__name__ for kind in _DOWN)
"""What a control plane says."""

UP = frozenset(kind.__name__ for kind in _UP)
"""What an agent says."""

Message = Record


def to_bytes(message: Message) -> bytes:
    """A message, its large parts as they are."""
    buffers: list[Any] = []
    told = _tell(message, buffers)
    return pack((told,), *buffers)


def _tell(value: Any, buffers: list[Any]) -> Any:
    name: str = value.__class__.__name__
    if name in _KINDS:
        return {"$": name, "_": [_tell(getattr(value, f), buffers) for f in value.fields]}
    kind: Any = value.__class__
    if kind in (bytes, bytearray, memoryview):
        buffers.append(value)
        return {"$b": len(buffers) - 1}
    if kind is tuple:
        return {"$t": [_tell(item, buffers) for item in value]}
    return codec.to_json(value, buffers)


def from_bytes(data: Buffer, expected: frozenset[str] | None = None) -> Any:
    """What `to_bytes` was given.

    Raises:
        ChannelError: it is nothing that `to_bytes` makes, or not one of those that are expected.
    """
    try:
        (told,), blobs = unpack(bytes(data))
        message = _hear(told, blobs)
    except (ValueError, KeyError, IndexError, TypeError, RecursionError, UsageError) as error:
        raise ChannelError(f"a message that cannot be read: {error!r:.200}") from error
    if expected is not None and type(message).__name__ not in expected:
        raise ChannelError(f"a {type(message).__name__}, which is not said in this direction")
    return message


def _hear(value: Any, blobs: list[bytes]) -> Any:
    match value:
        case {"$": str(name), "_": [*told]}:
            return _rebuild(_KINDS[name], _hear_all(told, blobs))
        case {"$b": int(at)}:
            return blobs[at]
        case {"$t": [*items]}:
            return tuple(_hear_all(items, blobs))
        case _:
            return codec.from_json(value, blobs)


def _hear_all(told: list[Any], blobs: list[bytes]) -> list[Any]:
    return [_hear(it, blobs) for it in told]


_accepted: dict[type[Record], list[tuple[type, ...]]] = {}


def _rebuild(kind: type[Record], values: list[Any]) -> Record:
    """A record, each field of which holds what its annotation says."""
    accepted = _accepted.get(kind)
    if accepted is None:
        hints = get_type_hints(kind)
        accepted = _accepted[kind] = [_types(hints[field]) for field in kind.fields]
    for field, value, types in zip(kind.fields, values, accepted, strict=True):
        if not isinstance(value, types):
            raise TypeError(f"{kind.__name__}.{field} cannot be {value!r:.100}")
    return kind(*values)


def _types(hint: Any) -> tuple[type, ...]:
    origin = get_origin(hint)
    if origin in (tuple, dict):
        return (origin,)
    if origin is None:
        return (int, float) if hint is float else (hint,)
    return tuple(kind for one in get_args(hint) for kind in _types(one))


def error_to_bytes(error: ApothicError) -> bytes:
    """An error, as the last that a control plane says."""
    return codec.to_bytes(error, [])


def error_from_bytes(data: Buffer) -> ApothicError:
    """The error that was said."""
    try:
        error = codec.from_bytes(data, ())
    except (ValueError, UsageError) as broken:
        raise ChannelError(f"an error that cannot be read: {broken}") from broken
    return error if isinstance(error, ApothicError) else ApothicError(repr(error)[:200])
