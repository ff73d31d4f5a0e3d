"""Objects that live elsewhere: shared or with a name, their state, their hooks, and their ends."""

from __future__ import annotations

import asyncio
import enum
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from apothic import (
    App,
    Cls,
    Dict,
    InstanceConflict,
    InstanceDead,
    InstanceGone,
    Job,
    SlotDeadlock,
    UsageError,
    WorkerLost,
    batched,
    concurrent,
    enter,
    exit,  # noqa: A004 - its public name
    method,
)
from tests.conformance.client import Client, Gate

app = App("instances")


@app.cls(max_pending_tasks=500)
class Tally:
    """Adds up, and tells of its life in a dict."""

    def __init__(self, start: int = 0, step: int = 1) -> None:
        self.value = start
        self.step = step
        self.told: list[str] = []

    @enter()
    async def enter_late(self) -> None:
        """The second to be entered."""
        await asyncio.sleep(0)
        self.told.append("late")

    @enter()
    def enter_first(self) -> None:
        """The first."""
        self.told.append("first")

    @exit()
    def tell_end(self) -> None:
        """Leave the last value behind."""
        Dict.from_name("ends", create_if_missing=True)[f"tally-{self.value}"] = self.told

    @method()
    def add(self, times: int = 1) -> int:
        """Add, and give the sum."""
        self.value += self.step * times
        return self.value

    @method()
    async def add_soon(self, times: int = 1) -> int:
        """The same on a loop."""
        await asyncio.sleep(0)
        return self.add(times)

    @method()
    def history(self) -> list[str]:
        """How it was entered."""
        return self.told

    @method()
    def count(self, most: int) -> Iterator[int]:
        """Count on from where it is."""
        for i in range(most):
            yield self.value + i

    @method()
    async def count_soon(self, most: int) -> AsyncIterator[int]:
        """The same on a loop."""
        for i in range(most):
            await asyncio.sleep(0)
            yield self.value + i

    @method()
    def fail(self) -> None:
        """Raise."""
        raise LookupError(self.value)


def test_an_instance_with_a_name_keeps_its_state_between_calls(client: Client) -> None:
    visits = Tally.named("visits", 10)
    assert [visits.add.remote(), visits.add.remote(5), visits.add_soon.remote()] == [11, 16, 17]


def test_calls_of_a_named_instance_run_in_the_order_in_which_they_were_made(client: Client) -> None:
    tally = Tally.named("ordered")
    jobs = [tally.add.spawn() for _ in range(50)]
    assert Job.gather(*jobs) == [*range(1, 51)]


def test_a_map_over_a_named_instance_keeps_the_order_of_its_items(client: Client) -> None:
    assert Tally.named("mapped").add.map([1] * 20) == [*range(1, 21)]


def test_hooks_run_once_before_the_first_call_those_that_are_async_last(client: Client) -> None:
    tally = Tally.named("entered")
    tally.add.remote()
    assert tally.history.remote() == ["first", "late"]


def test_exit_hooks_run_when_an_instance_is_stopped(client: Client) -> None:
    Tally.named("ending", 41).add.remote()
    Tally.stop("ending")
    assert Dict.from_name("ends")["tally-42"] == ["first", "late"]


def test_methods_that_yield_give_items(client: Client) -> None:
    tally = Tally.named("yields", 7)
    assert [*tally.count.remote_gen(3)] == [7, 8, 9]
    assert [*tally.count_soon.remote_gen(3)] == [7, 8, 9]


def test_what_a_method_raises_arrives_and_the_state_stays(client: Client) -> None:
    tally = Tally.named("raises", 3)
    with pytest.raises(LookupError, match="3"):
        tally.fail.remote()
    assert tally.add.remote() == 4


def test_a_handle_that_has_travelled_means_the_same_instance(client: Client) -> None:
    tally = Tally.named("travels", 1)
    tally.add.remote()
    assert use.remote(tally) == 3
    assert tally.add.remote() == 4


@app.function
def use(tally: Any) -> int:
    """Call a method from inside of a worker."""
    return tally.add.remote()


def test_a_name_is_taken_by_its_arguments(client: Client) -> None:
    Tally.named("taken", 1).add.remote()
    with pytest.raises(InstanceConflict, match="taken"):
        Tally.named("taken", 2).add.remote()
    assert Tally.get("taken").add.remote() == 3


def test_what_nobody_has_made_cannot_be_got(client: Client) -> None:
    with pytest.raises(UsageError, match="no Tally 'nobody'"):
        Tally.get("nobody").add.remote()


def test_a_stopped_instance_is_made_anew_by_the_next_call(client: Client) -> None:
    tally = Tally.named("again", 5)
    assert tally.add.remote() == 6
    Tally.stop("again")
    assert tally.add.remote() == 6


def test_stopping_what_is_not_there_is_told(client: Client) -> None:
    with pytest.raises(InstanceGone, match="nothing"):
        Tally.stop("nothing")


def test_a_restart_forgets_the_state_and_nothing_else(client: Client) -> None:
    tally = Tally.named("restarted", 5)
    tally.add.remote()
    Tally.restart("restarted")
    assert tally.add.remote() == 6


def test_the_same_arguments_are_one_instance_and_others_another(client: Client) -> None:
    assert [Tally(100).add.remote(), Tally(start=100).add.remote()] == [101, 102]
    assert Tally(100, step=2).add.remote() == 102
    keys = {it.key for it in Tally.instances()}
    assert {"(start=100, step=1)", "(start=100, step=2)"} <= keys


def test_a_class_is_found_by_its_names(client: Client) -> None:
    Tally.named("found", 1).add.remote()
    assert Cls.from_name("instances", "Tally").named("found", 1).add.remote() == 3


