"""Functions that need most of a machine, where others keep all machines busy."""

from __future__ import annotations

from apothic_emulator.core.clearing import LONGEST_S, PATIENCE_S
from apothic_emulator.core.effects import Effect, Recall, Retire, StartExecutor
from apothic_emulator.core.facts import Ended, Recalled
from apothic_emulator.core.hellos import Capacity
from tests.unit.emulator.core.agents import Far
from tests.unit.emulator.core.driving import only
from tests.unit.emulator.core.renting import Renter, offer

BEAT_S = 10.0


class Busy(Far):
    """A machine on each core of which a job of a function runs, with more behind."""

    def __init__(self, waiting: int = 2, cores: int = 2) -> None:
        super().__init__(cpu=1, max_containers=10)
        self.join("a", Capacity(cores, 16_384))
        for _ in range(cores):
            self.begun()
        self.submit_many(waiting)

    def waits(self, seconds: float) -> list[Effect]:
        """Time passes, in which the machine is heard of, and gives back what is asked for."""
        told: list[Effect] = []
        for _ in range(int(seconds / BEAT_S)):
            told += self.pass_s(BEAT_S) + self.beat()
            for it in only(told, Recall):
                told += self.step(Recalled(it.executor, ()))
        return told

    def ends(self, job: int) -> list[Effect]:
        """A job is done, and its process ends if it is to."""
        executor = self.job(job).executor
        told = self.report(job)
        if only(told, Retire):
            told = self.step(Ended(executor, "exit"))
        return told


def test_a_machine_is_cleared_for_who_needs_all_of_it_and_has_waited() -> None:
    driver = Busy()
    driver.submit(driver.register("large", cpu=2))

    assert [it.executor for it in only(driver.waits(PATIENCE_S), Recall)] == [1, 2]
    assert only(driver.ends(1), StartExecutor) == []
    assert [it.function for it in only(driver.ends(2), StartExecutor)] == [2]


def test_a_machine_is_open_again_once_somebody_has_the_place_for_which_it_was_cleared() -> None:
    driver = Busy(waiting=1)
    large = driver.submit(driver.register("large", cpu=2))
    driver.waits(PATIENCE_S)
    driver.ends(1)
    driver.ends(2)
    driver.loads()
    driver.accepts(large)

    assert [it.function for it in only(driver.ends(large), StartExecutor)] == [1]


def test_a_machine_that_cannot_be_cleared_is_open_again_after_a_while() -> None:
    driver = Busy(waiting=1)
    driver.submit(driver.register("large", cpu=2))
    driver.waits(PATIENCE_S)
    driver.ends(1)

    assert [it.function for it in only(driver.waits(LONGEST_S), StartExecutor)] == [1]


def test_no_machine_is_cleared_for_whom_the_next_end_of_a_call_is_enough() -> None:
    driver = Busy()
    driver.pass_s(1.0)
    driver.report(1)
    driver.submit(driver.register("small", cpu=1))

    assert only(driver.waits(PATIENCE_S), Recall) == []


def test_a_function_for_which_no_machine_can_be_cleared_waits_for_one() -> None:
    driver = Busy(waiting=0)
    driver.submit(driver.register("huge", cpu=4))
    driver.waits(3 * PATIENCE_S)

    driver.join("b", Capacity(4, 16_384))

    assert [it.function for it in only(driver.effects, StartExecutor)] == [2]


def test_what_ends_already_in_a_machine_that_is_cleared_is_left_alone() -> None:
    driver = Busy(waiting=0, cores=3)
    driver.submit(driver.register("large", cpu=3))
    driver.waits(PATIENCE_S - BEAT_S)
    driver.pass_s(BEAT_S - 1.0)
    driver.report(1, retire=True)

    assert [it.executor for it in only(driver.waits(BEAT_S), Recall)] == [2, 3]


def test_no_machine_is_cleared_while_one_is_being_rented() -> None:
    driver = Renter(cpu=4)
    rent = driver.rent(offer())
    driver.rented(rent)
    driver.comes_up(rent.tag)
    driver.loads()
    driver.accepts(1)
    large = driver.register("large", cpu=8)
    driver.submit(large)
    driver.offers(offer("o2", host=2), function=2)

    assert only(driver.pass_s(2 * PATIENCE_S), Recall) == []
