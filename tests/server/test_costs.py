"""What an account uses, at its operator's prices, up to the balance that its operator gives it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.server.served import Served, cli, served

NANO = 10**9
PRICES = "cpu = 1000\nmemory_gib = 1\n"
"""So dear that any call costs more than a little."""

_numbers = count()


@pytest.fixture(scope="module")
def priced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with prices."""
    home = tmp_path_factory.mktemp("priced")
    (home / "prices.toml").write_text(PRICES)
    with served(home, "--prices", "prices.toml") as one:
        yield one


def top_up(server: Served, account: str, usd: int, operation: str, token: str = "") -> Any:
    fields = {"account": account, "nano_usd": usd * NANO, "operation": operation}
    return server.call("top-up-account", token, **fields)


def register(server: Served, token: str = "") -> str:
    spec = {"app_name": "shop", "name": "call", "memory_mb": 1024}
    code = {"codec": "ref", "data": "subprocess:call"}
    return str(server.reply("register-function", token, spec=spec, code=code))


TRUE = {"data": {"args": [["true"]]}}


def run(server: Served) -> None:
    """A call whose beginning is seen before its end, so that some time lies between them."""
    gate = server.home / f"gate-{next(_numbers)}"
    os.mkfifo(gate)
    arguments = {"data": {"args": [["cat", str(gate)]]}}
    job = server.reply("submit-job", function_id=register(server), arguments=arguments)
    while (status := server.reply("get-job", job_id=job)["status"]) != "running":
        assert status in ("queued", "dispatched")
    gate.write_text("")
    assert server.reply("wait-job", job_id=job)["result"]["data"] == 0


def test_a_call_costs_what_the_operators_prices_say(priced: Served) -> None:
    run(priced)

    report = priced.reply("get-costs", app_name="shop")

    (line,) = report["lines"]
    assert line["nano_usd"] == line["microseconds"] * 1001 * 1000 > 0
    assert (line["function_name"], line["kind"], report["has_prices"]) == ("call", "job", True)


def test_without_prices_all_is_free(server: Served) -> None:
    run(server)

    report = server.reply("get-costs", app_name="shop")

    assert (report["lines"][0]["nano_usd"], report["has_prices"]) == (0, False)


@pytest.mark.parametrize(
    "scopes", [("run",), ("read",), ("agent",), ("metrics",), ("run", "agent")]
)
def test_nobody_but_the_operator_can_top_up(priced: Served, scopes: tuple[str, ...]) -> None:
    token = priced.key(*scopes, account="poor")

    assert top_up(priced, "poor", 5, "mine", token).status == 403


def test_there_is_no_other_way_to_top_up(priced: Served) -> None:
    assert priced.call("top-up", nano_usd=5, operation="mine").status == 404


def test_an_account_that_nobody_has_a_key_of_is_not_topped_up(priced: Served) -> None:
    answer = top_up(priced, "pooor", 5, "typo")

    assert (answer.status, answer.code) == (404, "not_found")


def test_nothing_is_taken_on_when_nothing_is_left(priced: Served) -> None:
    token = priced.key("run", account="broke")
    function = register(priced, token)
    assert top_up(priced, "broke", 0, "begin").json["reply"]["balance_nano_usd"] == 0

    refused = priced.call("submit-job", token, function_id=function, arguments=TRUE)

    assert (refused.status, refused.code) == (402, "balance_exhausted")
    assert refused.json["error"]["data"] == {"balance_nano_usd": 0}

    assert top_up(priced, "broke", 5, "more").status == 200
    assert priced.call("submit-job", token, function_id=function, arguments=TRUE).status == 200


def test_a_top_up_is_done_once(priced: Served) -> None:
    priced.key("run", account="twice")

    found = [top_up(priced, "twice", 5, "invoice-1").json for _ in range(2)]

    assert [it["reply"]["balance_nano_usd"] for it in found] == [5 * NANO] * 2
    assert top_up(priced, "twice", 6, "invoice-1").status == 409


def test_what_another_account_uses_is_not_told(priced: Served) -> None:
    run(priced)
    token = priced.key("read", account="curious")

    report = priced.reply("get-costs", token)

    assert (report["lines"], report["balance_nano_usd"]) == ([], None)


def test_balances_outlive_the_server(home: Path) -> None:
    (home / "prices.toml").write_text(PRICES)
    with served(home, "--prices", "prices.toml") as one:
        run(one)
        top_up(one, "default", 5, "first")
        before = one.reply("get-costs")
        one.kill()

    with served(home, "--prices", "prices.toml") as two:
        assert two.reply("get-costs") == before


def test_prices_that_cannot_be_meant_stop_the_start(home: Path) -> None:
    (home / "prices.toml").write_text("cpu = -1\n")

    ran = cli(home, "serve", "--port", "0", "--prices", "prices.toml")

    assert ran.returncode == 2
    assert "cpu in prices.toml has to be dollars a second" in ran.stderr


def test_the_operator_tops_up_from_the_command_line(priced: Served) -> None:
    priced.key("run", account="shell")

    said = priced.cli("top-up", "shell", "2.50", "--operation", "a").stdout
    again = priced.cli("--json", "top-up", "shell", "2.50", "--operation", "a").stdout

    assert said == "shell has 2.500000 USD\n"
    assert json.loads(again) == {"account": "shell", "balance_nano_usd": 2_500_000_000}


def test_the_operator_lifts_a_limit_from_the_command_line(priced: Served) -> None:
    priced.key("run", account="lifted")
    priced.cli("top-up", "lifted", "2.50")

    said = priced.cli("top-up", "lifted", "unlimited").stdout
    told = json.loads(priced.cli("--json", "top-up", "lifted", "unlimited").stdout)

    assert said == "lifted has no limit\n"
    assert told == {"account": "lifted", "balance_nano_usd": None}


@pytest.mark.parametrize("usd", ["much", "nan", "inf", "0.0000000001"])
def test_what_is_no_amount_is_refused(priced: Served, usd: str) -> None:
    ran = priced.cli("top-up", "default", usd)

    assert (ran.returncode, "write dollars as 25" in ran.stderr) == (2, True)


def test_costs_are_shown_to_who_has_a_key_of_the_account(priced: Served) -> None:
    run(priced)
    key = priced.key("read", account="default")
    where = {
        "APOTHIC_BACKEND": priced.url,
        "APOTHIC_TEST_BACKEND": priced.url,
        "APOTHIC_API_KEY": key,
    }

    table = priced.cli("cost", "--app", "shop", "--since", "7d", **where).stdout.splitlines()
    told = json.loads(priced.cli("cost", "--json", **where).stdout)

    assert table[0].split() == ["APP", "FUNCTION", "KIND", "ATTEMPTS", "SECONDS", "USD"]
    assert table[1].split()[:2] == ["shop", "call"]
    assert table[-1].endswith("no limit")
    assert told["schema"] == "apothic.cost.v1"
    assert told["nano_usd"] == sum(line["nano_usd"] for line in told["lines"]) > 0
