"""A server whose state was put back from a copy gives nothing a number that it had given."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.server.served import Served, served
from tests.server.test_serving import refused

MARK = 1_000_000_000_000
"""Numbers above this are of a state that was put back."""


def place(home: Path) -> Path:
    return home / "state"


def start(home: Path, *options: str) -> Any:
    return served(home, "--no-agent", *options, state=f"sqlite:{place(home)}")


def function(server: Served) -> str:
    spec, code = {"app_name": "a", "name": "f"}, {"codec": "ref", "data": "builtins:int"}
    return str(server.reply("register-function", spec=spec, code=code))


def job(server: Served) -> int:
    told = server.reply("submit-job", function_id=function(server), arguments={"data": {}})
    return int(told.partition(":")[2])


def lock(server: Served) -> int:
    fields = {"name": "d", "kind": "lock", "key": "k", "create": True, "lease_s": 60.0}
    fields |= {"holder": "h", "candidate": "c", "timeout_s": 0}
    fence = server.reply("acquire-lock", **fields)
    assert isinstance(fence, int)
    server.reply("release-lock", name="d", kind="lock", key="k", holder="h")
    return fence


def copied(home: Path, work: Callable[[Served], object]) -> Path:
    """A copy of the state of a server that has done some work, and has done more since."""
    copy = home / "copy"
    with start(home) as server:
        work(server)
    shutil.copytree(place(home), copy)
    with start(home) as server:
        work(server)
        work(server)
    return copy


def put_back(home: Path, copy: Path) -> None:
    shutil.rmtree(place(home))
    shutil.copytree(copy, place(home))


@pytest.mark.parametrize("work", [job, lock])
def test_a_copy_is_noticed_and_its_numbers_are_not_given_again(
    home: Path, work: Callable[[Served], int]
) -> None:
    given: list[int] = []
    copy = copied(home, lambda server: given.append(work(server)))
    assert max(given) < MARK

    put_back(home, copy)
    with start(home) as server:
        given.append(work(server))
    put_back(home, copy)
    with start(home) as server:
        given.append(work(server))

    assert len({*given}) == 5
    assert MARK < given[3] < given[4]


def test_a_server_that_was_killed_goes_on_with_the_numbers_that_follow(home: Path) -> None:
    with start(home) as server:
        lock(server)
        server.kill()

    with start(home) as server:
        assert job(server) < MARK
        assert lock(server) < MARK


def test_a_copy_of_the_file_alone_is_refused_until_it_is_said_that_it_is_one(home: Path) -> None:
    copy = copied(home, job)
    below = Path("accounts") / "default" / "state.db"
    shutil.copy(copy / below, place(home) / below)
    options = ("--no-agent", "--state", f"sqlite:{place(home)}")
    assert "apothic serve --restored" in refused(home, *options)

    with start(home, "--restored") as server:
        assert job(server) > MARK


def test_what_is_put_back_with_all_that_knows_of_it_has_to_be_said(home: Path) -> None:
    with start(home) as server:
        before = lock(server)
    shutil.copytree(home / "server", home / "copied")
    shutil.copytree(place(home), home / "copy")
    shutil.rmtree(home / "server")
    shutil.copytree(home / "copied", home / "server")

    with start(home, "--restored") as server:
        after = lock(server)

    assert before < MARK < after


def test_a_watch_from_before_is_told_to_begin_anew(home: Path) -> None:
    with start(home) as server:
        server.reply("open-queue", queue="q")
        before = server.reply("read-events", topic="queues:q", limit=0)["cursor"]
    shutil.copytree(place(home), home / "copy")
    put_back(home, home / "copy")

    with start(home, "--restored") as server:
        told = server.reply("read-events", topic="queues:q", after=before)

    assert told["events"][0]["event"] == "stream.reset"
    assert told["events"][0]["data"]["reason"] == "epoch_changed"
