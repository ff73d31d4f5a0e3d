"""A page of an attacker whose name stands for this machine reads nothing, and changes nothing."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest

from apothic_backends.remote.running import running_dev
from tests.integration.dev.browser import browsing
from tests.integration.dev.developed import PATIENCE_S, Project, developing
from tests.server.served import served

ATTACK = Path(__file__).with_name("attack.js").read_text("utf-8")
ATTACKER = "evil.example"
REBOUND = (
    f"--host-resolver-rules=MAP {ATTACKER} 127.0.0.1",
    "--disable-features=LocalNetworkAccessChecks",
)
"""As a browser that asks nobody before a page may reach its own machine."""

FAILED = ("error", "TypeError")
"""What a page hears of what was refused, where it may not even read the refusal."""


class Attacked(NamedTuple):
    """A server, and the key of its operator."""

    port: int
    key: str

    def keys(self) -> Any:
        """All the keys that it has."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.key}"}
        connection.request("POST", "/v1/list-api-keys", b"{}", headers)
        told = json.load(connection.getresponse())
        connection.close()
        return told["reply"]


@pytest.fixture(params=["serve", "dev"])
def attacked(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Attacked]:
    if request.param == "serve":
        with served(tmp_path) as server:
            yield Attacked(server.port, server.token)
        return
    project = Project(tmp_path)
    with developing(project, "--port", "0") as dev:
        dev.until("up")
        found = running_dev(project.root)
        assert found is not None
        yield Attacked(urlsplit(found.url).port or 0, found.key or "")


def attack(attacked: Attacked, folder: Path) -> dict[str, str]:
    """What a page gets that is the attacker's, at a name that stands for this machine since."""
    own = f"http://{ATTACKER}:{attacked.port}"
    with browsing("about:blank", folder / "browser", *REBOUND) as page:
        page.be(f"{own}/page", "<p>the page of the attacker</p>")
        found: dict[str, str] = page.result(
            f"({ATTACK})({attacked.port}, {json.dumps(attacked.key)})"
        )
    return found


def test_a_page_whose_name_is_bound_to_this_machine_gets_nowhere(
    attacked: Attacked, tmp_path: Path
) -> None:
    before = attacked.keys()

    found = attack(attacked, tmp_path)

    readable = {what: told for what, told in found.items() if told not in FAILED}
    forms = {what for what in readable if what.startswith("form ")}  # they show what refuses them
    assert {told[:3] for what, told in readable.items() if what not in forms} == {"403"}
    assert all(f"//{ATTACKER}:" in what for what in readable.keys() - forms)
    assert len(readable) > len(forms) == 12
    assert attacked.keys() == before


def test_the_same_page_gets_everything_where_its_name_is_one_of_ours(tmp_path: Path) -> None:
    with served(tmp_path, "--allow-host", ATTACKER) as server:
        attacked = Attacked(server.port, server.token)
        before = attacked.keys()

        found = attack(attacked, tmp_path)

        assert (
            found[f"POST http://{ATTACKER}:{server.port}/v1/create-api-key with a key"][:3] == "200"
        )
        assert len(attacked.keys()) == len(before) + 1
