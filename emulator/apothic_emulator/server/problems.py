"""Errors as responses: a status for programs that know HTTP only, and the error itself as JSON."""

from __future__ import annotations

import json
from typing import Any

from apothic_backends.model import errors
from apothic_backends.model.errors import ApothicError
from apothic_backends.model.queues import ItemTooLarge, StaleClaim
from apothic_backends.remote.errors import NotAllowed
from apothic_emulator.server import shapes


class Unsupported(errors.UsageError):
    """The body of a request is not of a type that is read here."""

    code = "unsupported_media_type"


class TooLarge(errors.UsageError):
    """The body of a request is larger than this server takes; `data`: `most`."""

    code = "body_too_large"


class TooSlow(errors.UsageError):
    """The body of a request did not come in time."""

    code = "body_too_slow"


STATUS: tuple[tuple[type[ApothicError], int], ...] = (
    (Unsupported, 415),
    (TooLarge, 413),
    (TooSlow, 408),
    (NotAllowed, 403),
    (errors.JobGone, 410),
    (errors.NotFound, 404),
    (errors.IdempotencyConflict, 409),
    (errors.Fenced, 409),
    (StaleClaim, 409),
    (errors.LockLost, 409),
    (errors.VolumeConflict, 409),
    (errors.ValueTooLarge, 413),
    (ItemTooLarge, 413),
    (errors.NotBuiltYet, 501),
    (errors.UsageError, 400),
    (errors.BalanceExhausted, 402),
    (errors.QueueFull, 429),
    (errors.OverLimit, 429),
    (errors.StoreFull, 507),
    (errors.WaitTimeout, 504),
    (errors.BackendError, 503),
    (errors.JobError, 422),
    (ApothicError, 500),
)
"""The first class that an error is of says the status."""

AGAIN = frozenset({429, 503})
"""Statuses after which asking again helps, a second later."""


def status_of(error: ApothicError) -> int:
    """The status that tells of an error."""
    return next(status for kind, status in STATUS if isinstance(error, kind))


def body_of(error: ApothicError) -> bytes:
    """An error as JSON: `{"error": {"code", "message", "data"}}`."""
    told: dict[str, Any] = {"code": error.code, "message": error.message, "data": _data(error)}
    return encode({"error": told})


def _data(error: ApothicError) -> Any:
    try:
        return shapes.write(error.data)
    except TypeError:
        return {}


def encode(value: Any) -> bytes:
    """Plain data as the text of JSON."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:  # halves of characters, as the names of files may have them
        return json.dumps(value, separators=(",", ":")).encode()
