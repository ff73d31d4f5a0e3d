"""Trials for the tests, where this machine has a place for them; and a model that is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from apothic._declared import DECLARED
from apothic.generation.examples import Example
from apothic.generation.trials import Failure, tried
from apothic_backends.model.sandboxes import IsolationMissing
from tests.fakes.chat.fake import Chat, chatting

PATIENCE_S = 60.0

Try = Callable[..., tuple[Failure, ...]]


def example(*args: Any, **kwargs: Any) -> Example:
    """A call, whatever comes of it."""
    return Example(args, kwargs)


def exact(expected: Any, *args: Any, **kwargs: Any) -> Example:
    """A call, and what is to come of it."""
    return Example(args, kwargs, expected, is_exact=True)


@pytest.fixture(autouse=True)
def what_was_declared() -> Iterator[None]:
    """What a test declares is gone with it: whoever calls an app has all of it generated first."""
    before = dict(DECLARED)
    yield
    DECLARED.clear()
    DECLARED.update(before)


@pytest.fixture
def chat(monkeypatch: pytest.MonkeyPatch) -> Iterator[Chat]:
    """The model that the environment names."""
    with chatting() as chat:
        monkeypatch.setenv("APOTHIC_LIV_MODEL", "any")
        monkeypatch.setenv("APOTHIC_LIV_BASE_URL", chat.base_url)
        yield chat


@pytest.fixture
def attempt() -> Try:
    """Tries a function `f`; the test is left out where that cannot be."""

    def attempt(code: str, *examples: Example, timeout_s: float = PATIENCE_S) -> Any:
        try:
            return tried(code, "f", examples, timeout_s=timeout_s)
        except IsolationMissing as missing:
            pytest.skip(f"no isolation on this machine: {missing}")

    return attempt
