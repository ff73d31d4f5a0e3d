"""Where things stand on the pages of a control plane."""

from __future__ import annotations

import pytest

from apothic.console import Console


@pytest.mark.parametrize(
    ("endpoint", "root"),
    [
        ("https://run.example.com", "https://run.example.com"),
        ("dns:///run.example.com", "https://run.example.com"),
        ("run.example.com:443", "https://run.example.com:443"),
        ("localhost:8090", "http://localhost:8080"),
        ("http://localhost:8090", "http://localhost:8080"),
        ("http://127.0.0.1:8377", "http://127.0.0.1:8377"),
    ],
)
def test_an_app_has_a_page(endpoint: str, root: str) -> None:
    url = Console(endpoint).app_url("team", "development", "demo")

    assert url == f"{root}/v2/domain/development/project/team/apps/demo"


def test_names_are_quoted() -> None:
    url = Console("https://x").app_url("a b", "c/d", "demo/serve")

    assert url.endswith("/v2/domain/c%2Fd/project/a%20b/apps/demo%2Fserve")