async def test_its_methods_can_be_awaited(client: Client) -> None:
    tally = Tally.named("awaited")
    assert await tally.add.remote.aio() == 1
    assert [item async for item in tally.count.remote_gen.aio(2)] == [1, 2]
    await Tally.aio.stop("awaited")


def test_jobs_of_methods_are_told_apart(client: Client) -> None:
    job = Tally.named("told").add.spawn()
    events = [event for event in job.watch() if event.event == "job.queued"]
    assert events[0].data["function_name"] == "Tally.add"


@app.cls(max_pending_tasks=2000)
@concurrent(max_inputs=20)
class Meeting:
    """Takes many calls at once."""

    def __init__(self) -> None:
        self.together = asyncio.Event()
        self.here = 0

    @method()
    async def meet(self, others: int) -> int:
        """Wait until so many are here."""
        self.here += 1
        if self.here >= others:
            self.together.set()
        await self.together.wait()
        return os.getpid()


def test_concurrent_calls_share_one_object(client: Client) -> None:
    meeting = Meeting.named("meeting")
    jobs = [meeting.meet.spawn(10) for _ in range(10)]
    assert len(set(Job.gather(*jobs))) == 1


@app.cls
class Batcher:
    """Takes its inputs together."""

    def __init__(self, offset: int = 0) -> None:
        self.offset = offset

    @method()
    @batched(max_batch_size=4, wait_ms=50)
    def square(self, number: list[int]) -> list[int]:
        """Squares, and how many came together."""
        return [n * n + self.offset for n in number]


def test_a_batched_method_gets_lists(client: Client) -> None:
    assert Batcher(1).square.map(range(8)) == [n * n + 1 for n in range(8)]


class Colour(enum.Enum):
    """For a constructor."""

    RED = 1


@dataclass(frozen=True)
class Point:
    """The same."""

    x: int
    y: float = 0.5


@app.cls
class Annotated:
    """Has no constructor, but annotations."""

    name: str
    size: float = 1.0
    raw: bytes = b"\x00"
    colour: Colour = Colour.RED
    at: Point = Point(1)

    @method()
    def all(self) -> tuple[Any, ...]:
        """What it was made with."""
        return self.name, self.size, self.raw, self.colour.name, self.at.x


def test_annotated_parameters_are_those_of_the_constructor(client: Client) -> None:
    made: Any = Annotated
    assert made("a", at=Point(2)).all.remote() == ("a", 1.0, b"\x00", "RED", 2)
    with pytest.raises(UsageError, match="needs name"):
        made().all.remote()
    with pytest.raises(UsageError, match=r"size of Annotated\(\) must be float"):
        made("a", size="large").all.remote()


@app.cls
class Fragile:
    """May be made to die."""

    def __init__(self) -> None:
        self.calls = 0

    @method()
    def call(self) -> int:
        """How many calls there were."""
        self.calls += 1
        return self.calls

    @method()
    def die(self) -> None:
        """End the process."""
        os._exit(3)

    @method()
    def hold(self, path: str) -> str:
        """Work until the test lets it go."""
        with Path(path).open("rb", buffering=0) as fifo:
            fifo.read(1)
        return "done"


@pytest.mark.needs("processes")
def test_a_named_instance_whose_process_was_lost_is_dead(client: Client) -> None:
    fragile = Fragile.named("mortal")
    with pytest.raises(WorkerLost, match="exited with code 3"):
        fragile.die.remote()
    with pytest.raises(InstanceDead, match="exited with code 3"):
        fragile.call.remote()
    assert [it.status for it in Fragile.instances()] == ["dead"]
    Fragile.restart("mortal")
    assert fragile.call.remote() == 1


@pytest.mark.needs("processes")
def test_calls_that_wait_for_an_instance_that_dies_are_told(client: Client, gate: Gate) -> None:
    fragile = Fragile.named("doomed")
    first = fragile.hold.spawn(gate.path)
    jobs = [fragile.die.spawn(), fragile.call.spawn()]
    gate.let_go()
    assert first.wait() == "done"
    with pytest.raises(WorkerLost):
        jobs[0].wait()
    with pytest.raises(InstanceDead):
        jobs[1].wait()


@pytest.mark.needs("processes")
def test_max_restarts_makes_it_again_without_its_state(client: Client) -> None:
    fragile = Fragile.with_options(max_restarts=1).named("phoenix")
    assert fragile.call.remote() == 1
    with pytest.raises(WorkerLost):
        fragile.die.remote()
    assert fragile.call.remote() == 1
    with pytest.raises(WorkerLost):
        fragile.die.remote()
    with pytest.raises(InstanceDead):
        fragile.call.remote()


@pytest.mark.needs("processes")
def test_shared_instances_come_back_by_themselves(client: Client) -> None:
    fragile = Fragile()
    with pytest.raises(WorkerLost):
        fragile.die.remote()
    assert fragile.call.remote() == 1


@pytest.mark.needs("processes")
def test_a_name_has_one_process_whatever_takes_its_place(client: Client, gate: Gate) -> None:
    fragile = Fragile.named("single")
    working = fragile.hold.spawn(gate.path)
    while working.status().value != "running":
        pass
    Fragile.stop("single", wait=False)
    after = fragile.call.spawn()
    assert after.status().value == "queued"
    gate.let_go()
    assert (working.wait(), after.wait()) == ("done", 1)


@app.cls
class Caller:
    """Calls an object by its handle."""

    @method()
    def call(self, other: Any) -> int:
        """Wait for a method of that."""
        return other.call.remote(other)


@pytest.mark.needs("processes")
def test_an_object_that_waits_for_itself_is_told_so(client: Client) -> None:
    caller = Caller.named("itself")
    with pytest.raises(SlotDeadlock, match=r"Caller\.call"):
        caller.call.remote(caller)
