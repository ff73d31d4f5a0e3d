"""What every backend must do about dicts, from the main program and from functions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import anyio
import pytest

from apothic import (
    ArgumentNotSerializable,
    Dict,
    Entry,
    Fenced,
    InvalidOption,
    NotFound,
    UsageError,
    ValueNotLoadable,
    ValueTooLarge,
)
from tests.conformance.client import Client, value_of

Call = Callable[..., Awaitable[Any]]


async def _in_a_thread(method: Any, *args: Any, **options: Any) -> Any:
    return await anyio.to_thread.run_sync(partial(method, *args, **options))


async def _on_the_loop(method: Any, *args: Any, **options: Any) -> Any:
    return await method.aio(*args, **options)


@pytest.fixture(params=["blocking", "asyncio", "trio"])
def way(request: pytest.FixtureRequest) -> str:
    """How methods are called: blocking in a thread, where the loop does not matter, or awaited."""
    name: str = request.param
    return name


@pytest.fixture
def anyio_backend(way: str) -> str:
    """The loop of the test."""
    return "trio" if way == "trio" else "asyncio"


@pytest.fixture
def call(way: str) -> Call:
    """Calls a method that way."""
    return _in_a_thread if way == "blocking" else _on_the_loop


@pytest.fixture
def d(client: Client) -> Dict[Any, Any]:
    """A dict of the backend."""
    return Dict.from_name("scores", create_if_missing=True)


# --- reads and writes ---------------------------------------------------------------------------


async def test_what_is_written_is_read(d: Dict[Any, Any], call: Call) -> None:
    rev = await call(d.put, "a", {"any": ["value"]})

    assert await call(d.get, "a") == {"any": ["value"]}
    assert await call(d.entry, "a") == Entry({"any": ["value"]}, rev)
    assert await call(d.contains, "a")


async def test_what_is_not_there_has_a_default(d: Dict[Any, Any], call: Call) -> None:
    assert await call(d.get, "a") is None
    assert await call(d.get, "a", 5) == 5
    assert await call(d.entry, "a") is None
    assert await call(d.pop, "a", 5) == 5
    assert not await call(d.contains, "a")
    with pytest.raises(KeyError):
        await call(d.pop, "a")


async def test_none_is_a_value(d: Dict[Any, Any], call: Call) -> None:
    await call(d.put, "a", None)

    assert await call(d.get, "a", 5) is None
    assert await call(d.contains, "a")
    assert await call(d.pop, "a", 5) is None


async def test_keys_are_strings_whole_numbers_and_tuples(d: Dict[Any, Any], call: Call) -> None:
    keys = ["a", "", '"', "é\n", 1, -7, "1", ("a", 1), ("a",), (1, "ü", "/")]
    for key in keys:
        await call(d.put, key, key)

    assert await call(d.keys) == keys
    assert await call(d.items) == [(key, key) for key in keys]
    assert await call(d.values) == keys
    assert await call(d.len) == len(keys)


@pytest.mark.parametrize(
    "key", [True, 1.0, None, b"a", (), ("a", True), ["a"], "\ud800", "x" * 2000]
)
async def test_other_keys_are_refused(d: Dict[Any, Any], call: Call, key: object) -> None:
    with pytest.raises(InvalidOption, match="key"):
        await call(d.put, key, 1)


async def test_several_keys_are_written_and_read_together(d: Dict[Any, Any], call: Call) -> None:
    await call(d.update, {"a": 1, "b": 2})
    await call(d.update, [("c", 3)])

    assert await call(d.get_many, ["c", "a", "z"]) == {"c": 3, "a": 1}


async def test_conditions_are_kept(d: Dict[Any, Any], call: Call) -> None:
    first = await call(d.put, "a", 1, if_absent=True)

    assert await call(d.put, "a", 2, if_absent=True) is None
    assert await call(d.put, "a", 2, if_rev=first + 100) is None
    second = await call(d.put, "a", 2, if_rev=first)
    assert second > first
    assert await call(d.pop, "a", None, if_rev=first) is None
    assert await call(d.pop, "a", if_rev=second) == 2


async def test_two_conditions_are_refused(d: Dict[Any, Any], call: Call) -> None:
    with pytest.raises(UsageError, match="two conditions"):
        await call(d.put, "a", 1, if_absent=True, if_rev=3)


async def test_clearing_and_deleting_empty_a_dict(d: Dict[Any, Any], call: Call) -> None:
    await call(d.update, {"a": 1, "b": 2})

    assert await call(d.clear) == 2
    assert await call(d.delete)
    assert not await call(d.delete)


async def test_a_dict_that_nobody_made_is_not_found(d: Dict[Any, Any], call: Call) -> None:
    await call(d.put, "a", 1)

    with pytest.raises(NotFound, match="there are: scores"):
        await call(Dict.from_name("others").get, "a")


async def test_a_value_that_is_too_large_is_refused(d: Dict[Any, Any], call: Call) -> None:
    with pytest.raises(ValueTooLarge, match=r"scores\['a'\]"):
        await call(d.put, "a", bytes(1 << 20))


async def test_a_value_that_cannot_be_pickled_is_named(d: Dict[Any, Any], call: Call) -> None:
    with pytest.raises(ArgumentNotSerializable, match=r"value\['x'\] is a generator"):
        await call(d.put, "a", {"x": (i for i in ())})


class Unloadable:
    def __reduce__(self) -> Any:
        return (int, ("no number",))


async def test_a_value_that_cannot_be_rebuilt_is_still_there(d: Dict[Any, Any], call: Call) -> None:
    await call(d.put, "a", Unloadable())

    with pytest.raises(ValueNotLoadable, match=r"scores\['a'\].*ValueError"):
        await call(d.get, "a")
    assert await call(d.keys) == ["a"]


async def test_an_ephemeral_dict_ends_with_its_block(client: Client) -> None:
    async with Dict.ephemeral() as d:
        await d.put.aio("a", 1)
        assert await d.get.aio("a") == 1
        assert [key async for key in d] == ["a"]
    assert not await d.delete.aio()


def test_a_dict_can_be_used_as_dicts_are(client: Client) -> None:
    with Dict.ephemeral() as d:
        d["a"] = 1
        d["b"] = 2
        del d["b"]

        assert (d["a"], len(d), list(d)) == (1, 1, ["a"])
        assert "a" in d
        assert "b" not in d
        with pytest.raises(KeyError, match="b"):
            d["b"]
        with pytest.raises(KeyError, match="b"):
            del d["b"]


async def test_two_handles_of_a_name_are_one_dict(d: Dict[Any, Any], call: Call) -> None:
    await call(d.put, "a", 1)
    other = Dict.from_name("scores")

    assert (other, hash(other)) == (d, hash(d))
    assert await call(other.get, "a") == 1


@pytest.mark.parametrize("name", ["", "a/b", "~a", 7])
def test_what_cannot_be_a_name_is_refused(name: Any) -> None:
    with pytest.raises(InvalidOption, match="name"):
        Dict.from_name(name)


@pytest.mark.parametrize("name", [None, 7, ["a"], ""])
def test_nothing_is_asked_of_a_dict_whose_name_is_no_text(name: Any) -> None:
    with pytest.raises(InvalidOption, match="name"):
        Dict(name, create_if_missing=True)


# --- in functions -------------------------------------------------------------------------------


def write_inside(d: Dict[str, Any]) -> Dict[str, Any]:
    d["given"] = d.get("here", 0) + 1
    d.put("self", d)
    with d.lock("l") as lock:
        d.put("guarded", True, fence=lock.fence)
    return d


async def write_inside_a_task(d: Dict[str, Any]) -> Dict[str, Any]:
    await d.put.aio("given", (await d.aio.get("here", 0)) + 1)
    await d.put.aio("self", d)
    async with d.lock("l") as lock:
        await d.put.aio("guarded", True, fence=lock.fence)
    return d


@pytest.mark.parametrize("function", [write_inside, write_inside_a_task])
async def test_functions_share_the_dict(
    client: Client, d: Dict[Any, Any], function: Callable[..., Any]
) -> None:
    await d.put.aio("here", 1)
    f = await client.register(function, is_async=function is write_inside_a_task)

    back = value_of(await client.run(f, d))

    assert back == d
    assert await back.get.aio("given") == 2
    assert await (await back.get.aio("self")).get.aio("guarded")


def add_one(d: Dict[str, int], times: int) -> int:
    tries = 0
    for _ in range(times):
        while True:
            tries += 1
            entry = d.entry("n")
            value, rev = (entry.value, entry.rev) if entry is not None else (0, 0)
            if d.put("n", value + 1, if_rev=rev):
                break
    return tries


async def test_no_increment_is_lost_among_workers(client: Client, d: Dict[Any, Any]) -> None:
    f = await client.register(add_one)
    jobs = [await client.submit(f, d, 25) for _ in range(4)]
    for job in jobs:
        value_of(await client.wait(job))

    assert await d.get.aio("n") == 100


# --- leases -------------------------------------------------------------------------------------


async def test_a_key_with_a_lease_goes_by_itself(d: Dict[Any, Any], call: Call) -> None:
    watch = d.watch("a")
    await call(d.put, "a", 1, lease_s=1)
    assert (await call(d.entry, "a")).lease_s == 1.0
    ops: list[str] = []
    async for event in watch:
        ops.append(event.data["op"])
        if len(ops) == 2:
            break

    assert ops == ["put", "expired"]
    assert not await call(d.renew, "a", 1)


async def test_a_renewed_key_stays(d: Dict[Any, Any], call: Call) -> None:
    rev = await call(d.put, "a", 1, lease_s=1)

    assert await call(d.renew, "a", 1000, if_rev=rev)
    assert (await call(d.entry, "a")).lease_s == 1000.0


@pytest.mark.parametrize("lease_s", [0, 0.5, 50_000, "1", True])
async def test_a_lease_out_of_range_is_refused(
    d: Dict[Any, Any], call: Call, lease_s: object
) -> None:
    with pytest.raises(InvalidOption, match="lease_s must be a number from 1 to 43200"):
        await call(d.put, "a", 1, lease_s=lease_s)


# --- watches ------------------------------------------------------------------------------------


async def test_a_watch_can_rebuild_the_dict(d: Dict[Any, Any]) -> None:
    await d.put.aio("a", 1)
    await d.put.aio(("b", 1), 2)
    mirror: dict[Any, Any] = {}
    watch = d.watch(snapshot=True)
    await d.put.aio("c", [3])
    await d.pop.aio("a")
    await d.put.aio(("b", 1), {"now": 4})
    await d.put.aio("end", True)
    async for event in watch:
        if event.event == "dict.snapshot":
            mirror = {key: entry.value for key, entry in event.data["entries"].items()}
        elif event.data["op"] == "put":
            mirror[event.data["key"]] = event.data["value"]
        else:
            del mirror[event.data["key"]]
        if "end" in mirror:
            break

    assert mirror == dict(await d.items.aio())


async def test_a_watch_chooses_a_key_or_a_prefix(d: Dict[Any, Any]) -> None:
    one, begin, parts = d.watch("b"), d.watch(prefix="b"), d.watch(prefix=("b",))
    for key in ("a", "b", "bc", ("b", 1), ("bb", 1), ("b",)):
        await d.put.aio(key, key)
    await d.clear.aio()  # is about no key, so everybody hears of it

    async def keys(watch: Any) -> list[Any]:
        found: list[Any] = []
        async for event in watch:
            if event.data["op"] == "cleared":
                break
            found.append(event.data["key"])
        return found

    assert [await keys(watch) for watch in (one, begin, parts)] == [["b"], ["b", "bc"], [("b", 1)]]


async def test_a_watch_begins_after_an_event_of_another(d: Dict[Any, Any]) -> None:
    first = d.watch()
    for value in range(3):
        await d.put.aio("a", value)
    event = await anext(first)
    again = d.watch(after=event.cursor)

    assert [(await anext(again)).data["value"] for _ in range(2)] == [1, 2]


async def test_a_watch_of_what_is_not_there_is_refused(client: Client) -> None:
    with pytest.raises(NotFound, match="no dict 'missing'"):
        await anext(Dict.from_name("missing").watch())


async def test_a_watcher_hears_of_the_end(d: Dict[Any, Any]) -> None:
    await d.put.aio("a", 1)
    watch = d.watch("a")
    await d.delete.aio()

    assert (await anext(watch)).event == "dict.deleted"


def test_a_watch_can_be_read_blocking(client: Client) -> None:
    with Dict.ephemeral() as d, d.watch() as watch:
        d["a"] = 1

        assert next(watch).data["value"] == 1


def test_a_watch_chooses_in_one_way(client: Client) -> None:
    with Dict.ephemeral() as d, pytest.raises(UsageError, match="keep one"):
        d.watch("a", prefix="b")


async def test_a_value_that_cannot_be_rebuilt_is_told_as_such(d: Dict[Any, Any]) -> None:
    watch = d.watch()
    await d.put.aio("a", Unloadable())

    told = (await anext(watch)).data

    assert (told["error"]["code"], "value" in told) == ("value_not_loadable", False)


# --- fences -------------------------------------------------------------------------------------


async def test_a_write_with_an_old_fence_is_refused(d: Dict[Any, Any], call: Call) -> None:
    async with d.lock("a") as lock:
        fence = lock.fence
        await call(d.put, "a", 1, fence=fence)

    with pytest.raises(Fenced, match="is not held any more"):
        await call(d.put, "a", 2, fence=fence)
    with pytest.raises(Fenced):
        await call(d.update, {"a": 2}, fence=fence)
    with pytest.raises(Fenced):
        await call(d.pop, "a", fence=fence)
    assert await call(d.get, "a") == 1
