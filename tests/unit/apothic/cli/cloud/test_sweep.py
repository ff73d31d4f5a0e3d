"""What a sweep takes away, and when it believes that it is gone."""

from __future__ import annotations

import pytest

from apothic.cli.cloud import sweep
from apothic.cli.cloud.sweep import look, remove
from apothic.cli.wishes import Wishes
from apothic_backends.providers.base import Busy, Listing
from tests.fakes.provider import MemoryProvider, order

QUIET = Wishes(quiet=True)


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """It need not wait for anybody."""
    monkeypatch.setattr(sweep, "_FIRST_PAUSE_S", 0.001)


class Forgetful(MemoryProvider):
    """Its next listing after a machine was destroyed shows none, and it is there still."""

    is_old = False

    def destroy(self, provider_id: str) -> None:
        self.is_old = bool(self.stubborn)
        super().destroy(provider_id)

    def list(self, prefix: str) -> Listing:
        is_old, self.is_old = self.is_old, False
        return Listing(()) if is_old else super().list(prefix)


def test_one_listing_that_does_not_show_a_machine_is_not_believed() -> None:
    provider = Forgetful()
    provider.create(order())
    provider.stubborn = 1
    found, _ = look(QUIET, {"memory": provider}, "apothic/")

    assert remove(QUIET, {"memory": provider}, "apothic/", found, 60) == ([], [])
    assert provider.machines == {}


def test_what_nobody_has_agreed_to_is_left() -> None:
    provider = MemoryProvider()
    provider.create(order("apothic/p/1"))
    found, _ = look(QUIET, {"memory": provider}, "apothic/")
    provider.create(order("apothic/p/2"))

    left, _ = remove(QUIET, {"memory": provider}, "apothic/", found, 60)

    assert [it.seen.tag for it in left] == ["apothic/p/2"]
    assert [it.tag for it in provider.machines.values()] == ["apothic/p/2"]


def test_a_provider_that_does_not_answer_is_named() -> None:
    provider = MemoryProvider()
    provider.fail("list", Busy("later", after_s=9.0))

    assert look(QUIET, {"memory": provider}, "apothic/") == ([], ["memory"])
