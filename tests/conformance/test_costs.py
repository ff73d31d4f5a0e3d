"""What calls have cost, through the SDK: blocking, on asyncio and on trio."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

import apothic
from apothic import App, InvalidOption
from tests.conformance.client import Client

app = App("costly")


@app.function
def nap(seconds: float) -> None:
    time.sleep(seconds)


def test_calls_are_counted_for_as_long_as_they_take(client: Client) -> None:
    nap.remote(0.05)
    nap.remote(0.05)

    found = app.cost()

    (line,) = found.lines
    assert (line.app_name, line.function_name, line.kind, line.attempts) == (
        "costly",
        "nap",
        "job",
        2,
    )
    assert found.seconds >= 0.05  # of a call that begins as its worker is found ready, less is seen
    assert (found.nano_usd, found.has_prices, found.balance_nano_usd) == (0, False, None)


async def test_costs_are_awaited(client: Client) -> None:
    await nap.remote.aio(0.0)

    found = await apothic.cost.aio("costly", "nap", since=time.time() - 60)

    assert await app.cost.aio() == await app.aio.cost() == found
    assert found.attempts == 1


async def test_what_is_free_is_told_with_what_it_would_cost(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await nap.remote.aio(0.0)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text("[tool.apothic.prices]\ncpu = 1000\n")

    found = await app.cost.aio()

    (line,) = found.lines
    assert found.estimate_nano_usd == line.microseconds * 10**6
    assert found.nano_usd == 0


def test_what_is_not_asked_for_is_not_told(client: Client) -> None:
    nap.remote(0.0)

    assert apothic.cost("another").lines == ()
    assert apothic.cost(function_name="another").lines == ()
    assert apothic.cost(since=time.time() + 3 * 86_400).lines == ()
    assert apothic.cost().attempts == 1


@pytest.mark.parametrize("asked", [{"app_name": ""}, {"function_name": 1}, {"since": "today"}])
def test_what_cannot_be_meant_is_refused(client: Client, asked: dict[str, str]) -> None:
    with pytest.raises(InvalidOption):
        apothic.cost(**asked)  # type: ignore[arg-type]


def test_code_in_a_worker_can_ask_too(client: Client) -> None:
    nap.remote(0.0)

    assert attempts.remote("costly") >= 1


@app.function
def attempts(of: str) -> int:
    return apothic.cost(of).attempts
