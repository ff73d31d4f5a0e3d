"""How much an account may have: refused beyond it, or waiting for room; and free again after."""

from __future__ import annotations

from typing import Any

import pytest

from apothic_backends.commands import ReadEvents, RegisterFunction, RunJob, SubmitJob, WaitJob
from apothic_backends.commands.dicts import ClearDict, DeleteDict, PutKey, UpdateKeys
from apothic_backends.commands.queues import OpenQueue, TakeItems
from apothic_backends.model.errors import OverLimit, QueueFull
from apothic_backends.model.functions import FunctionSpec
from apothic_backends.model.images import ImageSpec
from apothic_backends.model.payloads import Payload
from apothic_emulator.core.facts import GivenUp
from apothic_emulator.core.jobs import Job
from apothic_emulator.core.journal import Journal
from apothic_emulator.core.plane import Plane
from apothic_emulator.core.quotas import Quotas
from tests.unit.emulator.core.dict_driving import DictDriver
from tests.unit.emulator.core.driving import Driver


class Small(Driver):
    """An account that may have little."""

    def __init__(self, **quotas: int) -> None:
        self.quotas = Quotas(**quotas)
        super().__init__()

    def new_plane(self, wall_offset: float) -> Plane:
        return Plane("here", wall_offset, quotas=self.quotas)


class SmallDicts(DictDriver):
    """The same, with a dict `d`, and records."""

    def __init__(self, **quotas: int) -> None:
        self.quotas = Quotas(**quotas)
        super().__init__()

    def new_plane(self, wall_offset: float) -> Plane:
        return Plane("here", wall_offset, journal=Journal(), quotas=self.quotas)


def put(key: str, value: str = "v", name: str = "d", **how: Any) -> PutKey:
    return PutKey(name, key, Payload(value.encode()), create=True, **how)


def update(**values: str) -> UpdateKeys:
    payloads = tuple(Payload(value.encode()) for value in values.values())
    return UpdateKeys("d", tuple(f'"{key}"' for key in values), payloads, create=True)


# --- jobs -----------------------------------------------------------------------------------------


def test_jobs_of_all_functions_together_are_bounded() -> None:
    driver = Small(jobs=2)
    other = driver.register("other")
    driver.submit_many(3)  # one of them is dispatched, and waits no more

    with pytest.raises(QueueFull, match="2 jobs of all functions"):
        driver.ask(SubmitJob(other, Payload(b"")))


def test_whoever_waits_for_room_gets_it_when_a_job_begins() -> None:
    driver = Small(jobs=2)
    first = driver.ran()
    driver.submit_many(2)
    token = driver.start(SubmitJob(driver.function, Payload(b""), wait_for_room=True))
    assert token not in driver.answers

    driver.report(first)

    assert token in driver.answers


def test_what_runs_may_call_others_though_too_many_wait() -> None:
    driver = Small(jobs=2)
    inside = driver.inside(driver.ran())
    driver.submit_many(2)
    other = driver.register("other", max_containers=1)
    driver.start(SubmitJob(other, Payload(b""), wait_for_room=True))

    assert driver.submit(other, inside)
    driver.start(RunJob(other, Payload(b"")), inside)
    assert [job.status.value for job in driver.plane.ledger.jobs.values()].count("queued") == 3


def test_what_runs_is_refused_and_never_waits_where_far_too_many_do() -> None:
    driver = Small(jobs=2)
    inside = driver.inside(driver.ran())
    driver.submit_many(2)
    for _ in range(2):
        driver.submit(origin=inside)

    with pytest.raises(QueueFull):
        driver.ask(SubmitJob(driver.function, Payload(b""), wait_for_room=True), inside)


def test_jobs_that_have_ended_do_not_count() -> None:
    driver = Small(jobs=1)
    for _ in range(5):
        driver.report(driver.ran())

    driver.submit()


def test_arguments_are_bounded_by_their_bytes() -> None:
    driver = Small(bytes=10 << 20)
    driver.ask(SubmitJob(driver.function, Payload(bytes(11 << 20))))

    with pytest.raises(QueueFull, match="10 MiB of arguments"):
        driver.submit()


def test_functions_are_bounded() -> None:
    driver = Small(functions=2)
    driver.register("g")

    with pytest.raises(OverLimit, match="2 functions") as refused:
        driver.register("h")
    driver.ask(RegisterFunction(FunctionSpec("app", "g"), Payload(b"g")))  # which is known
    assert refused.value.data["limit"] == "functions"


# --- those who wait -------------------------------------------------------------------------------


