"""Calls for several inputs: one list for each parameter in, one list of results out.

What is wrong with one input, be it its pickle, its arity or its result, fails that input alone.
When the call itself raises, nobody can say whose fault that is: the control plane is told so for
each input, and has each run again alone.
"""

from __future__ import annotations

from _socket import socket
from collections.abc import Callable, Sequence
from typing import Any, Generic, Protocol, TypeVar

from apothic_emulator.executors import calls, packets
from apothic_emulator.executors.stops import Stops
from apothic_emulator.executors.wire import Buffer, Frame, Packet

RAISED = "batch_raised"
MISMATCH = "batch_mismatch"

T = TypeVar("T")
ReportT_co = TypeVar("ReportT_co", covariant=True)

Report = tuple[int, Buffer, tuple[Buffer, ...]]

Row = tuple[Any, ...]
"""What one input gives for each parameter."""


class Signature:
    """The parameters of a function, to which each input is bound as in a call of its own."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.name = function.__name__
        inner: Any = function
        while hasattr(inner, "__wrapped__"):
            inner = inner.__wrapped__
        code, bound = inner.__code__, int(hasattr(inner, "__self__"))
        self.positional = code.co_argcount - bound
        count = code.co_argcount + code.co_kwonlyargcount
        self.names: tuple[str, ...] = code.co_varnames[bound:count]
        self.bind = _binder(inner, self.names, bound)

    def columns(self, rows: Sequence[Row]) -> calls.Arguments:
        """The arguments of the call: a list for each parameter."""
        lists = [list(column) for column in zip(*rows, strict=True)]
        named = zip(self.names[self.positional :], lists[self.positional :], strict=True)
        return tuple(lists[: self.positional]), dict(named)


def _binder(function: Any, names: tuple[str, ...], bound: int) -> Callable[..., Row]:
    """A function with the same parameters that gives their values; it complains as that would."""
    code = function.__code__
    shown = list(names)
    if len(names) > code.co_argcount - bound:
        shown.insert(code.co_argcount - bound, "*")
    if code.co_posonlyargcount > bound:
        shown.insert(code.co_posonlyargcount - bound, "/")
    scope: dict[str, Any] = {}
    exec(f"def bind({', '.join(shown)}): return ({' '.join(f'{n},' for n in names)})", scope)  # noqa: S102 - names of parameters only
    bind: Callable[..., Row] = scope["bind"]
    bind.__qualname__ = function.__qualname__
    return bind


class Teller(Protocol[ReportT_co]):
    """Makes the reports of calls."""

    @property
    def passing(self) -> type[BaseException]:
        """What ends a call from outside, wherever it is."""
        ...

    def finished(self, value: Any) -> ReportT_co:
        """A report of a result."""
        ...

    def failed(self, error: BaseException, skip: int | None = None) -> ReportT_co:
        """A report of an exception, without `skip` frames of ours."""
        ...

    def told(self, code: str, message: str, type_name: str = "") -> ReportT_co:
        """A report of a failure that is known by its code."""
        ...


class Executor(Teller[Report], Protocol):
    """What batches need of the executor they run in."""

    function: Callable[..., Any]
    stops: Stops
    receive_rest: Callable[[socket, Packet], tuple[Buffer, list[Any]]]
    work: Callable[[Packet, Buffer, list[Any]], None]

    def begin(self) -> None:
        """Count a call that begins."""
        ...

    def report_all(self, reports: Sequence[tuple[int, int, Report]]) -> None:
        """Tell how a call for several jobs ended."""
        ...

    def serve(self) -> None:
        """Take jobs on this thread."""
        ...

    def serve_threads(self, count: int) -> None:
        """Take jobs on as many threads."""
        ...


class Batch(Generic[T]):
    """One call: what is known so far of each of its inputs."""

    def __init__(self, teller: Teller[T], signature: Signature, frames: Sequence[Frame]) -> None:
        self.teller = teller
        self.signature = signature
        self.frames = frames
        self.rows: dict[int, Row] = {}
        """The inputs that are in the call, by job."""
        self._reports: dict[int, T] = {}

    def take(self) -> calls.Arguments:
        """Unpickle and bind every input; the arguments of the call, if one is left."""
        for frame in self.frames:
            try:
                args, kwargs = calls.arguments(frame.body, list(frame.buffers))
                self.rows[frame.job] = self.signature.bind(*args, **kwargs)
            except self.teller.passing:
                raise
            except BaseException as error:  # noqa: BLE001 - unpickling may raise anything
                self._reports[frame.job] = self.teller.failed(error, 2)
        return self.signature.columns([*self.rows.values()]) if self.rows else ((), {})

    def finish(self, value: Any) -> None:
        """Give each input its part of what the call returned."""
        wrong = self._misfit(value)
        if wrong:
            self._reports |= dict.fromkeys(self.rows, self.teller.told(MISMATCH, wrong))
            return
        for job, result in zip(self.rows, value, strict=True):
            self._reports[job] = self._report_of(result)

    def _misfit(self, value: Any) -> str:
        """What is wrong with the value as a list of results; nothing if it fits."""
        wanted = f"{len(self.rows)} inputs: a batched function returns a list with one for each"
        if not _is_list(value):
            return f"{self.signature.name}() returned a {type(value).__name__} for {wanted}"
        if len(value) != len(self.rows):
            return f"{self.signature.name}() returned {len(value)} results for {wanted}"
        return ""

    def _report_of(self, result: Any) -> T:
        teller = self.teller
        if isinstance(result, BaseException):
            return teller.failed(result, 0)
        try:
            return teller.finished(result)
        except teller.passing:
            raise
        except BaseException as error:  # noqa: BLE001 - pickling may raise anything
            return teller.failed(error, 2)

    def fail(self, error: BaseException, skip: int) -> None:
        """The call raised: the fault of its input if there was one, else of nobody knows whom."""
        report = self.teller.failed(error, skip)
        jobs = [frame.job for frame in self.frames]
        in_call = [job for job in jobs if job in self.rows or job not in self._reports]
        if len(in_call) > 1:
            report = self.teller.told(RAISED, "the call for its batch raised", type(error).__name__)
        self._reports |= dict.fromkeys(in_call, report)

    def reports(self) -> list[tuple[int, int, T]]:
        """What became of each input, in order."""
        return [(frame.job, frame.attempt, self._reports[frame.job]) for frame in self.frames]


def _is_list(value: object) -> bool:
    """Whether it is a list or something like it: an array, but not text and not a mapping."""
    is_text = isinstance(value, str | bytes | bytearray | memoryview)
    is_indexed = hasattr(value, "__len__") and hasattr(value, "__getitem__")
    return is_indexed and not is_text and not hasattr(value, "keys")


def receive_rest(source: socket, packet: Packet) -> tuple[Buffer, list[Any]]:
    """What follows the packet of a batch: a frame for each input."""
    return b"", packets.receive_batch(source, packet)


def serve(executor: Executor, slots: int) -> None:
    """Run batches until the channel ends or the executor retires."""
    signature = Signature(executor.function)
    executor.receive_rest = receive_rest
    executor.work = lambda packet, _, frames: _run(executor, signature, packet.job, frames)
    if slots > 1:
        executor.serve_threads(slots)
    else:
        executor.serve()


def _run(executor: Executor, signature: Signature, first: int, frames: list[Frame]) -> None:
    """Run one batch to its end and report each of its inputs."""
    executor.begin()
    token = calls.CURRENT.set((first, frames[0].attempt))
    batch = Batch(executor, signature, frames)
    try:
        try:
            _call(executor, batch, first)
        except BaseException as error:  # noqa: BLE001 - SystemExit and friends are the user's
            executor.stops.leave(first)
            batch.fail(error, skip=2)
        executor.report_all(batch.reports())
    finally:
        calls.CURRENT.reset(token)


def _call(executor: Executor, batch: Batch[Report], first: int) -> None:
    try:
        executor.stops.enter(first)
        args, kwargs = batch.take()
        if batch.rows:
            batch.finish(executor.function(*args, **kwargs))
    finally:
        executor.stops.leave(first)
