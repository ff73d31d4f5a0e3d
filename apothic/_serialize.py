"""Code, arguments, results and exceptions, to bytes and back: the SDK's only (un)pickling.

Plain pickle goes first, because it is C and fast. cloudpickle takes over where plain pickle
refuses, and where its output names something that a worker cannot import: the user's script is
never run again there, so what lives in `__main__` has to travel by value.
"""

from __future__ import annotations

import io
import pickle
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from types import FunctionType, ModuleType
from typing import Any

from apothic._code import is_importable, reference
from apothic._values import is_dict, is_list, is_tuple
from apothic_backends.model.errors import (
    ArgumentNotSerializable,
    RemoteError,
    ResultDeserializeError,
    error_of,
)
from apothic_backends.model.jobs import ErrorInfo, ItemBatch, JobOutcome
from apothic_backends.model.payloads import Payload
from apothic_backends.model.queues import ItemNotLoadable

OUT_OF_BAND = 32 * 1024
"""Buffers of at least this many bytes travel beside the pickle instead of inside it."""

_by_value: set[bytes] = {b"__main__"}
"""Modules that no worker can import, as far as met, in the bytes that a pickle names them by."""

_registry_lock = threading.RLock()
"""cloudpickle keeps its list of by-value modules for the whole process."""


def encode_arguments(
    function: Callable[[], Callable[..., Any]], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Payload:
    """Pickle what a call was given; large buffers stay views of the caller's memory.

    `function` gives the function, which only a message needs.

    Raises:
        ArgumentNotSerializable: one cannot be pickled; the message names it.
    """
    buffers: list[memoryview] = []
    try:
        data = pickle.dumps((args, kwargs), 5, buffer_callback=_keeper(buffers))
        for name in _by_value:
            if name in data:
                break
        else:
            return Payload(data, tuple(buffers))
    except Exception:  # noqa: BLE001, S110 - whatever it is, cloudpickle has another try
        pass
    try:
        return _cloudpickled((args, kwargs))
    except Exception as error:
        raise _blame(function(), args, kwargs, error) from error


def _keeper(buffers: list[memoryview]) -> Callable[[pickle.PickleBuffer], bool]:
    """What tells pickle which buffers stay outside."""

    def is_in_band(buffer: pickle.PickleBuffer) -> bool:
        view = buffer.raw()
        if view.nbytes < OUT_OF_BAND:
            return True
        buffers.append(view)
        return False

    return is_in_band


def encode_code(function: Callable[..., Any]) -> Payload:
    """A function as its address where workers can import it, else as a pickle by value.

    Raises:
        ArgumentNotSerializable: it refers to something that cannot be pickled.
    """
    where = reference(function)
    if where is not None:
        return Payload(where.encode(), codec="ref")
    try:
        payload = _cloudpickled(function)
    except Exception as error:
        name = getattr(function, "__qualname__", repr(function))
        raise ArgumentNotSerializable(
            f"the function {name} cannot be sent to another process: {error}. "
            "Make what it refers to inside the function, or pass it as an argument"
        ) from error
    payload.own()
    return payload


def encode_value(what: str, value: object) -> Payload:
    """Pickle a value that is to be kept, with its buffers inside; as `pickled`."""
    return Payload(pickled(what, value))


def pickled(what: str, value: object) -> bytes:
    """Pickle a value, with its buffers inside; `what` is for a message.

    Raises:
        ArgumentNotSerializable: it cannot be pickled.
    """
    try:
        data = pickle.dumps(value, 5)
        for name in _by_value:
            if name in data:
                break
        else:
            return data
    except Exception:  # noqa: BLE001, S110 - whatever it is, cloudpickle has another try
        pass
    try:
        return _cloudpickled(value, is_whole=True).data
    except Exception as error:
        path, culprit = _deepest(what, value)
        raise ArgumentNotSerializable(
            f"{path} is a {type(culprit).__name__}, which cannot be sent to another process "
            f"({error}). Send what it is made from",
            parameter=what,
            path=path,
        ) from error


def decode_value(data: bytes | memoryview) -> Any:
    """What `encode_value` was given; raises whatever its classes do."""
    return pickle.loads(data)


def decode_item(data: bytes | memoryview, queue: str) -> Any:
    """One item out of a queue, rebuilt.

    Raises:
        ItemNotLoadable: it cannot be rebuilt here.
    """
    try:
        return pickle.loads(data)
    except Exception as error:
        raise ItemNotLoadable(
            f"an item of the queue {queue!r} cannot be rebuilt in this process: "
            f"{type(error).__name__}: {error}",
            pickle=bytes(data),
        ) from error


def _cloudpickled(value: object, *, is_whole: bool = False) -> Payload:
    """`is_whole` keeps large buffers inside the pickle."""
    buffers: list[memoryview] = []
    with io.BytesIO() as file, _registry_lock:
        keeper = None if is_whole else _keeper(buffers)
        pickler = _cloud_pickler()(file, 5, buffer_callback=keeper)
        try:
            pickler.dump(value)
            return Payload(file.getvalue(), tuple(buffers))
        finally:
            pickler.restore()


@cache
def _cloud_pickler() -> Any:
    cloudpickle: Any = import_module("cloudpickle")  # two interpreter starts, so only when needed

    class Pickler(cloudpickle.Pickler):
        """Notices modules that workers cannot import, and takes what is in them by value."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            base: Any = super()
            base.__init__(*args, **kwargs)
            self.added: list[ModuleType] = []

        def reducer_override(self, obj: Any) -> Any:
            """Called for all that is not a plain built-in value."""
            if isinstance(obj, type | FunctionType | ModuleType):
                name: Any = obj.__name__ if isinstance(obj, ModuleType) else obj.__module__
                if isinstance(name, str) and name in sys.modules and not is_importable(name):
                    _by_value.add(name.encode())
                    if name not in cloudpickle.list_registry_pickle_by_value():
                        cloudpickle.register_pickle_by_value(sys.modules[name])
                        self.added.append(sys.modules[name])
            base: Any = super()
            return base.reducer_override(obj)

        def restore(self) -> None:
            """Leave cloudpickle's list as the user made it."""
            for module in self.added:
                cloudpickle.unregister_pickle_by_value(module)

    return Pickler


def _blame(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], why: Exception
) -> ArgumentNotSerializable:
    """Say which argument cannot be pickled, and what in it is the reason."""
    name = getattr(function, "__name__", "the function")
    code = getattr(function, "__code__", None)
    names = code.co_varnames[: code.co_argcount] if code else ()
    places = dict(enumerate(names))
    given = {places.get(i, f"argument {i + 1}"): value for i, value in enumerate(args)} | kwargs
    for place, value in given.items():
        if not _is_picklable(value):
            path, culprit = _deepest(place, value)
            return ArgumentNotSerializable(
                f"{name}(): {path} is a {type(culprit).__name__}, which cannot be sent to another "
                f"process ({why}). Send what it is made from, and make it inside {name}",
                parameter=place,
                path=path,
            )
    return ArgumentNotSerializable(f"{name}(): the arguments cannot be pickled: {why}")


