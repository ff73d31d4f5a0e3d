"""Load the user's function, call it, and turn what comes back into bytes."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from contextvars import ContextVar
from importlib import import_module
from types import CodeType, TracebackType
from typing import Any, NamedTuple

from apothic_emulator.executors.stops import Stopped
from apothic_emulator.executors.wire import MOST_BYTES, Buffer

OUT_OF_BAND = 32 * 1024
"""Buffers of at least this many bytes travel beside the pickle instead of inside it."""

MOST_BUFFERS = 65_535
"""A frame counts its buffers in 16 bits; further ones go inside the pickle."""

_GENERATOR, _ASYNC, _ASYNC_GENERATOR = 0x20, 0x80, 0x200
"""Flags of code objects; `inspect` would cost more than the rest of this program."""

CURRENT: ContextVar[tuple[int, int] | None] = ContextVar("apothic_current_job", default=None)
"""The number and the attempt of the job that this thread or task works on."""

HIDDEN: set[CodeType] = set()
"""Functions of ours that stand between a call and the user's function."""

Arguments = tuple[tuple[Any, ...], dict[str, Any]]


class Encoded(NamedTuple):
    """A pickle and the buffers beside it."""

    data: Buffer
    buffers: tuple[Buffer, ...] = ()


class Failure(NamedTuple):
    """What went wrong, as text, and the exception's own pickle where one survives the journey."""

    info: dict[str, Any]
    exception: Encoded | None = None


class Unsendable(Exception):
    """A result that cannot be pickled; the cause says why."""


def load(codec: str, data: Buffer, buffers: tuple[Buffer, ...]) -> Callable[..., Any]:
    """The callable that a code payload stands for.

    `ref` is the address `module:qualname`. Anything else is a pickle.
    """
    if codec != "ref":
        loaded: Callable[..., Any] = pickle.loads(data, buffers=buffers)
        return loaded
    module, _, qualname = bytes(data).decode().partition(":")
    __import__(module)
    found: Any = sys.modules[module]
    for name in qualname.split("."):
        found = getattr(found, name)
    function: Callable[..., Any] = found
    return function


def arguments(data: Buffer, buffers: list[Buffer]) -> Arguments:
    """The positional and keyword arguments of a call."""
    decoded: Arguments = pickle.loads(data, buffers=buffers)
    return decoded


def is_async(function: Callable[..., Any]) -> bool:
    """Whether calling it gives something to be awaited."""
    return bool(_flags(function) & _ASYNC)


def yields(function: Callable[..., Any]) -> tuple[bool, bool]:
    """Whether calling it gives items; and whether those are to be awaited."""
    flags = _flags(function)
    return bool(flags & (_GENERATOR | _ASYNC_GENERATOR)), bool(flags & _ASYNC_GENERATOR)


def _flags(function: Any) -> int:
    code = getattr(function, "__code__", None)
    return code.co_flags if code is not None else 0


def encode_result(value: Any) -> Encoded:
    """Pickle what a call returned.

    Raises:
        Unsendable: it refuses, or it is larger than a frame may be.
    """
    try:
        encoded = encode(value)
    except Stopped:
        raise
    except BaseException as error:
        raise Unsendable(type(value).__name__) from error
    if encoded.buffers:
        size = len(encoded.data) + sum(memoryview(b).nbytes for b in encoded.buffers)
    else:
        size = len(encoded.data)
    if size > MOST_BYTES - 1024 * 1024:  # room for the lengths
        raise Unsendable(type(value).__name__) from ValueError(
            f"it has {size} bytes; {MOST_BYTES >> 30} GiB can be sent"
        )
    return encoded


def encode_item(value: Any) -> Encoded:
    """As `encode_result`, quickly for what is plain and small."""
    try:
        data = pickle.dumps(value, 5, buffer_callback=_no_buffers)
        if b"__main__" not in data and len(data) < OUT_OF_BAND:
            return Encoded(data)
    except Stopped:
        raise
    except Exception:  # noqa: BLE001, S110 - it has a buffer, or refuses: the long way tells
        pass
    return encode_result(value)


def _no_buffers(_: object) -> bool:
    raise BufferError


def encode(value: Any) -> Encoded:
    """Pickle a value; what the plain pickle cannot do, cloudpickle may.

    A class or function of `__main__` goes by value: the module of that name is another one here.
    """
    try:
        encoded = _dump(pickle.dumps, value)
    except Exception:  # noqa: BLE001 - any object may refuse in its own way
        return _dump(_cloud_dumps(), value)
    if b"__main__" in encoded.data:
        return _dump(_cloud_dumps(), value)
    return encoded


