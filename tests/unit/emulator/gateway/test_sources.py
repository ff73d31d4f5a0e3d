"""How connections are counted by where they come from."""

from __future__ import annotations

from apothic_emulator.gateway.sources import Sources


def test_connections_are_counted_by_address() -> None:
    sources = Sources(2)
    assert [sources.enter("a"), sources.enter("a"), sources.enter("b")] == [True, True, True]
    assert not sources.enter("a")
    sources.leave("a")
    sources.leave("a")

    assert sources.enter("a")


def test_as_many_again_are_a_crowd() -> None:
    sources = Sources(2)
    seen = []
    for _ in range(5):
        seen.append(sources.is_crowd("a"))
        sources.enter("a")

    assert seen == [False] * 4 + [True]
    assert not sources.is_crowd("b")
