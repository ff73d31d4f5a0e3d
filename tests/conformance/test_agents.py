"""What every backend does with machines, and with functions that want a part of one."""

from __future__ import annotations

import pytest

from apothic import Agent
from apothic_backends.commands.agents import ListAgents
from apothic_backends.connection import connect
from tests.conformance.client import Client, value_of


def add(a: int, b: int) -> int:
    return a + b


def look_for_agents() -> int:
    return len(connect().start(ListAgents()).wait())


@pytest.mark.needs("home")
async def test_where_no_machine_has_joined_none_is_listed(client: Client) -> None:
    assert await client.backend.start(ListAgents()) == ()


async def test_programs_list_them_awaiting(client: Client) -> None:
    assert await Agent.list.aio() == [*await client.backend.start(ListAgents())]


def test_programs_list_them_blocking(client: Client) -> None:
    assert Agent.list() == [*client.backend.start(ListAgents()).wait()]


@pytest.mark.needs("home")
async def test_code_that_is_called_may_look_at_them_too(client: Client) -> None:
    f = await client.register(look_for_agents)

    assert value_of(await client.run(f)) == 0


@pytest.mark.needs("gpus")
async def test_what_wants_a_gpu_runs_where_there_is_one(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APOTHIC_FAKE_GPUS", "2xH100-80GB")
    f = await client.register(add, gpu=("B200", "H100"), gpu_count=2, min_vram_gb=80)

    assert value_of(await client.run(f, 2, 3)) == 5
