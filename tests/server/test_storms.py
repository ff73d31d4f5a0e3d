"""Many agents come back at once when the server does."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

from tests.server.crowd import Crowd
from tests.server.served import Served

AGENTS = 100


def commits(home: Path) -> int:
    """How often the state of the account was written."""
    path = home / "server" / "accounts" / "default" / "state.db"
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as db:
        return int(db.execute("SELECT commits FROM head").fetchone()[0])


def test_all_agents_come_back_by_themselves_and_the_state_is_not_written_for_it(
    home: Path,
) -> None:
    async def storm() -> tuple[int, int, set[str]]:
        server = Served(home, "--no-agent")
        token = server.key("agent")
        crowd = Crowd(f"http://{server.own_host}", token, AGENTS)
        await crowd.all_joined()
        server.kill()
        server.close()
        await crowd.all_cut()

        again = await asyncio.to_thread(Served, home, "--no-agent", port=server.port)
        before = commits(home)
        await crowd.all_joined()
        known = await asyncio.to_thread(again.reply, "list-agents")
        after = commits(home)
        await crowd.close()
        await asyncio.to_thread(again.close)
        assert "Exception" not in again.text
        return before, after, {agent["status"] for agent in known}

    before, after, statuses = asyncio.run(storm())

    assert after - before < AGENTS / 10
    assert len(statuses) == 1
    assert statuses != {"cut"}
