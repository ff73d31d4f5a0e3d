"""Agents without executors: what they say is real, and so is the connection for it."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from apothic_emulator.agent import channel
from apothic_emulator.agent.channel import parse
from apothic_emulator.agent.dialing import Dialer
from apothic_emulator.agent.outpost import Outpost
from apothic_emulator.core.hellos import Capacity


class Light:
    """One agent: it dials again and again, as patiently as all do."""

    def __init__(self, url: str, token: str, name: str) -> None:
        self.url = f"{url.replace('http', 'ws', 1)}/v1/agent"
        self.headers = {"Authorization": f"Bearer {token}"}
        self.outpost = Outpost(name, "1", Capacity(1, 1024), _nothing, _nothing)
        self.dialer = Dialer(self.url, token)
        self.joined = asyncio.Event()

    async def run(self) -> None:
        while True:
            try:
                await self._serve()
            except (OSError, WebSocketException, TimeoutError):
                self.joined.clear()
                await asyncio.sleep(self.dialer.draw_pause_s())

    async def _serve(self) -> None:
        async with connect(
            self.url, additional_headers=self.headers, compression=None, proxy=None
        ) as connection:
            await connection.send(self.outpost.hello(time.monotonic()))
            async for data in connection:
                assert isinstance(data, bytes)
                self._hear(parse(data))
                beat = self.outpost.beat(time.monotonic())
                if beat is not None:
                    await connection.send(beat)
        raise OSError("the control plane has ended it")

    def _hear(self, frame: Any) -> None:
        if frame.kind == channel.WELCOME:
            self.outpost.welcomed(frame, time.monotonic())
            self.dialer.succeeded()
            self.joined.set()
        else:
            self.outpost.take(frame, time.monotonic())


class Crowd:
    """Many of them, in one loop."""

    def __init__(self, url: str, token: str, count: int) -> None:
        self.agents = [Light(url, token, f"light-{n}") for n in range(count)]
        self.tasks = [asyncio.ensure_future(agent.run()) for agent in self.agents]

    async def all_joined(self) -> None:
        await asyncio.gather(*(agent.joined.wait() for agent in self.agents))

    async def all_cut(self) -> None:
        for agent in self.agents:
            while agent.joined.is_set():
                await asyncio.sleep(0.01)

    async def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


def _nothing(_: Any) -> None:
    """No executor runs here."""
