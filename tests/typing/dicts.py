"""What type checkers see of dicts: read by pyright and mypy, never run."""

from __future__ import annotations

from typing import Any, assert_type

from apothic import Dict, Entry, Leader, Lock, Term, Watch

scores: Dict[str, int] = Dict.from_name("scores", create_if_missing=True)


def reads() -> None:
    assert_type(scores["a"], int)
    assert_type(scores.get("a"), int | None)
    assert_type(scores.get("a", 0), int)
    assert_type(scores.get("a", "none"), int | str)
    assert_type(scores.entry("a"), Entry[int] | None)
    assert_type(scores.get_many(["a", "b"]), dict[str, int])
    assert_type(scores.items(), list[tuple[str, int]])
    assert_type(list(scores), list[str])
    assert_type("a" in scores, bool)
    assert_type(scores.watch("a", snapshot=True), Watch)
    assert_type(scores.leader("chief"), Leader | None)
    assert_type(Dict.ephemeral(), Dict[Any, Any])


def writes() -> None:
    assert_type(scores.put("a", 1, if_absent=True), int | None)
    assert_type(scores.pop("a"), int)
    assert_type(scores.pop("a", None), int | None)
    assert_type(scores.update({"a": 1}), int)
    assert_type(scores.update([("a", 1)], fence=3), int)
    assert_type(scores.renew("a", 5), bool)
    with scores.lock("a") as lock:
        assert_type(lock, Lock)
        assert_type(lock.fence, int)
    with scores.elect("chief") as term:
        assert_type(term, Term)
        assert_type(term.number, int)


async def awaited() -> None:
    assert_type(await scores.get.aio("a"), int | None)
    assert_type(await scores.aio.get("a", 0), int)
    assert_type(await scores.aio.pop("a"), int)
    assert_type(await scores.put.aio("a", 1), int | None)
    assert_type(await scores.aio.keys(), list[str])
    assert_type([key async for key in scores], list[str])
    async with scores.lock("a") as lock:
        await lock.check.aio()
    async with scores.elect("chief") as term:
        assert_type(await term.resign.aio(), bool)


def mistakes() -> None:
    scores["a"] = "one"  # type: ignore[assignment]
    scores.put(1, 1)  # type: ignore[arg-type]
