"""What runs in workers while they are killed. Each call notes that it began, and is given a token.

The note is one write to a file that is open for appending, so none is lost or torn by a kill.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections.abc import Iterator

from apothic import App, Retries, batched, current_job

app = App("chaos")

LEDGER = "APOTHIC_CHAOS_LEDGER"
AT_ONCE = Retries(max_retries=2, initial_delay=0)
ITEMS = 40


def begin(token: int) -> None:
    """Note that a call has begun."""
    fd = os.open(os.environ[LEDGER], os.O_WRONLY | os.O_APPEND)
    os.write(fd, b"%d\n" % token)
    os.close(fd)


@app.function(max_containers=2, max_pending_tasks=1000)
def quick(token: int) -> int:
    begin(token)
    return 2 * token


@app.function(max_containers=2, max_pending_tasks=1000, retries=AT_ONCE)
def slow(token: int) -> int:
    begin(token)
    time.sleep(0.001 * (token % 20))
    return 2 * token


@app.function(max_pending_tasks=1000, retries=AT_ONCE)
def second_try(token: int) -> int:
    begin(token)
    job = current_job()
    if job is not None and job.attempt == 1:
        raise ValueError(token)
    return 2 * token


@app.function(max_pending_tasks=1000, retries=AT_ONCE)
def with_child(token: int) -> int:
    begin(token)
    subprocess.call(["sleep", str(0.01 * (token % 10))])  # it may be killed, too
    return 2 * token


@app.function(max_containers=2, max_pending_tasks=1000)
def nested(token: int) -> int:
    begin(token)
    return helper.remote(token)


@app.function(max_containers=2, max_pending_tasks=1000, retries=AT_ONCE)
def helper(token: int) -> int:
    return 2 * token


@app.function(max_pending_tasks=1000, concurrent_requests=4, retries=AT_ONCE)
def in_threads(token: int) -> int:
    begin(token)
    time.sleep(0.002)
    return 2 * token


@app.function(max_pending_tasks=1000, concurrent_requests=8)
async def in_tasks(token: int) -> int:
    begin(token)
    await asyncio.sleep(0.002)
    return 2 * token


@app.function(max_pending_tasks=1000, retries=AT_ONCE)
@batched(max_batch_size=4, wait_ms=2)
def in_batches(tokens: list[int]) -> list[int]:
    for token in tokens:
        begin(token)
    return [2 * token for token in tokens]


@app.function(max_pending_tasks=1000, retries=AT_ONCE)
def items(token: int) -> Iterator[int]:
    begin(token)
    for i in range(ITEMS):
        if i % 8 == 0:
            time.sleep(0.001)
        yield token + i
