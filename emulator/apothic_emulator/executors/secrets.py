"""What an executor of a function with secrets does: it waits for them before anything else.

They become environment variables of this process alone; in a container they are in a file first.
Nobody sees them from outside: the kernel shows the environment that a process was started with, and
this one was forked. An exception that has a value in it is sent as one that has not; the host looks
again, and sends its text alone if that did not help.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any, cast

from apothic_emulator.executors import calls, wire
from apothic_emulator.executors.calls import Failure
from apothic_emulator.executors.control import Control

NAMES = "APOTHIC_SECRETS"
"""The environment variable that names those which are secrets, for what hands them on."""

_DEPTH = 8


class Missing(Exception):
    """There are no secrets; `body` says why, as a report."""

    def __init__(self, body: bytes) -> None:
        super().__init__("there are no secrets")
        self.body = body


def take(control: Control, place: Any) -> Secrets:
    """Wait for the secrets and put them into the environment, over what the caller has in his.

    In a container, `place` has them in a file, too.

    Raises:
        Missing: one is not there, or that file cannot be written.
        EOFError: the host hung up.
    """
    frame = control.first()
    body = bytes(frame.body)
    if frame.kind == wire.FAILURE:
        raise Missing(body)
    import resource  # of Unix, and this module is used elsewhere too  # noqa: PLC0415

    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, most))  # a core dump would have them in it
    values, keys = json.loads(body)
    if place is not None and values:
        values = _kept(values, place)
    os.environ.update(values)
    os.environ[NAMES] = ",".join(values)
    return Secrets([*values.values(), *keys.values()], keys)


def _kept(values: dict[str, str], place: Any) -> dict[str, str]:
    try:
        kept: dict[str, str] = place.keep(values)
    except OSError as error:
        told = calls.told("setup_failed", f"the secrets cannot be kept in the container: {error}")
        raise Missing(json.dumps(told.info).encode()) from None
    return kept


class Secrets:
    """The values that errors must not have in them."""

    def __init__(self, values: list[str], keys: dict[str, str]) -> None:
        self._values = values
        self.keys = keys
        """What opens buckets, by the name of the secret."""
        self._masks: Any = None

    def disguise(self, failure: Failure, error: BaseException) -> Failure:
        """The same failure, with an exception that shows no value, or with none."""
        if self._masks is None:
            from apothic_backends.model.masks import Masks  # when a call fails  # noqa: PLC0415

            self._masks = Masks(self._values)
        return disguise(failure, error, self._masks)


def disguise(failure: Failure, error: BaseException, masks: Any) -> Failure:
    """The same failure, with an exception that shows no value, or with none."""
    kept = failure.exception
    if kept is None or not _shows(kept, masks):
        return failure
    try:
        masked = calls.encode(calls.Rebuilt(error, _masked(masks.text)))
    except Exception:  # noqa: BLE001 - the class is the user's; then its text has to do
        return Failure(failure.info)
    return Failure(failure.info, None if _shows(masked, masks) else masked)


def _shows(encoded: calls.Encoded, masks: Any) -> bool:
    return any(masks.are_in(part) for part in (encoded.data, *encoded.buffers))


def _masked(mask: Callable[[str], str]) -> Callable[[Any], Any]:
    """What replaces the strings in plain values."""

    def replace(value: Any, depth: int = _DEPTH) -> Any:
        if isinstance(value, str):
            return mask(value)
        if isinstance(value, bytes):
            return mask(value.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
        if not depth:
            return value
        if type(value) in (list, tuple, set, frozenset):
            return type(value)(replace(item, depth - 1) for item in value)
        if type(value) is dict:
            table = cast("dict[Any, Any]", value)
            return {replace(k, depth - 1): replace(v, depth - 1) for k, v in table.items()}
        return value

    return replace
