"""A state that is put back from a copy: what was given since is given to nothing else."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest

from apothic_backends.commands import SubmitJob
from apothic_backends.commands.deployments import Deploy
from apothic_backends.commands.dicts import AcquireLock, PutKey
from apothic_backends.commands.queues import ClaimItems, OpenQueue, PeekItems
from apothic_backends.model.deployments import DeployedFunction
from apothic_backends.model.errors import Fenced, JobGone
from apothic_backends.model.functions import FunctionSpec
from apothic_backends.model.payloads import EMPTY_CALL, Payload
from apothic_emulator.core.facts import Reported
from apothic_emulator.core.floors import PUT_BACK
from apothic_emulator.core.hellos import BEGUN, HeldExecutor, HeldJob
from tests.unit.emulator.core.agents import LARGE, Far
from tests.unit.emulator.core.driving import RESULT
from tests.unit.emulator.core.queueing import put
from tests.unit.emulator.core.restarting import Restarting

_fresh = count()


class Copied(Restarting):
    """A control plane of which a copy was made."""

    def __init__(self, **how: Any) -> None:
        super().__init__(**how)
        self.copy = dict(self.records)

    def put_back(self) -> None:
        """The copy takes the place of the state, and somebody sees that."""
        self.records = {**self.copy, PUT_BACK: b"1"}
        self.restart()


class CopiedFar(Far):
    """The same, with agents."""

    def copied(self) -> None:
        self.copy = dict(self.records)

    def put_back(self, *, is_seen: bool = True) -> None:
        self.records = {**self.copy, PUT_BACK: b"1"} if is_seen else dict(self.copy)
        self.restart()


def lock(holder: str) -> AcquireLock:
    return AcquireLock("d", "lock", "l", holder, holder, 15.0, 0.0, create=True)


def job(driver: Restarting) -> int:
    return int(driver.ask(SubmitJob(driver.function, EMPTY_CALL))[5:])


def function(driver: Restarting) -> int:
    return int(driver.register(f"g{next(_fresh)}").partition(":")[2])


def deployment(driver: Restarting) -> int:
    entry = DeployedFunction(FunctionSpec("live", "h"), Payload(b"%d" % next(_fresh)))
    return int(driver.ask(Deploy("live", (entry,))).deployment.deployment_id.partition(":")[2])


def revision(driver: Restarting) -> int:
    rev = driver.ask(PutKey("d", "k", Payload(b""), create=True))
    assert isinstance(rev, int)
    return rev


def message(driver: Restarting) -> int:
    driver.ask(OpenQueue("q"))
    driver.ask(put("x"))
    return int(driver.ask(PeekItems("q", 1000)).last)


@pytest.mark.parametrize("give", [job, function, deployment, revision, message])
@pytest.mark.parametrize("was_copied_used", [False, True])
def test_no_number_is_given_twice(give: Any, was_copied_used: bool) -> None:
    driver = Copied()
    if was_copied_used:
        give(driver)
        driver.copy = dict(driver.records)
    given = [give(driver) for driver.now in (200.0, 300.0)]

    for _ in range(2):
        driver.put_back()
        driver.now += 7
        given.append(give(driver))

    assert len({*given}) == 4
    assert given[2] > max(given[:2])
    assert given[3] > given[2]


def test_numbers_go_on_from_there_after_another_restart() -> None:
    driver = Copied()
    driver.put_back()
    before = job(driver), function(driver), message(driver)
    driver.restart()
    after = job(driver), function(driver), message(driver)

    assert PUT_BACK not in driver.records
    assert [one for one, other in zip(after, before, strict=True) if one <= other] == []


def test_a_state_that_only_went_on_gives_the_numbers_that_follow() -> None:
    driver = Copied()
    driver.restart()
    driver.restart()

    assert job(driver) == 1


def test_a_job_that_came_after_the_copy_is_not_another_one() -> None:
    driver = Copied()
    lost = job(driver)
    driver.put_back()
    job(driver)

    with pytest.raises(JobGone):
        driver.look(lost)


def test_a_fence_that_was_given_after_the_copy_is_refused() -> None:
    driver = Copied()
    fence = driver.ask(lock("me"))
    driver.put_back()
    driver.ask(lock("other"))

    with pytest.raises(Fenced):
        driver.ask(PutKey("d", "k", Payload(b""), fence=fence))


def test_a_receipt_that_was_given_after_the_copy_settles_nothing() -> None:
    driver = Copied()
    message(driver)
    driver.copy = dict(driver.records)
    old = driver.ask(ClaimItems("q")).receipts[0]
    driver.put_back()

    new = driver.ask(ClaimItems("q")).receipts[0]

    assert new.fence > old.fence
    assert (new.message, new.delivery) == (old.message, old.delivery)


# --- agents ---------------------------------------------------------------------------------------


def begun(driver: CopiedFar) -> tuple[int, int]:
    """A job that runs on an agent: its number, and that of its executor."""
    number = job(driver)
    driver.beat()
    (executor,) = driver.plane.ledger.executors
    return number, executor


def holding(executor: int, number: int, attempt: int = 1) -> HeldExecutor:
    held = HeldJob(number, attempt, BEGUN)
    return HeldExecutor(executor, 1, loaded=True, jobs=(held,))


def test_what_ran_when_the_copy_was_made_counts_as_lost_and_its_executor_is_killed() -> None:
    driver = CopiedFar()
    driver.join()
    number, executor = begun(driver)
    driver.copied()
    driver.put_back()

    welcome = driver.join("a", LARGE, holding(executor, number), channel="")

    assert welcome.kills == (executor,)


def test_an_agent_that_has_what_was_given_later_lifts_all_numbers() -> None:
    driver = CopiedFar()
    driver.join()
    driver.copied()
    number, executor = begun(driver)
    driver.put_back(is_seen=False)

    welcome = driver.join("a", LARGE, holding(executor, number), channel="")

    assert welcome.kills == (executor,)
    assert job(driver) > 1_000_000


def test_an_agent_that_was_never_here_may_have_any_numbers() -> None:
    driver = CopiedFar()

    welcome = driver.join("b", LARGE, holding(77, 5), channel="")

    assert welcome.kills == (77,)
    assert job(driver) == 1


def test_a_report_of_before_is_not_taken_for_one_of_a_later_attempt() -> None:
    driver = CopiedFar()
    driver.join()
    number, executor = begun(driver)
    driver.copied()
    driver.put_back()
    driver.join("a", LARGE, channel="")
    driver.beat()

    driver.step(Reported(executor, number, 1, RESULT))

    assert driver.plane.ledger.jobs[number].status.value != "succeeded"
