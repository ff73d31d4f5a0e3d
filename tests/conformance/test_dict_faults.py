"""Dicts while processes die and stand still: what was seen of each key has one order."""

from __future__ import annotations

import json
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any

import pytest

from apothic import Dict, Fenced
from apothic_backends.model.jobs import JobStatus
from tests.conformance.client import Client, value_of
from tests.linearizability import Op, violation

pytestmark = pytest.mark.needs("processes")

KEYS = ("a", "b")


def use(d: Dict[str, str], folder: str, seed: int, times: int, dies_at: int) -> None:
    """Read, write, swap and take, and write down when each began and what it gave."""
    from apothic_backends.commands.dicts import PopKey, PutKey
    from apothic_backends.connection import connect
    from apothic_backends.model.payloads import Payload

    chance, file, seen = Random(seed), Path(folder, f"{seed}.log"), 0

    def note(**told: Any) -> None:
        with file.open("a") as log:
            log.write(json.dumps({**told, "at": time.monotonic()}) + "\n")

    for i in range(times):
        key = chance.choice(KEYS)
        kind = chance.choice(("get", "put", "put", "swap", "pop"))
        value, if_rev = f"{seed}.{i}", seen if kind == "swap" else None
        kind = "put" if kind == "swap" else kind
        note(kind=kind, key=key, value=value, if_rev=if_rev)
        if i >= dies_at and kind != "get":  # with the call under way
            data = Payload(b"\x80\x04\x8c" + bytes([len(value)]) + value.encode() + b".")
            commands: dict[str, Any] = {
                "put": PutKey(d.name, f'"{key}"', data, if_rev=if_rev),
                "pop": PopKey(d.name, f'"{key}"'),
            }
            connect().start(commands[kind])
            os.kill(os.getpid(), signal.SIGKILL)
        result: Any
        if kind == "put":
            result = d.put(key, value, if_rev=if_rev)
        elif kind == "get":
            entry = d.entry(key)
            result = None if entry is None else (entry.value, entry.rev)
            seen = 0 if entry is None else entry.rev
        else:
            entry = d.entry(key)
            rev = 0 if entry is None else entry.rev
            note(result=None if entry is None else (entry.value, rev), kind="get", key=key)
            note(kind="pop", key=key, value=value, if_rev=rev)
            found = d.pop(key, None, if_rev=rev)
            result = None if found is None else (found, rev)
        note(result=result)


def history_of(folder: Path) -> dict[str, list[Op]]:
    """What was written down, by key."""
    history: dict[str, list[Op]] = {key: [] for key in KEYS}
    for file in folder.glob("*.log"):
        op: Op | None = None
        for line in file.read_text().splitlines():
            told = json.loads(line)
            if "result" in told:
                assert op is not None
                result = told["result"]
                op.result = tuple(result) if isinstance(result, list) else result
                op.ended = told["at"]
                op.kind = told.get("kind", op.kind)
            else:
                op = Op(told["kind"], told["at"], value=told["value"], if_rev=told["if_rev"])
                history[told["key"]].append(op)
    return history


async def test_what_was_seen_of_each_key_has_one_order(client: Client, tmp_path: Path) -> None:
    d = Dict.from_name("shared", create_if_missing=True)
    await d.len.aio()
    f = await client.register(use, max_containers=4)
    chance = Random(7)
    with ThreadPoolExecutor(2) as threads:
        mine = [threads.submit(use, d, str(tmp_path), 100 + i, 60, 99) for i in range(2)]
        jobs = [
            await client.submit(f, d, str(tmp_path), i, 40, chance.randrange(60)) for i in range(12)
        ]
        ends = [(await client.wait(job)).status for job in jobs]
        for thread in mine:
            thread.result()
    history = history_of(tmp_path)
    lost = [op for ops in history.values() for op in ops if not op.is_known]

    assert {key: why for key, ops in history.items() if (why := violation(ops))} == {}
    assert ends.count(JobStatus.LOST) == len(lost) > 0
    assert set(ends) == {JobStatus.LOST, JobStatus.SUCCEEDED}


def hold_and_write(d: Dict[str, Any]) -> str:
    lock = d.lock("l", lease_s=1)
    fence = lock.acquire()
    d["pid"] = os.getpid()
    for event in d.watch("go", snapshot=True):  # stopped here, for longer than the lease
        if event.data.get("op") == "put" or event.data.get("entries"):
            break
    try:
        d.put("guarded", "old", fence=fence)
    except Fenced as error:
        return f"{type(error).__name__} {error.data['present'] > fence}"
    return "written"


@pytest.mark.needs("pids")
async def test_a_holder_that_stood_still_writes_nothing(client: Client) -> None:
    d = Dict.from_name("shared", create_if_missing=True)
    holders = d.watch("l")
    pids = d.watch("pid")
    job = await client.submit(await client.register(hold_and_write), d)
    pid = (await anext(pids)).data["value"]

    os.kill(pid, signal.SIGSTOP)
    try:
        async for event in holders:
            if event.data["op"] == "lock_expired":
                break
        async with d.lock("l") as lock:
            await d.put.aio("guarded", "new", fence=lock.fence)
            os.kill(pid, signal.SIGCONT)
            await d.put.aio("go", 1)
            said = value_of(await client.wait(job))
    finally:
        os.kill(pid, signal.SIGCONT)

    assert said == "Fenced True"
    assert await d.get.aio("guarded") == "new"


def hold_and_die(d: Dict[str, Any]) -> None:
    d.lock("l", lease_s=1).acquire()
    os.kill(os.getpid(), signal.SIGKILL)


async def test_the_lock_of_a_worker_that_died_goes_to_the_next(client: Client) -> None:
    d = Dict.from_name("shared", create_if_missing=True)
    held = d.watch("l")
    job = await client.submit(await client.register(hold_and_die), d)
    first = (await anext(held)).data["rev"]

    async with d.lock("l") as lock:
        assert lock.fence > first
    assert (await client.wait(job)).status is JobStatus.LOST
