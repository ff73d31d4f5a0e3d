"""A program on trio, against a server whose functions run on a machine that has joined it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.server.served import served

PROGRAM = """
import time
import trio
from apothic import Agent, App, Queue

app = App("trio")

@app.function()
def double(n: int) -> int:
    return 2 * n

@app.function()
def letters(n: int):
    yield from "abc"[:n]

@app.function()
def stay():
    time.sleep(600)

async def main() -> None:
    found = set()

    async def call(n: int) -> None:
        found.add(await double.remote.aio(n))

    async with trio.open_nursery() as nursery:
        for n in range(5):
            nursery.start_soon(call, n)
    print(sorted(found), await double.map.aio(range(3)))
    print([letter async for letter in letters.remote_gen.aio(3)])
    job = await double.spawn.aio(21)
    print(await job.wait.aio(), [event.event async for event in job.watch()][-1])
    queue = Queue.from_name("trio", create_if_missing=True)
    with trio.move_on_after(0.2) as left:
        await stay.remote.aio()
    await queue.put.aio("still here")
    print(left.cancelled_caught, await queue.get.aio())
    print([agent.name for agent in await Agent.list.aio()])

if __name__ == "__main__":
    trio.run(main)
"""

SAID = """\
[0, 2, 4, 6, 8] [0, 2, 4]
['a', 'b', 'c']
42 job.end
True still here
['lab']
"""


def test_a_program_on_trio_runs_on_a_machine_that_has_joined(tmp_path: Path) -> None:
    for folder in ("server", "machine", "home", "project"):
        (tmp_path / folder).mkdir()
    (tmp_path / "project" / "pyproject.toml").touch()
    (tmp_path / "project" / "program.py").write_text(PROGRAM)
    with served(tmp_path / "server", "--no-agent") as server:
        url = f"http://{server.own_host}"
        machine = subprocess.Popen(
            [sys.executable, "-m", "apothic.cli", "agent", "--url", url, "--name", "lab"],
            cwd=tmp_path / "machine",
            env={
                **os.environ,
                "APOTHIC_HOME": str(tmp_path / "machine"),
                "APOTHIC_AGENT_TOKEN": server.key("agent"),
            },
        )
        own = {
            "APOTHIC_BACKEND": url,
            "APOTHIC_TEST_BACKEND": url,
            "APOTHIC_API_KEY": server.token,
            "APOTHIC_HOME": str(tmp_path / "home"),
        }
        try:
            ran = subprocess.run(
                [sys.executable, "program.py"],
                cwd=tmp_path / "project",
                env={**os.environ, **own},
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
        finally:
            machine.terminate()
            assert machine.wait(30) == 0

    assert (ran.stdout, ran.stderr) == (SAID, "")
