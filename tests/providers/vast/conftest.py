"""An account at the fake market, in time that passes only where somebody waits."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.providers.vast.account import Account, opened


@pytest.fixture
def account() -> Iterator[Account]:
    with opened() as account:
        yield account
