"""When a function runs again, and how many calls it takes at once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar, overload

from apothic._values import Value, number, refuse, whole
from apothic_backends.model.errors import InvalidOption
from apothic_backends.model.functions import BatchPolicy, RetryPolicy

F = TypeVar("F", bound=Callable[..., Any])


class Retries(Value):
    """When a failed call is tried again.

    Retry k starts `initial_delay * backoff_coefficient**(k - 1)` seconds after the failure, at most
    `max_delay`. `max_retries` counts the attempts after the first. With `jitter=0.1` each delay is
    up to a tenth longer or shorter, so that calls which failed together do not come back together.

    Code that knows better raises `NonRetryable`: then the job fails at once.

    Raises:
        InvalidOption: a field is out of range: delays are 0 to 60 s (`max_delay` 1 to 60), the
            coefficient is 1 to 10, the jitter 0 to 1.
    """

    max_retries: int
    initial_delay: float
    backoff_coefficient: float
    max_delay: float
    jitter: float

    def __init__(
        self,
        *,
        max_retries: int,
        initial_delay: float = 1.0,
        backoff_coefficient: float = 2.0,
        max_delay: float = 60.0,
        jitter: float = 0.0,
    ) -> None:
        super().__init__(
            max_retries=whole("max_retries", max_retries, 0),
            initial_delay=number("initial_delay", initial_delay, 0, 60),
            backoff_coefficient=number("backoff_coefficient", backoff_coefficient, 1, 10),
            max_delay=number("max_delay", max_delay, 1, 60),
            jitter=number("jitter", jitter, 0, 1),
        )

    @property
    def policy(self) -> RetryPolicy:
        """The same in the words of the contract."""
        return RetryPolicy(
            self.max_retries,
            self.initial_delay,
            self.backoff_coefficient,
            self.max_delay,
            self.jitter,
        )


class Concurrent(Value):
    """How many calls one worker process takes at once, and how many it aims at."""

    max_inputs: int
    target_inputs: int

    def __init__(self, *, max_inputs: int, target_inputs: int | None = None) -> None:
        most = whole("max_inputs", max_inputs, 1)
        aim = most if target_inputs is None else whole("target_inputs", target_inputs, 1)
        if aim > most:
            refuse("target_inputs", aim, f"at most max_inputs ({most})")
        super().__init__(max_inputs=most, target_inputs=aim)


class Batched(Value):
    """How many single inputs go into one call, and how long the first of them may wait."""

    max_batch_size: int
    wait_ms: int

    def __init__(self, *, max_batch_size: int, wait_ms: int) -> None:
        super().__init__(
            max_batch_size=whole("max_batch_size", max_batch_size, 1, 1000),
            wait_ms=whole("wait_ms", wait_ms, 0, 600_000),
        )


MARKS = "__apothic_marks__"
"""Where decorators leave what they say about a function, on either side of `@app.function`."""

Marks = dict[str, Value]
"""What decorators say, by their names."""


class Markable(ABC):
    """A handle, which has to agree with what decorators above it say."""

    @abstractmethod
    def marked(self) -> None:
        """Take what decorators say into account.

        Raises:
            InvalidOption: it contradicts an option.
        """


def mark(function: F, name: str, value: Value) -> F:
    """Leave a note on a function or on its handle.

    Raises:
        InvalidOption: there is one of that name already, or it contradicts an option.
    """
    marks: Marks | None = vars(function).get(MARKS)
    if marks is None:
        marks = {}
        setattr(function, MARKS, marks)  # also where `vars` cannot be written: on a class
    if name in marks:
        raise InvalidOption(f"{name} is set twice on {function.__name__}; keep one", option=name)
    marks[name] = value
    handle: object = function
    if isinstance(handle, Markable):
        handle.marked()
    return function


def marks_of(function: Callable[..., Any]) -> Marks:
    """What decorators say of a function."""
    marks: Marks = vars(function).get(MARKS, {})
    return marks


def check_marks(function: Callable[..., Any], marks: Marks, given: Mapping[str, Any]) -> None:
    """See to it that the decorators of a function fit it, and the options that were given.

    Raises:
        InvalidOption: they do not.
    """
    if "batched" in marks:
        from apothic._batches import check_batchable  # for few functions only  # noqa: PLC0415

        check_batchable(function)
    if "concurrent" in marks and "concurrent_requests" in given:
        raise InvalidOption(
            f"{function.__name__}(): @concurrent and concurrent_requests both say how many calls a "
            "worker takes at once; keep one",
            option="concurrent_requests",
        )


def concurrency(marks: Marks, otherwise: int) -> tuple[int, int]:
    """How many calls a worker takes at once, and how many it aims at (0: as many)."""
    concurrent = marks.get("concurrent")
    if not isinstance(concurrent, Concurrent):
        return otherwise, 0
    return concurrent.max_inputs, concurrent.target_inputs


def batch_policy(marks: Marks) -> BatchPolicy | None:
    """How inputs are gathered, if they are."""
    batched = marks.get("batched")
    if not isinstance(batched, Batched):
        return None
    return BatchPolicy(batched.max_batch_size, batched.wait_ms / 1000)


def concurrent(*, max_inputs: int, target_inputs: int | None = None) -> Callable[[F], F]:
    """Let one worker process take several calls at once: tasks if `async def`, else threads.

    Another process starts when each has `target_inputs` calls (as many as `max_inputs` where
    nothing is said) and `max_containers` allows it; where it does not, each takes up to
    `max_inputs`. Stands above or below `@app.function`, in place of `concurrent_requests`.

    Raises:
        InvalidOption: a number is below 1, `target_inputs` is above `max_inputs`, or
            `concurrent_requests` is given as well.
    """
    value = Concurrent(max_inputs=max_inputs, target_inputs=target_inputs)
    return lambda function: mark(function, "concurrent", value)


class Handle(Protocol):
    """What `@app.function` gives."""

    app_name: str


class Batching(Protocol):
    """`@batched(...)`: callers send one value where the function takes a list of them.

    Types cannot say that, so they get `Any`.
    """

    @overload
    def __call__(self, function: Handle, /) -> Any: ...
    @overload
    def __call__(self, function: Callable[..., Any], /) -> Callable[..., Any]: ...


def batched(*, max_batch_size: int, wait_ms: int) -> Batching:
    """Gather single inputs into calls: the function gets lists, its callers send one value each.

    Every parameter becomes a list with one value for each input, and the function returns a list
    with one result for each, in the same order; `fn(...)` in place takes and gives lists. A call
    begins when `max_batch_size` inputs have come (or `max_pending_tasks`, if that is less) or the
    first has waited `wait_ms` milliseconds, and takes one place of a worker, of which `@concurrent`
    gives it several. Stands above or below `@app.function`.

    Each input is a job of its own, with its own retries:

    - Arguments that do not fit the signature fail the input that has them. So does an exception in
      the returned list.
    - If the call raises, each of its inputs runs again alone, so that only the guilty one fails:
      **the function may see an input twice**, even without retries. So does each after its batch
      has run into `timeout_s` or lost its worker, if `retries` allow another attempt.
    - Whatever is not a list with one result for each input is a `BatchMismatch` for all of them.
    - A cancelled input ends with its batch, which is stopped when all of it is cancelled.
    - What the call prints is in the log of its first input, in whose name it calls other functions.

    Raises:
        InvalidOption: the size is not 1 to 1000, the wait not 0 to 600,000 ms, or the function is a
            generator or has no parameters, has default values, `*args` or `**kwargs`.
    """
    value = Batched(max_batch_size=max_batch_size, wait_ms=wait_ms)

    def gather(function: Any) -> Any:
        return mark(function, "batched", value)

    return gather
