"""One call in this process, out of the very bytes that would have travelled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import Context, ContextVar
from typing import Any

from apothic_backends.model.jobs import ErrorInfo
from apothic_backends.model.payloads import PICKLES, Payload
from apothic_emulator.core.effects import Dispatch
from apothic_emulator.core.facts import Fact, Produced, Reported
from apothic_emulator.executors import calls

AfterError = Callable[["Call", BaseException], None]
"""What looks at an exception where it arose, before it is reported."""


class Call:
    """A job in the hands of an inline executor; `begun` from the moment that a thread has it."""

    __slots__ = (
        "arguments",
        "attempt",
        "begun",
        "context",
        "debugger",
        "executor",
        "job",
        "name",
        "parts",
        "purse",
        "sent",
        "taken",
        "tell",
        "texts",
    )

    def __init__(self, effects: Sequence[Dispatch], name: str, purse: Any = None) -> None:
        first = effects[0]
        self.executor = first.executor
        self.job = first.job
        self.attempt = first.attempt
        self.parts = {effect.job: effect for effect in effects}
        """The jobs that it is for and that are not over."""
        self.arguments = first.arguments
        self.name = name
        self.purse = purse
        """The secrets of its function, if it has some; what it prints goes through `texts`."""
        self.texts: Any = None
        self.tell: Callable[[Call, str, str], None] = _nowhere
        """Where printed text goes that was held back."""
        self.begun = False
        self.context = Context()
        """Empty, as in a worker: nothing of the caller's is seen, and nothing is left to it."""
        self.context.run(CURRENT.set, self)
        self.sent = self.taken = 0
        """Items that it has yielded, and those of them that its reader is done with."""
        self.debugger: Any = None
        """What it stopped in at a `breakpoint()`, if it did."""

    @property
    def job_id(self) -> str:
        """The id that users see."""
        return f"jobs:{self.job}"

    def unpack(self) -> calls.Arguments:
        """The arguments, as copies: what the call changes in them is not the caller's."""
        held = self.arguments
        return calls.arguments(held.data, [bytearray(buffer) for buffer in held.buffers])

    def leave(self) -> None:
        """Its code has ended."""
        if self.texts is not None:
            for stream, text in self.texts.flush():
                self.tell(self, stream, text)
        if self.debugger is not None:
            self.debugger.leave()

    def succeeded(self, value: Any) -> Fact:
        """A report of a result, pickled and copied.

        Raises:
            Unsendable: it cannot be pickled.
        """
        encoded = calls.encode_result(value)
        buffers = tuple(bytearray(buffer) for buffer in encoded.buffers)
        result = Payload(bytes(encoded.data), buffers)
        return Reported(self.executor, self.job, self.attempt, result)

    def produced(self, item: Any) -> Fact:
        """A report of the next item of a generator.

        Raises:
            Unsendable: it cannot be pickled.
        """
        encoded = calls.encode_item(item)
        buffers = tuple(bytearray(buffer) for buffer in encoded.buffers)
        items = Payload(len(encoded.data).to_bytes(4, "little") + encoded.data, buffers, PICKLES)
        self.sent += 1
        return Produced(self.executor, self.job, self.attempt, self.sent - 1, 1, items)

    @property
    def may_go_on(self) -> bool:
        """Whether a generator's reader has had all that it has yielded."""
        return self.sent <= self.taken

    def failed(self, error: BaseException, skip: int) -> Fact:
        """A report of what the call raised; `skip` frames of ours go before the user's."""
        info = error_info(error, skip, self.purse)
        return Reported(self.executor, self.job, self.attempt, None, info)


def _nowhere(call: Call, stream: str, text: str) -> None:
    """Nothing was printed, so nothing was held back."""


CURRENT: ContextVar[Call | None] = ContextVar("apothic_inline_call", default=None)
"""The call that this thread or task works on."""


def error_info(error: BaseException, skip: int, purse: Any = None) -> ErrorInfo:
    """An exception as the control plane keeps it."""
    failure = calls.failure_of(error, skip)
    if purse is None:
        return _info(failure)
    return purse.hide_text(_info(purse.hide(failure, error)))


def _info(failure: calls.Failure) -> ErrorInfo:
    info, survivor = failure
    exception = None
    if survivor is not None:
        exception = Payload(bytes(survivor.data), tuple(bytes(b) for b in survivor.buffers))
    return ErrorInfo(
        code=info["code"],
        message=info["message"],
        type_name=info["type_name"],
        traceback=info["traceback"],
        exception=exception,
        is_final=info["is_final"],
    )
