"""Handles travel as arguments, results, queue items and dict values, alone and inside of others."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from apothic import App, Dict, Job, Queue, RemoteFunction, Volume
from tests.conformance.client import Client, value_of

app = App("travel")


@app.function
def double(number: int) -> int:
    return 2 * number


@dataclass
class Parcel:
    """A class of the user's own with a handle in it."""

    handle: Any
    label: str = "fragile"


def a_dict() -> Any:
    d = Dict.from_name("travelling", create_if_missing=True)
    d.put("answer", 42)
    return d


def a_queue() -> Any:
    queue = Queue.from_name("travelling", create_if_missing=True)
    queue.put_many([42] * len(CONTAINERS))
    return queue


def a_job() -> Any:
    return double.spawn(21)


def a_function() -> Any:
    return double


def a_function_by_name() -> Any:
    double.remote(1)  # so that it is known
    return RemoteFunction.from_name("travel", "double")


def a_volume() -> Any:
    volume = Volume.from_name("travelling", create_if_missing=True)
    volume.put_file(io.BytesIO(b"42"), "/answer", force=True)
    return volume


def use(handle: Any) -> Any:
    """What only a live handle can tell."""
    if isinstance(handle, Dict):
        return handle["answer"]
    if isinstance(handle, Queue):
        item = handle.get(timeout_s=60)
        handle.put(item)
        return item
    if isinstance(handle, Job):
        return handle.wait()
    if isinstance(handle, Volume):
        return int(b"".join(handle.read_file("/answer")))
    return handle.remote(21)


KINDS = {
    "dict": a_dict,
    "queue": a_queue,
    "job": a_job,
    "function": a_function,
    "function by name": a_function_by_name,
    "volume": a_volume,
}

CONTAINERS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "alone": (lambda it: it, lambda it: it),
    "in a list": (lambda it: [1, it], lambda it: it[1]),
    "in a dict": (lambda it: {"k": (it,)}, lambda it: it["k"][0]),
    "in a dataclass": (Parcel, lambda it: it.handle),
}

LIVE = dict.fromkeys(CONTAINERS, 42)


def wrapped(handle: Any) -> dict[str, Any]:
    """A handle in every container."""
    return {name: wrap(handle) for name, (wrap, _) in CONTAINERS.items()}


def used(parcels: dict[str, Any]) -> dict[str, Any]:
    """What the handle in each tells."""
    return {name: use(CONTAINERS[name][1](parcel)) for name, parcel in parcels.items()}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    monkeypatch.setenv("APOTHIC_HOME", str(tmp_path / "home"))
    name: str = request.param
    return name


@app.function
def use_and_return(parcels: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    return used(parcels), parcels


def test_a_handle_is_live_as_an_argument_and_as_a_result(kind: str, client: Client) -> None:
    there, back = use_and_return.remote(wrapped(KINDS[kind]()))

    assert there == LIVE
    assert used(back) == LIVE


@app.function
def take_and_put_back(d: Dict[str, Any]) -> dict[str, Any]:
    parcels = {name: d[name] for name in CONTAINERS}
    d["back"] = parcels
    return used(parcels)


def test_a_handle_is_live_as_the_value_of_a_dict(kind: str, client: Client) -> None:
    with Dict.ephemeral() as d:
        d.update(wrapped(KINDS[kind]()))

        assert take_and_put_back.remote(d) == LIVE
        assert used(d["back"]) == LIVE


@app.function
def take_and_put_on(here: Queue[Any], there: Queue[Any]) -> dict[str, Any]:
    parcels: Any = here.get()
    there.put(parcels)
    return used(parcels)


def test_a_handle_is_live_as_the_item_of_a_queue(kind: str, client: Client) -> None:
    with Queue.ephemeral() as here, Queue.ephemeral() as there:
        here.put(wrapped(KINDS[kind]()))

        assert take_and_put_on.remote(here, there) == LIVE
        back: Any = there.get()
        assert used(back) == LIVE


@app.function
def make_inside(kind: str) -> dict[str, Any]:
    return wrapped(KINDS[kind]())


def test_a_handle_that_a_function_has_made_is_live(kind: str, client: Client) -> None:
    assert used(make_inside.remote(kind)) == LIVE


async def test_a_watch_gives_live_handles(client: Client) -> None:
    d = Dict.from_name("watched", create_if_missing=True)
    watch = d.watch()
    other = Dict.from_name("other", create_if_missing=True)
    await other.put.aio("answer", 42)
    await d.put.aio("a", other)

    given = (await anext(watch)).data["value"]

    assert await given.get.aio("answer") == 42
    f = await client.register(lambda handle: handle["answer"])
    assert value_of(await client.run(f, given)) == 42