def _is_picklable(value: object) -> bool:
    try:
        _cloudpickled(value)
    except Exception:  # noqa: BLE001 - any object may refuse in its own way
        return False
    return True


def _deepest(path: str, value: object, depth: int = 8) -> tuple[str, object]:
    """Follow what cannot be pickled into its container, as far as that is its fault."""
    for step, part in _parts(value) if depth else ():
        if not _is_picklable(part):
            return _deepest(path + step, part, depth - 1)
    return path, value


def _parts(value: object) -> list[tuple[str, object]]:
    if is_dict(value):
        return [(f"[{key!r}]", part) for key, part in value.items()]
    if is_list(value) or is_tuple(value):
        return [(f"[{index}]", part) for index, part in enumerate(value)]
    return [(f".{name}", part) for name, part in getattr(value, "__dict__", {}).items()]


def decode_arguments(payload: Payload) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What a call was given, rebuilt in this process."""
    args, kwargs = _loads(payload, is_shared=True)
    return args, kwargs


def decode_outcome(outcome: JobOutcome, *, is_shared: bool = False) -> Any:
    """The result of a job; raises what it raised, or what became of it.

    `is_shared` copies large buffers, so that a result can be asked for twice.

    Raises:
        ResultDeserializeError: the job succeeded, but its result cannot be rebuilt here.
        JobError: it did not succeed; or the very exception that the user's code raised.
    """
    if outcome.error is not None:
        raise _failure(outcome.job_id, outcome.error)
    if outcome.result is None:
        return None
    try:
        return _loads(outcome.result, is_shared=is_shared)
    except Exception as error:
        raise ResultDeserializeError(
            f"{outcome.job_id} succeeded, but its result cannot be rebuilt in this process: "
            f"{type(error).__name__}: {error}",
            job_id=outcome.job_id,
        ) from error


def _loads(payload: Payload, *, is_shared: bool = False) -> Any:
    buffers = payload.buffers
    if not buffers:
        return pickle.loads(payload.data)
    return pickle.loads(payload.data, buffers=map(bytearray, buffers) if is_shared else buffers)


def decode_items(job_id: str, batch: ItemBatch) -> Iterator[Any]:
    """The items of a generator, each decoded when it is asked for.

    Raises:
        ResultDeserializeError: an item cannot be rebuilt here.
    """
    items, count = batch.items, batch.count
    if items is None:
        return
    buffers = iter(items.buffers)
    data = memoryview(items.data)
    start = 4 * count
    for length in struct.unpack_from(f"<{count}I", data):
        piece = data[start : start + length]
        start += length
        try:
            item = pickle.loads(piece, buffers=buffers)
        except Exception as error:
            raise ResultDeserializeError(
                f"an item of {job_id} cannot be rebuilt in this process: "
                f"{type(error).__name__}: {error}",
                job_id=job_id,
            ) from error
        yield item
        del item


class RemoteTraceback(Exception):
    """The traceback of the other process, shown above the exception that it led to."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        """The text, set off from what stands before it."""
        return f"\n\n{self.text.rstrip()}"


def _failure(job_id: str, info: ErrorInfo) -> BaseException:
    """The exception that tells of a job which did not succeed."""
    error: BaseException | None = None
    if info.exception is not None:
        error = _exception(info.exception)
    if error is None and info.code == "user_error":
        error = RemoteError(
            f"{info.type_name}: {info.message}\n\n{info.traceback}".rstrip(),
            job_id=job_id,
            type_name=info.type_name,
            traceback=info.traceback,
        )
    elif error is None:
        error = error_of(info.code, info.message, {**info.data, "job_id": job_id})
    if info.traceback and not isinstance(error, RemoteError):
        error.__cause__ = RemoteTraceback(info.traceback)
    return error


def _exception(payload: Payload) -> Exception | None:
    """The pickled exception, if it can be rebuilt and does not mean to end this program."""
    try:
        error = _loads(payload, is_shared=True)
    except Exception:  # noqa: BLE001 - its class may not exist here, or refuse to be made
        return None
    return error if isinstance(error, Exception) else None
