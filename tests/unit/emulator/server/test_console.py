"""The page of an app."""

from __future__ import annotations

from apothic_backends.model.deployments import DeploymentSnapshot
from apothic_backends.model.services import ServiceSnapshot
from apothic_emulator.server.console import page


def test_what_others_have_written_is_escaped() -> None:
    odd = "<script>'\"&"
    service = ServiceSnapshot(odd, odd, odd, 1, odd, odd, stale=odd)
    deployment = DeploymentSnapshot(odd, odd, 1, odd, 0.0)

    text = page(odd, odd, [service], [deployment]).decode()

    assert "<script" not in text
    assert text.count("&lt;script&gt;&#x27;&quot;&amp;") == 10


def test_addresses_can_be_followed() -> None:
    service = ServiceSnapshot("demo/a", "up", "started", 1, 'http://x/"<b>')

    text = page("demo", "main", [service], []).decode()

    assert '<a href="http://x/&quot;&lt;b&gt;">' in text


def test_where_there_is_nothing_that_is_said() -> None:
    assert page("demo", "main", [], []).decode().count("<p>None.</p>") == 2
