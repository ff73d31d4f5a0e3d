"""Trials for the tests, where this machine has a place for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from apothic.generation.examples import Example
from apothic.generation.trials import Failure, tried
from apothic_backends.model.sandboxes import IsolationMissing

PATIENCE_S = 60.0

Try = Callable[..., tuple[Failure, ...]]


def example(*args: Any, **kwargs: Any) -> Example:
    """A call, whatever comes of it."""
    return Example(args, kwargs)


def exact(expected: Any, *args: Any, **kwargs: Any) -> Example:
    """A call, and what is to come of it."""
    return Example(args, kwargs, expected, is_exact=True)


@pytest.fixture
def attempt() -> Try:
    """Tries a function `f`; the test is left out where that cannot be."""

    def attempt(code: str, *examples: Example, timeout_s: float = PATIENCE_S) -> Any:
        try:
            return tried(code, "f", examples, timeout_s=timeout_s)
        except IsolationMissing as missing:
            pytest.skip(f"no isolation on this machine: {missing}")

    return attempt
