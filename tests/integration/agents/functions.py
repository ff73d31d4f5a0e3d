"""What agents run in these tests; they import it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from apothic import App, Dict, Queue, Retries, Secret
from tests.integration.agents import prying

app = App("agents")


@app.function(max_pending_tasks=1000)
def double(n: int) -> int:
    return 2 * n


@app.function()
def who() -> tuple[int, int]:
    return os.getpid(), os.getppid()


@app.function(max_containers=4)
def stay(began: str, gate: str) -> int:
    """Say that it has begun, and wait until it is let go."""
    with Path(began).open("a") as file:
        file.write(f"{os.getpid()}\n")
    with Path(gate).open() as waiting:
        waiting.read()
    return os.getpid()


@app.function(retries=Retries(max_retries=3, initial_delay=0), max_containers=4)
def persist(began: str, gate: str) -> int:
    return stay.local(began, gate)


class Slow:
    """A value that takes as long to be pickled as somebody wants."""

    def __init__(self, began: str, gate: str) -> None:
        self.began, self.gate = began, gate

    def __reduce__(self) -> Any:
        stay.local(self.began, self.gate)
        return int, ()


def hold(began: str, gate: str, nbytes: int = 0) -> bytes:
    """Say that it has begun, wait until it is let go, and give so much."""
    print("held")
    stay.local(began, gate)
    return bytes(nbytes)


def hold_its_result(began: str, gate: str, nbytes: int = 0) -> Any:
    """The same once all of it has run."""
    return Slow(began, gate)


def linger(began: str, gate: str) -> int:
    """As `stay`, for those who know it by name."""
    return stay.local(began, gate)


def give(began: str, gate: str, nbytes: int = 0) -> bytes:
    """Say that it has begun, and give so much."""
    with Path(began).open("a") as file:
        file.write(f"{os.getpid()}\n")
    return bytes(nbytes)


@app.function()
def call_others(n: int) -> list[int]:
    return double.map([double.remote(n), 2 * n + 1])


@app.function()
def share(queue: Any, table: Any) -> Any:
    queue.put("from afar")
    table["key"] = queue.get()
    return table["key"]


@app.function(max_containers=2)
def take(queue: Any, began: str) -> Any:
    Path(began).touch()
    return queue.get()


@app.function()
def call(began: str, gate: str) -> int:
    """Wait for another call."""
    return stay.remote(began, gate)


@app.function()
def write(queue: Any, table: Any, began: str) -> None:
    Path(began).touch()
    with Path(began).with_name("gate").open() as waiting:
        waiting.read()
    table.put("key", "value")
    queue.put("item")


@app.function()
def put_all(queue: Any, n: int) -> int:
    for i in range(n):
        queue.put(i)
    return n


@app.function()
def note(path: str, n: int) -> int:
    with Path(path).open("a") as file:
        file.write(f"{n}\n")
    return 2 * n


@app.function()
def call_all(path: str, n: int) -> list[int]:
    return [note.remote(path, i) for i in range(n)]


@app.function()
def count(n: int) -> Any:
    yield from range(n)


@app.function()
def speak(text: str) -> int:
    print(text)
    return len(text)


@app.function()
def weigh(data: bytes) -> bytes:
    return data[::-1]


@app.function()
def die(code: int) -> None:
    os._exit(code)


@app.function(secrets=[Secret.from_dict({"TOKEN_OF_TEST": "a-secret-value-7431"})])
def tell() -> str:
    print(os.environ["TOKEN_OF_TEST"])
    return os.environ["TOKEN_OF_TEST"]


def devices(began: str, gate: str) -> str | None:
    """The GPUs that this code sees, once it is let go."""
    stay.local(began, gate)
    return os.environ.get("CUDA_VISIBLE_DEVICES")


on_gpu = app.function(gpu=["H100", "T4"], max_containers=4)(devices)


@app.function(gpu="H100")
def see() -> tuple[str | None, str | None]:
    return os.environ.get("CUDA_VISIBLE_DEVICES"), os.environ.get("CUDA_DEVICE_ORDER")


@app.function(gpu="H100", max_containers=2)
def see_below(depth: int) -> str | None:
    """What the innermost of so many calls sees, each of which waits for the next."""
    return see_below.remote(depth - 1) if depth else os.environ.get("CUDA_VISIBLE_DEVICES")


@app.function(gpu_count=2)
def see_two() -> str | None:
    return os.environ.get("CUDA_VISIBLE_DEVICES")


@app.function()
def look_for(name: str) -> str | None:
    return os.environ.get(name)


pry = app.function()(prying.pry)

__all__ = ["Dict", "Queue"]