def _dump(dumps: Callable[..., bytes], value: Any) -> Encoded:
    found: list[Buffer] = []

    def in_band(buffer: pickle.PickleBuffer) -> bool:
        view = buffer.raw()
        if view.nbytes < OUT_OF_BAND or len(found) == MOST_BUFFERS:
            return True
        found.append(view)
        return False

    data = dumps(value, protocol=5, buffer_callback=in_band)
    return Encoded(data, tuple(found))


def _cloud_dumps() -> Callable[..., bytes]:
    cloudpickle: Any = import_module("cloudpickle")  # 50 ms, so only for values that need it
    dumps: Callable[..., bytes] = cloudpickle.dumps
    return dumps


def failure_of(error: BaseException, skip: int) -> Failure:
    """What to report of an exception; `skip` frames of ours are left out of its traceback."""
    if isinstance(error, Unsendable) and error.__cause__ is not None:
        cause = failure_of(error.__cause__, skip=0).info
        cause["code"] = "result_not_serializable"
        cause["message"] = (
            f"the result, a {error}, cannot be sent back: {cause['type_name']}: "
            f"{cause['message']}. {_way_out(str(error))}"
        )
        return Failure(cause)
    inner: TracebackType | None = error.__traceback__
    for _ in range(skip):
        inner = inner.tb_next if inner is not None else None
    while inner is not None and inner.tb_frame.f_code in HIDDEN:
        inner = inner.tb_next
    kind = type(error)
    info = {
        "code": "user_error",
        "message": _shown(lambda: str(error), f"<{kind.__name__} whose str() fails>"),
        "type_name": _shown(lambda: _name(kind), kind.__name__),
        "traceback": _shown(
            lambda: _traceback(kind, error, inner), f"{kind.__name__} (with no usable traceback)\n"
        ),
        "is_final": _is_final(kind),
    }
    return Failure(info, _survivor(error))


def _way_out(type_name: str) -> str:
    if type_name in ("generator", "async_generator"):
        return "Let the function itself `yield`, and call it with remote_gen()"
    return "Return plain data, or write it to a file"


def told(code: str, message: str, type_name: str = "") -> Failure:
    """What to report of a failure that is known by its code."""
    return Failure({"code": code, "message": message, "type_name": type_name, "traceback": ""})


def _shown(show: Callable[[], str], otherwise: str) -> str:
    """Text of which a user's class has a say: it may raise whatever it likes."""
    try:
        return "".join(show())
    except BaseException:  # noqa: BLE001
        return otherwise


def _is_final(kind: type[BaseException]) -> bool:
    """Whether the class says that trying again is pointless, as `NonRetryable` does."""
    try:
        return getattr(kind, "__apothic_final__", None) is True
    except BaseException:  # noqa: BLE001 - its metaclass has a say
        return False


def _name(kind: type) -> str:
    if kind.__module__ in ("builtins", "__main__"):
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"


def _traceback(kind: type[BaseException], error: BaseException, inner: TracebackType | None) -> str:
    import traceback  # 15 ms, so only for a call that fails  # noqa: PLC0415

    return "".join(traceback.format_exception(kind, error, inner))


def _survivor(error: BaseException) -> Encoded | None:
    """A pickle of the exception that has been seen to load again."""
    for candidate in (lambda: error, lambda: Rebuilt(error)):
        try:
            encoded = encode(candidate())
            again = pickle.loads(encoded.data, buffers=[bytes(b) for b in encoded.buffers])
            if isinstance(again, BaseException) and type(again).__name__ == type(error).__name__:
                return encoded
        except BaseException:  # noqa: BLE001, S112 - a user's __reduce__ may raise anything
            continue
    return None


class Rebuilt:
    """Pickles as an exception that is made without calling its own `__init__`.

    `change` may put something else in place of what is in it.
    """

    def __init__(self, error: BaseException, change: Callable[[Any], Any] | None = None) -> None:
        self.error = error
        self.change: Callable[[Any], Any] = change or _unchanged

    def __reduce__(self) -> tuple[Any, ...]:
        state = {k: v for k, v in vars(self.error).items() if not k.startswith("__")}
        held = self.change(self.error.args), self.change(state)
        return (_rebuild, (type(self.error), *held))


def _unchanged(value: Any) -> Any:
    return value


def _rebuild(kind: type[BaseException], args: tuple[Any, ...], state: dict[str, Any]) -> Any:
    made = kind.__new__(kind, *args)
    made.args = args
    made.__dict__.update(state)
    return made
