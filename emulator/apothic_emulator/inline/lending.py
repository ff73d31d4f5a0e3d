"""Secrets of calls that run in the user's own process: in its environment while they run."""

from __future__ import annotations

import os
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager

from apothic_backends.model.errors import ApothicError
from apothic_backends.model.functions import FunctionSpec
from apothic_backends.model.jobs import ErrorInfo
from apothic_backends.model.masks import Masks
from apothic_emulator.agent.safe import Safe, Version
from apothic_emulator.agent.veils import Texts, hide
from apothic_emulator.executors.calls import Failure
from apothic_emulator.executors.secrets import disguise


class Lending:
    """What is in the environment on loan, by whoever has lent it last."""

    def __init__(self) -> None:
        self.safe = Safe()
        self._loans: list[Mapping[str, str]] = []
        self._before: dict[str, str | None] = {}
        self._lock = threading.Lock()

    @contextmanager
    def lent(self, values: Mapping[str, str]) -> Generator[None]:
        """Have these in the environment; what was there before comes back with the last loan."""
        with self._lock:
            self._loans.append(values)
            for key in values:
                self._before.setdefault(key, os.environ.get(key))
            os.environ.update(values)
        try:
            yield
        finally:
            with self._lock:
                self._loans = [loan for loan in self._loans if loan is not values]
                for key in values:
                    self._take_back(key)

    def _take_back(self, key: str) -> None:
        value = next((loan[key] for loan in reversed(self._loans) if key in loan), None)
        if value is None:
            value = self._before.pop(key, None)
        if value is None:
            os.environ.pop(key, None)
        else:
            os.environ[key] = value


class Purse:
    """The secrets of one executor."""

    def __init__(self, lending: Lending, spec: FunctionSpec) -> None:
        self._lending = lending
        self._spec = spec
        self._version: Version | None = None
        self._values: dict[str, str] = {}
        self.keys: dict[str, str] = {}
        """What opens its buckets, by the name of the secret."""
        self.masks = Masks(())

    def fill(self) -> ErrorInfo | None:
        """Take what the function needs; why that cannot be."""
        try:
            self._values, self._version, self.keys = self._lending.safe.give(self._spec)
        except ApothicError as error:
            return ErrorInfo(error.code, error.message)
        self.masks = Masks([*self._values.values(), *self.keys.values()])
        return None

    def texts(self) -> Texts:
        """What a call prints goes through this."""
        return Texts(self.masks)

    def hide(self, failure: Failure, error: BaseException) -> Failure:
        """What a call raised, without values in the exception."""
        return disguise(failure, error, self.masks)

    def hide_text(self, info: ErrorInfo) -> ErrorInfo:
        """The same where it is text."""
        return hide(info, self.masks)

    @property
    def is_stale(self) -> bool:
        """Whether what it took has changed since."""
        is_full = self._version is not None
        return is_full and self._lending.safe.version(self._spec.needs) != self._version

    @contextmanager
    def open(self) -> Generator[None]:
        """Have it in the environment."""
        with self._lending.lent(dict(self._values)):
            yield
