"""One test on a runtime of its own: what it may ask for, and what is told when it fails."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal, cast
from zlib import crc32

import pytest

from apothic_backends.model.errors import UsageError
from apothic_backends.registry import allow_only
from apothic_emulator.testing.leaks import find_leaks
from apothic_emulator.testing.runtime import START, Runtime, RuntimeFactory

BACKEND = "APOTHIC_BACKEND"
LOG_LINES = 40
"""Of what jobs have printed, at the end of a failure report."""

_OPTIONS = ("clock", "leaks", "seed", "start")
_LEAKS = ("error", "warn", "off")


class Options:
    """What `@pytest.mark.apothic(...)` says: clock, start, seed and leaks.

    Raises:
        UsageError: an option is unknown, or has a value that it cannot have.
    """

    def __init__(self, given: Mapping[str, Any], leaks: str, seed: int) -> None:
        unknown = sorted(set(given) - set(_OPTIONS))
        if unknown:
            raise UsageError(
                f"@pytest.mark.apothic takes {', '.join(_OPTIONS)}, not {', '.join(unknown)}"
            )
        self.clock: Literal["virtual", "real"] = given.get("clock", "virtual")
        self.start = _moment(given.get("start", START))
        self.seed: int = given.get("seed", seed)
        self.leaks: str = given.get("leaks", leaks)
        if self.leaks not in _LEAKS:
            raise UsageError(f"leaks={self.leaks!r}: it is one of {', '.join(_LEAKS)}")


def _moment(start: object) -> datetime:
    if isinstance(start, str):
        try:
            start = datetime.fromisoformat(start)
        except ValueError as error:
            raise UsageError(f"start={start!r} is no ISO date: {error}") from error
        return start if start.tzinfo is not None else start.replace(tzinfo=UTC)
    if not isinstance(start, datetime):
        raise UsageError(f"start={start!r}: it is a datetime, or one in ISO format")
    return start


class Trial:
    """A runtime for one test. The environment is the local backend's while it lasts."""

    def __init__(
        self, factory: RuntimeFactory, name: str, given: Mapping[str, Any], leaks: str
    ) -> None:
        self.options = options = Options(given, leaks, seed=crc32(name.encode()))
        self.has_failed = False
        self._before = os.environ.get(BACKEND)
        if self._before not in (None, "", "local"):
            raise UsageError(
                f"{BACKEND}={self._before}: the fixtures of Apothic run on the local backend only. "
                f"Unset it for this run ({BACKEND}= pytest ...), or do without the fixtures"
            )
        self.runtime: Runtime = factory.open(
            clock=options.clock, start=options.start, seed=options.seed
        )
        os.environ[BACKEND] = "local"
        allow_only("local", "a fixture of Apothic is active, and tests run on the local one only")

    def close(self) -> list[str]:
        """End it; what was left running, by name, where anybody wants to know."""
        leaks = find_leaks(self.runtime.host) if self.options.leaks != "off" else []
        try:
            self.runtime.close()
        finally:
            allow_only(None)
            if self._before is None:
                os.environ.pop(BACKEND, None)
            else:
                os.environ[BACKEND] = self._before
        return leaks

    def finish(self) -> None:
        """End it; what the test has left running fails it, unless it has failed already."""
        left = self.close()
        if not left or self.has_failed:
            return
        text = "the test has left running:\n" + "\n".join(f"  {line}" for line in left)
        if self.options.leaks == "warn":
            warnings.warn(pytest.PytestWarning(text), stacklevel=2)
            return
        pytest.fail(
            f"{text}\nWait for what it starts, or cancel it. leaks='off' in @pytest.mark.apothic, "
            "or apothic_leaks in pytest's configuration, allows it",
            pytrace=False,
        )

    def sections(self) -> list[tuple[str, str]]:
        """What a failure report says beside the failure: title and text."""
        runtime = self.runtime
        told = [("apothic events", runtime.events.timeline())]
        lines = _log_lines(runtime)
        if lines:
            told.append((f"apothic logs, the last {LOG_LINES} lines", "\n".join(lines)))
        faults = runtime.faults
        if faults.fallen or faults.pending:
            text = "\n".join([*faults.fallen, *(f"still to come: {f}" for f in faults.pending)])
            told.append((f"apothic faults, seed={faults.seed}", text))
        return told


def _log_lines(runtime: Runtime) -> list[str]:
    """What jobs have printed last, each line with its job."""
    lines: list[str] = []
    for event in runtime.events.of("job.log"):
        text = cast(str, event.data["text"])
        lines += [f"{event.data['job_id']}  {line}" for line in text.splitlines()]
    return lines[-LOG_LINES:]
