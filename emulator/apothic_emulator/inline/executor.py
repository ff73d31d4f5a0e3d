"""An executor without a process: one function, loaded once, and the jobs in its line.

Threads that wait *claim* what there is to do: first to load the function, then a call each, at
most as many at once as there are slots. What nobody has claimed can be taken back.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from apothic_backends.model.jobs import ErrorInfo
from apothic_backends.model.payloads import Payload
from apothic_backends.ticket import Ticket
from apothic_emulator.core.effects import Credit, Dispatch, StartExecutor
from apothic_emulator.core.facts import Fact, Loaded, LoadFailed
from apothic_emulator.executors import calls
from apothic_emulator.inline.calls import AfterError, Call, error_info

_NOTHING = nullcontext()


class Work:
    """Something that a waiting thread can do; `run` gives the fact that it comes to."""

    def __init__(self, executor: Executor, call: Call | None) -> None:
        self.executor = executor
        self.call = call

    def run(self, awaited: Ticket[Any] | None, deadline: float | None) -> Fact | None:
        """Do it in this thread."""
        if self.call is None:
            return self.executor.load()
        with self.executor.lent():
            return self.call.context.run(self.executor.run, self.call)

    def let_go(self) -> None:
        """It is done, or was cut short."""


class Executor:
    """One function and its line; all but `load`, `run` and `close` needs the host's lock."""

    def __init__(self, effect: StartExecutor, after_error: AfterError | None) -> None:
        self.number = effect.executor
        self.name = effect.spec.name
        self.slots = effect.spec.concurrent_requests
        self.line: list[Call] = []
        self.function: Callable[..., Any] | None = None
        self.after_error = after_error
        self._code = effect.code
        self._is_loading = False
        self.purse: Any = None
        """A `Purse`, if the function has secrets."""
        self.shelf: Any = None
        """A `Shelf`, if it has volumes."""
        self.holder: Any = None
        """What holds the object of an instance."""
        self._spec = effect.spec

    def dispatch(self, *effects: Dispatch) -> None:
        """Put a job, or the jobs of one call, at the end of the line."""
        self.line.append(Call(effects, self.name, self.purse))

    def claim(self, job: int, others: set[int]) -> Work | None:
        """Take what can be done for that job, or with 0 for any that is none of `others`."""
        if self.function is None:
            if self._is_loading or (job and all(job not in call.parts for call in self.line)):
                return None
            self._is_loading = True
            return Work(self, None)
        for call in self.line[: self.slots]:
            if not call.begun and (
                job in call.parts or (not job and others.isdisjoint(call.parts))
            ):
                call.begun = True
                return Work(self, call)
        return None

    @property
    def oldest(self) -> float:
        """The number of the oldest job that nobody has claimed; infinite if there is none."""
        return min((call.job for call in self.line if not call.begun), default=float("inf"))

    def take_back(self, keep: int = 0) -> tuple[int, ...]:
        """Take unclaimed jobs out of the line, all but those in the first `keep` places."""
        kept, behind = self.line[:keep], self.line[keep:]
        self.line = kept + [call for call in behind if call.begun]
        return tuple(job for call in behind if not call.begun for job in call.parts)

    def has_begun(self, job: int) -> bool:
        """Whether a thread has claimed the job."""
        return any(call.begun for call in self.line if job in call.parts)

    def drop(self, job: int) -> tuple[int, ...]:
        """Take the call for that job out of the line; the jobs that it was for."""
        dropped = [call for call in self.line if job in call.parts]
        self.line = [call for call in self.line if call not in dropped]
        return tuple(job for call in dropped for job in call.parts)

    def forget(self, job: int) -> None:
        """A job is over."""
        for call in self.line:
            call.parts.pop(job, None)
        self.line = [call for call in self.line if call.parts]

    def cancel(self, job: int = 0) -> None:
        """Ask one call, or all, to stop: nothing can stop a thread."""

    def credit(self, effect: Credit) -> None:
        """The reader of a generator is done with its first items."""
        for call in self.line:
            if (call.job, call.attempt) == (effect.job, effect.attempt):
                call.taken = effect.taken

    def stop(self) -> tuple[int, ...]:
        """It is to be stopped: takes back what no thread has begun."""
        return self.take_back()

    def nudge(self) -> None:
        """Something has changed: nobody in here sleeps."""

    def end(self) -> None:
        """It gets no more calls."""

    def close(self) -> None:
        """Have what is left in it end; user code may run, so without the lock."""
        if self.holder is not None:
            self.holder.leave()

    def lent(self) -> AbstractContextManager[None]:
        """Have the secrets of the function in the environment."""
        return _NOTHING if self.purse is None else self.purse.open()

    # --- user code, outside of the lock ---------------------------------------------------------

    def load(self) -> Fact:
        """Load the function, as a worker would."""
        code = self._code
        for held in (self.purse, self.shelf):
            missing: ErrorInfo | None = None if held is None else held.fill()
            if missing is not None:
                return LoadFailed(self.number, missing)
        try:
            buffers = tuple(bytearray(buffer) for buffer in code.buffers)
            with self.lent():
                loaded = self._loaded(code, buffers)
        except BaseException as error:
            if is_interrupt(error):
                self._is_loading = False  # whoever waits next may try again
                raise
            info = error_info(error, 2, self.purse)
            info.code = "setup_failed"
            info.message = f"{self.name} cannot be loaded: {info.type_name}: {info.message}"
            info.exception = None
            return LoadFailed(self.number, info)
        self.function = loaded if self.shelf is None else self.shelf.around(loaded)
        return Loaded(self.number)

    def _loaded(self, code: Payload, buffers: tuple[bytearray, ...]) -> Callable[..., Any]:
        if self._spec.cls is None:
            return calls.load(code.codec, code.data, buffers)
        from apothic_emulator.inline import objects  # few have some  # noqa: PLC0415

        loop = self.new_loop()
        self.holder = objects.load(code, self._spec, loop)
        return objects.calling(self.holder, self._spec, on_loop=loop is not None)

    def new_loop(self) -> Any:
        """The loop that its calls run on; None if they run on none."""
        return None

    def run(self, call: Call) -> Fact | None:
        """Run one call to its end."""
        assert self.function is not None, "loaded before it is claimed"
        try:
            args, kwargs = call.unpack()
            return call.succeeded(self.function(*args, **kwargs))
        except BaseException as error:
            if is_interrupt(error):
                raise
            self.look_at(call, error)
            return call.failed(error, skip=1)
        finally:
            call.leave()

    def look_at(self, call: Call, error: BaseException) -> None:
        """Have the debugger look at it, where one is wanted."""
        if self.after_error is not None and isinstance(error, Exception):
            self.after_error(call, error)


def is_interrupt(error: BaseException) -> bool:
    """Whether it is Ctrl-C, which means the program and not the call."""
    is_main = threading.current_thread() is threading.main_thread()
    return isinstance(error, KeyboardInterrupt) and is_main
