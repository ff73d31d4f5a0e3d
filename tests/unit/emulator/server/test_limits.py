"""What a server counts, and how long it waits for anybody."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing

from apothic_backends.model.errors import InvalidOption
from apothic_emulator.core.quotas import Quotas
from apothic_emulator.gateway import paces
from apothic_emulator.server import guard
from apothic_emulator.server.bodies import read_json
from apothic_emulator.server.limits import Limits, read
from apothic_emulator.server.problems import TooSlow

JSON = {"headers": [(b"content-type", b"application/json")]}


def test_limits_and_quotas_are_told_by_name() -> None:
    limits, quotas = read(["connections=5", "jobs=7"])

    assert (limits, quotas) == (Limits(connections=5), Quotas(jobs=7))


@pytest.mark.parametrize("text", ["", "jobs", "jobs=", "jobs=0", "jobs=01", "jobs=²", "x=1"])
def test_what_is_no_limit_is_refused(text: str) -> None:
    with pytest.raises(InvalidOption):
        read([text])


def in_no_time(act: Any) -> float:
    """How long something takes on a clock that jumps."""

    async def timed() -> float:
        began = trio.current_time()
        await act()
        return trio.current_time() - began

    return trio.run(timed, clock=trio.testing.MockClock(autojump_threshold=0))


def test_a_body_that_comes_byte_by_byte_is_not_waited_for() -> None:
    async def one_byte() -> Any:
        await trio.sleep(1)
        return {"type": "http.request", "body": b" ", "more_body": True}

    async def act() -> None:
        with pytest.raises(TooSlow):
            await read_json(dict(JSON), one_byte, 1 << 20)

    assert in_no_time(act) == pytest.approx(paces.PATIENCE_S, abs=0.1)


def test_a_large_body_may_take_its_time() -> None:
    left = [b"[" + b" " * 4095, *[b" " * 4096] * 30, b"]"]

    async def four_seconds() -> Any:
        await trio.sleep(4)
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    async def act() -> None:
        assert await read_json(dict(JSON), four_seconds, 1 << 20) == []

    assert in_no_time(act) == 4 * 32


def test_who_takes_nothing_of_a_response_is_cut_off() -> None:
    cut: list[bool] = []
    scope = {"type": "http", "extensions": {guard.ABORT: lambda: cut.append(True)}}

    async def send(_: Any) -> None:
        await trio.sleep_forever()

    async def act() -> None:
        await guard.Told(send, scope)({"type": "http.response.body", "body": b"x" * (1 << 20)})

    assert in_no_time(act) == guard.WRITE_S + (1 << 20) / guard.LEAST_RATE
    assert cut == [True]
