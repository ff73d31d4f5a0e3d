"""Load the user's function, call it, and turn what comes back into bytes."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from contextvars import ContextVar
from types import TracebackType
from typing import Any

from apothic_emulator.executors.wire import Buffer

OUT_OF_BAND = 32 * 1024
"""Buffers of at least this many bytes travel beside the pickle instead of inside it."""

MOST_BUFFERS = 65_535
"""A frame counts its buffers in 16 bits; further ones go inside the pickle."""

CURRENT: ContextVar[tuple[int, int] | None] = ContextVar("apothic_current_job", default=None)
"""The number and the attempt of the job that this thread or task works on."""

Encoded = tuple[bytes, tuple[Buffer, ...]]


def load(codec: str, data: Buffer, buffers: tuple[Buffer, ...]) -> Callable[..., Any]:
    """The callable that a code payload stands for.

    `ref` is `module:qualname`; a decorated function is unwrapped, since calling its handle is the
    caller's business. Anything else is a pickle.
    """
    if codec != "ref":
        loaded: Callable[..., Any] = pickle.loads(data, buffers=buffers)
        return loaded
    module, _, qualname = bytes(data).decode().partition(":")
    __import__(module)
    found: Any = sys.modules[module]
    for name in qualname.split("."):
        found = getattr(found, name)
    while hasattr(found, "__wrapped__"):
        found = found.__wrapped__
    function: Callable[..., Any] = found
    return function


def arguments(data: Buffer, buffers: tuple[Buffer, ...]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The positional and keyword arguments of a call."""
    decoded: tuple[tuple[Any, ...], dict[str, Any]] = pickle.loads(data, buffers=buffers)
    return decoded


def encode(value: Any) -> Encoded:
    """Pickle a value; what the plain pickle cannot do, cloudpickle may.

    A class or function of `__main__` goes by value: the module of that name is another one here.
    """
    try:
        data, buffers = _dump(pickle.dumps, value)
    except Exception:  # noqa: BLE001 - any object may refuse in its own way
        return _dump(_cloud_dumps(), value)
    if b"__main__" in data:
        return _dump(_cloud_dumps(), value)
    return data, buffers


def _dump(dumps: Callable[..., bytes], value: Any) -> Encoded:
    found: list[Buffer] = []

    def in_band(buffer: pickle.PickleBuffer) -> bool:
        view = buffer.raw()
        if view.nbytes < OUT_OF_BAND or len(found) == MOST_BUFFERS:
            return True
        found.append(view)
        return False

    data = dumps(value, protocol=5, buffer_callback=in_band)
    return data, tuple(found)


def _cloud_dumps() -> Callable[..., bytes]:
    import cloudpickle  # 50 ms, so only for the values that need it  # noqa: PLC0415

    dumps: Callable[..., bytes] = cloudpickle.dumps
    return dumps


def describe(error: BaseException, skip: int = 1) -> tuple[dict[str, str], Encoded | None]:
    """An exception as text, and as a pickle where one survives the journey.

    `skip` frames of ours are left out of the traceback.
    """
    import traceback  # 15 ms, so only for a call that fails  # noqa: PLC0415

    inner: TracebackType | None = error.__traceback__
    for _ in range(skip):
        inner = inner.tb_next if inner is not None else None
    kind = type(error)
    try:
        text = "".join(traceback.format_exception(kind, error, inner))
    except Exception as refusal:  # noqa: BLE001 - __str__ of a user's class
        text = f"{kind.__name__} (its traceback cannot be shown: {refusal!r})\n"
    try:
        message = str(error)
    except Exception:  # noqa: BLE001
        message = f"<{kind.__name__} whose str() fails>"
    name = kind.__qualname__ if kind.__module__ in ("builtins", "__main__") else (
        f"{kind.__module__}.{kind.__qualname__}"
    )
    info = {"code": "user_error", "message": message, "type_name": name, "traceback": text}
    return info, _survivor(error)


def _survivor(error: BaseException) -> Encoded | None:
    """A pickle of the exception that has been seen to load again."""
    for candidate in (lambda: error, lambda: _Rebuilt(error)):
        try:
            encoded = encode(candidate())
            again = pickle.loads(encoded[0], buffers=[bytes(b) for b in encoded[1]])
            if isinstance(again, BaseException) and type(again).__name__ == type(error).__name__:
                return encoded
        except BaseException:  # noqa: BLE001, S112 - a user's __reduce__ may raise anything
            continue
    return None


class _Rebuilt:
    """Pickles as an exception that is made without calling its own `__init__`."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __reduce__(self) -> tuple[Any, ...]:
        state = {k: v for k, v in vars(self.error).items() if not k.startswith("__")}
        return (_rebuild, (type(self.error), self.error.args, state))


def _rebuild(kind: type[BaseException], args: tuple[Any, ...], state: dict[str, Any]) -> Any:
    made = kind.__new__(kind, *args)
    made.args = args
    made.__dict__.update(state)
    return made
