"""All that runs, as whoever looks on is told, however far away that is."""

from __future__ import annotations

from apothic_backends.commands.agents import GetOverview
from tests.conformance.client import Client


async def test_what_runs_is_told(client: Client) -> None:
    seen = await client.backend.start(GetOverview())

    assert (seen.agents, seen.gpus) == ((), ())
    assert seen.worker_count == len(seen.workers)
