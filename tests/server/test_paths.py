"""Paths that are meant to lead to files: a server gives none, however they are written."""

from __future__ import annotations

import pytest

from tests.server.served import Served

CLIMBS = (
    "/../../../../../../etc/passwd",
    "/..%2f..%2f..%2f..%2f..%2fetc/passwd",
    "/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
    "/..%252f..%252f..%252f..%252fetc/passwd",
    "/..%5c..%5c..%5cetc%5cpasswd",
    "/..%c0%af..%c0%af..%c0%afetc/passwd",
    "//etc/passwd",
    "/%2fetc%2fpasswd",
    "/@fs/etc/passwd?raw??",
    "/etc/passwd?import&raw??",
    "/.%00./etc/passwd",
)
"""Out of wherever they begin; once and twice encoded, and with queries that switched guards off."""
ABOVE = ("", "/logs", "/static", "/v1", "/v2/domain/default/project/main/apps")


@pytest.mark.parametrize("above", ABOVE)
def test_no_path_leads_to_a_file(server: Served, above: str) -> None:
    answers = [server.ask("GET", above + climb) for climb in CLIMBS]

    assert {answer.status for answer in answers} <= {400, 404}
    assert not [answer for answer in answers if b"root:" in answer.body]


@pytest.mark.parametrize("query", ["?raw", "?raw??", "?import&raw??", "?url", "?.svg", "?", "#x"])
@pytest.mark.parametrize("path", ["/metrics", "/v1/events", "/v2/domain/default/project/main"])
def test_no_query_opens_what_needs_a_key(server: Served, path: str, query: str) -> None:
    assert server.ask("GET", path + query, token=None).status in (400, 401, 403)