WAITING = {
    "events": ReadEvents("jobs"),
    "items": TakeItems("q"),
    "a result": WaitJob("jobs:1"),
    "room": SubmitJob("functions:1", Payload(b""), wait_for_room=True),
}


@pytest.mark.parametrize("what", WAITING)
def test_replies_that_are_owed_are_bounded(what: str) -> None:
    driver = Small(waits=2, jobs=1)
    driver.ask(OpenQueue("q"))
    driver.submit_many(2)
    token = driver.start(ReadEvents("apps:a"))
    driver.start(ReadEvents("apps:app"))

    with pytest.raises(OverLimit, match="2 requests wait") as refused:
        driver.ask(WAITING[what])
    driver.step(GivenUp(token))

    assert refused.value.data["limit"] == "waits"
    assert driver.start(WAITING[what]) not in driver.answers


def test_whoever_runs_a_job_is_bounded_by_the_jobs() -> None:
    driver = Small(waits=1)
    tokens = [driver.start(RunJob(driver.function, Payload(b""))) for _ in range(3)]

    assert [token for token in tokens if token in driver.answers] == []


# --- queues and dicts -----------------------------------------------------------------------------


def test_queues_are_bounded() -> None:
    driver = Small(queues=1)
    driver.ask(OpenQueue("q"))
    driver.ask(OpenQueue("q"))

    with pytest.raises(OverLimit, match="1 queues"):
        driver.ask(OpenQueue("r"))


def test_dicts_are_bounded() -> None:
    driver = SmallDicts(dicts=1)
    driver.ask(put('"k"'))

    with pytest.raises(OverLimit, match="1 dicts"):
        driver.ask(put('"k"', name="e"))
    driver.ask(DeleteDict("d"))
    driver.ask(put('"k"', name="e"))


def test_keys_are_bounded_over_all_dicts() -> None:
    driver = SmallDicts(keys=2)
    driver.ask(put('"a"'))
    driver.ask(put('"a"', name="e"))

    with pytest.raises(OverLimit, match="2 keys") as refused:
        driver.ask(put('"b"'))
    driver.ask(put('"a"', "another"))  # in the place of one

    assert refused.value.data["limit"] == "keys"
    assert driver.entry('"b"') is None


def test_several_keys_are_written_together_or_not_at_all() -> None:
    driver = SmallDicts(keys=2)
    driver.ask(update(a="1"))

    with pytest.raises(OverLimit):
        driver.ask(update(a="2", b="2", c="2"))

    assert driver.value('"a"') == "1"
    driver.ask(update(a="2", b="2"))


FREED = {
    "popped": lambda it: it.pop('"a"'),
    "cleared": lambda it: it.ask(ClearDict("d")),
    "deleted": lambda it: it.ask(DeleteDict("d")),
    "expired": lambda it: it.pass_s(10),
    "overwritten": lambda it: it.ask(put('"a"', "")),
}


@pytest.mark.parametrize("how", FREED)
def test_what_is_gone_makes_room(how: str) -> None:
    driver = SmallDicts(bytes=10)
    driver.ask(put('"a"', "x" * 8, lease_s=5.0))
    with pytest.raises(OverLimit, match="values of all dicts"):
        driver.ask(put('"b"', "x" * 8))

    FREED[how](driver)

    driver.ask(put('"b"', "x" * 8))


def test_what_was_kept_counts_after_a_restart() -> None:
    driver = SmallDicts(keys=1)
    driver.ask(put('"a"'))
    driver.restart()
    driver.plane.ledger.quotas = driver.quotas

    with pytest.raises(OverLimit):
        driver.ask(put('"b"'))


def test_what_is_more_than_may_be_can_become_less() -> None:
    driver = SmallDicts()
    driver.ask(put('"a"', "x" * 100))
    driver.plane.ledger.quotas = Quotas(bytes=10)

    driver.ask(put('"a"', "x" * 50))


def test_jobs_in_line_are_not_waiting() -> None:
    driver = Driver()
    driver.ran()
    jobs: list[Job] = list(driver.plane.ledger.jobs.values())

    assert [job.status.value for job in jobs] == ["running"]
    assert driver.plane.ledger.waiting == 0


def test_the_archives_that_functions_cannot_run_without_are_known() -> None:
    driver = Driver()
    driver.register("f", source="1" * 64)
    driver.register("g", source="2" * 64)
    driver.register("h", image=ImageSpec(base="a", context="3" * 64))
    driver.register("i", image=ImageSpec(base="a"))

    assert driver.plane.registry.archives() == {"1" * 64, "2" * 64, "3" * 64}
