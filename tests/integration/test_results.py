"""How long results are kept in the caller's process. No collection runs: nothing waits for one."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from apothic import Function
from apothic_backends.model.payloads import Payload
from tests.integration.support import wait_until

Run = Function[..., Any]
MB = 1 << 20


_of_others: list[Payload] = []
"""What tests before this one have left: the traceback of one that failed is kept, for instance."""


@pytest.fixture(autouse=True)
def _no_collection() -> Iterator[None]:
    gc.collect()
    _of_others[:] = all_large_payloads()
    gc.disable()
    yield
    gc.enable()
    _of_others.clear()


def all_large_payloads() -> list[Payload]:
    return [x for x in gc.get_objects() if type(x) is Payload and x.nbytes > MB // 2]


def large_payloads() -> list[Payload]:
    known = {id(x) for x in _of_others}
    return [x for x in all_large_payloads() if id(x) not in known]


def wait_for_a_result(run: Run) -> None:
    assert len(run.spawn(bytes, MB).wait()) == MB


def wait_twice(run: Run) -> None:
    job = run.spawn(bytes, MB)
    job.wait()
    job.wait()


def call(run: Run) -> None:
    assert len(run.remote(bytes, MB)) == MB


def call_many(run: Run) -> None:
    assert [len(x) for x in run.map([lambda: bytes(MB)] * 8)] == [MB] * 8


def await_one(run: Run) -> None:
    async def main() -> None:
        assert len(await run.remote.aio(bytes, MB)) == MB

    asyncio.run(main())


def forget(run: Run) -> None:
    run.spawn(bytes, MB)
    run.remote(lambda: None)  # the only worker has done both


@pytest.mark.parametrize("use", [wait_for_a_result, wait_twice, call, call_many, await_one, forget])
def test_a_result_goes_with_the_last_who_can_ask_for_it(
    run: Run, use: Callable[[Run], None]
) -> None:
    use(run)

    wait_until(lambda: not large_payloads(), "for the result to go")


def test_a_result_stays_while_its_handle_does(run: Run) -> None:
    job = run.spawn(bytes, MB)
    job.wait()

    assert len(large_payloads()) == 1
    assert len(job.wait()) == MB


def test_arguments_go_when_the_job_has_ended(run: Run) -> None:
    job = run.spawn(len, bytes(MB))

    assert job.wait() == MB
    wait_until(lambda: not large_payloads(), "for the arguments to go")
