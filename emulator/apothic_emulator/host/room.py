"""Whether what is large finds room, asked before it is decided: only who brings it has to pay.

Values over 1 MiB are files beside the store, and the reserve is not for those. So whoever asks to
keep one while there is no room for it is refused, and a job whose result is one fails with that.
Another program may take the room between this and the commit: then all that is held hears of it.
"""

from __future__ import annotations

from collections.abc import Iterable

from apothic_backends.commands.dicts import PutKey
from apothic_backends.commands.jobs import RegisterFunction, SubmitJob
from apothic_backends.commands.queues import PutItems
from apothic_backends.model.errors import StoreFull
from apothic_backends.model.jobs import ErrorInfo
from apothic_backends.model.payloads import Payload
from apothic_emulator.core.effects import Outcome
from apothic_emulator.core.facts import Asked, Input, Reported
from apothic_emulator.core.plane import Plane
from apothic_emulator.stores.store import LARGE

_PAYLOADS: dict[type[object], str] = {
    SubmitJob: "arguments",
    PutItems: "items",
    PutKey: "value",
    RegisterFunction: "code",
}
"""What of a command may be large."""


def is_large(item: Input) -> bool:
    """Whether an input brings something that may become a file."""
    payload = _payload_of(item)
    return payload is not None and (
        len(payload.data) > LARGE or (bool(payload.buffers) and payload.nbytes > LARGE)
    )


def nbytes_of(item: Input, plane: Plane) -> int:
    """How much of it is going to be kept; nothing where only who waits for it gets it."""
    if type(item) is Reported:
        job = plane.ledger.jobs.get(item.job)
        if job is None or job.kept is None:
            return 0
    payload = _payload_of(item)
    return 0 if payload is None else payload.nbytes


def nbytes_in(held: Iterable[Outcome]) -> int:
    """How much that is large waits to be kept."""
    values = (value for outcome in held for _, value in outcome.changes)
    return sum(len(value) for value in values if value is not None and len(value) > LARGE)


def without_result(fact: Reported, error: StoreFull) -> Reported:
    """It has ended, and its result cannot be kept: running it again would come to the same."""
    told = ErrorInfo(error.code, f"its result could not be kept: {error}", is_final=True)
    return fact.replace(result=None, error=told)


def _payload_of(item: Input) -> Payload | None:
    if type(item) is Reported:
        return item.result
    if type(item) is not Asked:
        return None
    kind: type[object] = type(item.command)
    name = _PAYLOADS.get(kind)
    return None if name is None else getattr(item.command, name)
