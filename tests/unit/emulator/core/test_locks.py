from __future__ import annotations

import pytest

from apothic_backends.commands.dicts import DeleteDict, GetHolder, ReleaseLock, RenewLock
from apothic_backends.model.errors import BackendClosed, Fenced, InvalidOption, LockLost, NotFound
from apothic_emulator.core.facts import Tick
from tests.unit.emulator.core.dict_driving import DictDriver


def test_a_lock_that_is_free_is_given_at_once() -> None:
    driver = DictDriver()

    assert driver.acquire("one") > 0


def test_a_lock_that_is_held_is_waited_for() -> None:
    driver = DictDriver()
    first = driver.acquire("one")
    second = driver.want("two")
    assert driver.is_owed(second)

    assert driver.release("one")

    assert driver.answered(second) > first


def test_whoever_asks_first_is_served_first() -> None:
    driver = DictDriver()
    driver.acquire("one")
    tokens = [driver.want(name) for name in ("two", "three")]
    driver.release("one")

    assert [driver.is_owed(token) for token in tokens] == [False, True]


def test_locks_of_other_keys_and_terms_are_others() -> None:
    driver = DictDriver()

    driver.acquire("one", '"a"')
    driver.acquire("two", '"b"')
    driver.acquire("three", '"a"', kind="term")


def test_fences_grow_with_every_holder() -> None:
    driver = DictDriver()
    fences: list[int] = []
    for _ in range(3):
        fences.append(driver.acquire("one"))
        driver.release("one")

    assert fences == sorted(set(fences))


def test_whoever_asks_twice_holds_it_once() -> None:
    driver = DictDriver()

    assert driver.acquire("one") == driver.acquire("one")


def test_whoever_gives_up_leaves_the_line() -> None:
    driver = DictDriver()
    driver.acquire("one")
    second, third = driver.want("two"), driver.want("three")
    driver.give_up(second)
    driver.release("one")

    assert driver.is_owed(second)
    assert driver.answered(third)


def test_waiting_ends_in_time() -> None:
    driver = DictDriver()
    driver.acquire("one", lease_s=60.0)
    token = driver.want("two", timeout_s=5.0)
    driver.pass_s(4.999)
    assert driver.is_owed(token)
    driver.pass_s(0.001)

    assert driver.answered(token) is None


@pytest.mark.parametrize("timeout_s", [0.0, -1.0, float("nan")])
def test_no_time_is_no_waiting(timeout_s: float) -> None:
    driver = DictDriver()
    driver.acquire("one")

    assert driver.acquire("two", timeout_s=timeout_s) is None


def test_a_lock_that_is_not_renewed_goes_to_the_next() -> None:
    driver = DictDriver()
    first = driver.acquire("one")
    second = driver.want("two")
    driver.pass_s(14.999)
    assert driver.is_owed(second)
    driver.pass_s(0.001)

    assert driver.answered(second) > first
    assert driver.ops() == ["locked", "lock_expired", "locked"]
    assert not driver.release("one")


def test_a_lock_that_nobody_wants_is_free_when_its_lease_is_over() -> None:
    driver = DictDriver()
    driver.acquire("one")
    driver.pass_s(15.0)

    assert driver.send(GetHolder("d", "lock", '"k"')) is None


def test_renewing_begins_the_lease_anew() -> None:
    driver = DictDriver()
    fence = driver.acquire("one")
    driver.pass_s(14.0)
    driver.renew(fence)
    driver.pass_s(14.999)

    driver.renew(fence)


def test_the_holder_is_told_when_to_renew() -> None:
    driver = DictDriver()
    fence = driver.acquire("one")
    token = driver.renew_later(fence)
    driver.pass_s(4.999)
    assert driver.is_owed(token)

    driver.pass_s(0.001)

    assert driver.answered(token) is None


def test_a_holder_that_is_told_and_does_nothing_loses_it_when_the_lease_is_over() -> None:
    driver = DictDriver()
    fence = driver.acquire("one")
    driver.renew_later(fence)
    driver.pass_s(14.999)
    driver.put("a", fence=fence)

    driver.pass_s(0.001)

    with pytest.raises(Fenced):
        driver.put("a", fence=fence)


def test_a_holder_that_renews_keeps_it_for_ever() -> None:
    driver = DictDriver()
    fence = driver.acquire("one")
    for _ in range(20):
        driver.renew_later(fence)
        driver.pass_s(5.0)

    driver.renew(fence)


def test_a_holder_that_is_told_late_has_as_much_longer() -> None:
    driver = DictDriver()
    fence = driver.acquire("one")
    driver.renew_later(fence)
    driver.now += 100.0  # the control plane stood still
    driver.step(Tick())
    driver.pass_s(9.999)
    driver.put("a", fence=fence)

    driver.pass_s(0.001)

    with pytest.raises(Fenced):
        driver.put("a", fence=fence)


def test_a_holder_that_gives_up_renewing_has_it_until_its_lease_is_over() -> None:
    driver = DictDriver()
    fence = driver.acquire("one")
    driver.give_up(driver.renew_later(fence))
    driver.pass_s(14.999)
    driver.put("a", fence=fence)
    driver.pass_s(0.001)

    with pytest.raises(Fenced):
        driver.put("a", fence=fence)


def test_renewing_at_once_leaves_the_next_renewal_as_it_is() -> None:
    driver = DictDriver()
    fence = driver.acquire("one")
    token = driver.renew_later(fence)
    driver.pass_s(3.0)
    driver.renew(fence)
    driver.pass_s(2.0)

    assert driver.answered(token) is None
    driver.pass_s(12.999)
    driver.renew(fence)


def test_of_two_that_renew_one_is_told_later() -> None:
    driver = DictDriver()
    fence = driver.acquire("one")
    first, second = driver.renew_later(fence), driver.renew_later(fence)

    assert driver.answered(first) is None
    assert driver.is_owed(second)


def test_who_renews_is_told_when_it_is_released() -> None:
    driver = DictDriver()
    fence = driver.acquire("one")
    token = driver.renew_later(fence)
    driver.release("one")

    assert driver.answered(token) is None


def test_what_was_lost_cannot_be_renewed() -> None:
    driver = DictDriver()
    fence = driver.acquire("one")
    driver.release("one")
    with pytest.raises(LockLost, match="nobody has it now"):
        driver.renew(fence)
    other = driver.acquire("two")

    with pytest.raises(LockLost, match=f"fence {other} has it now"):
        driver.renew(fence)


def test_what_was_never_held_is_neither_renewed_nor_released() -> None:
    driver = DictDriver()

    with pytest.raises(LockLost):
        driver.send(RenewLock("e", "lock", '"k"', 7))
    assert not driver.send(ReleaseLock("e", "lock", '"k"', "one"))
    driver.acquire("one")
    assert not driver.release("two")


def test_a_worker_that_died_leaves_the_line() -> None:
    driver = DictDriver()
    job = driver.ran()
    driver.acquire("one")
    waiting = driver.want("two", origin=driver.inside(job))
    driver.died()
    third = driver.want("three")
    driver.release("one")

    assert driver.is_owed(waiting)
    assert driver.answered(third)


def test_a_worker_that_is_being_stopped_is_passed_over() -> None:
    driver = DictDriver(timeout_s=5.0)
    job = driver.ran()
    driver.acquire("one", lease_s=60.0)
    waiting = driver.want("two", origin=driver.inside(job))
    driver.cancel(job)
    driver.pass_s(4.0)  # it did not listen, and is killed
    third = driver.want("three")
    driver.release("one")

    with pytest.raises(BackendClosed):
        driver.answered(waiting)
    assert driver.answered(third)


def test_a_job_that_waits_for_a_lock_lends_its_place() -> None:
    driver = DictDriver()
    job = driver.ran()
    driver.acquire("one")
    driver.want("two", origin=driver.inside(job))

    assert driver.job(job).parked == 1


def test_a_job_that_holds_a_lock_does_not_lend_its_place() -> None:
    driver = DictDriver()
    job = driver.ran()
    fence = driver.answered(driver.want("one", origin=driver.inside(job)))
    driver.start(RenewLock("d", "lock", '"k"', fence, wait=True), driver.inside(job))

    assert driver.job(job).parked == 0


def test_the_renewal_of_a_worker_that_died_is_not_owed() -> None:
    driver = DictDriver()
    job = driver.ran()
    fence = driver.answered(driver.want("one", origin=driver.inside(job)))
    driver.start(RenewLock("d", "lock", '"k"', fence, wait=True), driver.inside(job))
    driver.died()
    second = driver.want("two")
    driver.pass_s(15.0)

    assert driver.answered(second) > fence


def test_deleting_the_dict_ends_its_locks() -> None:
    driver = DictDriver()
    fence = driver.acquire("one")
    renewing, waiting = driver.renew_later(fence), driver.want("two")
    driver.send(DeleteDict("d"))

    with pytest.raises(NotFound, match="deleted"):
        driver.answered(waiting)
    with pytest.raises(NotFound, match="deleted"):
        driver.answered(renewing)
    with pytest.raises(Fenced):
        driver.put("a", fence=fence)
    driver.pass_s(60.0)


@pytest.mark.parametrize(
    ("wrong", "how"),
    [
        ("kind", {"kind": "throne"}),
        ("lease_s", {"lease_s": 0.5}),
        ("key", {"key": ""}),
        ("candidate", {"candidate": ""}),
        ("candidate", {"candidate": "x" * 257}),
    ],
)
def test_what_a_lock_cannot_be_is_refused(wrong: str, how: dict[str, object]) -> None:
    driver = DictDriver()

    with pytest.raises(InvalidOption, match=wrong):
        driver.acquire("one", **how)  # type: ignore[arg-type]


def test_a_holder_is_known_by_something() -> None:
    with pytest.raises(InvalidOption, match="holder"):
        DictDriver().acquire("", candidate="one")


# --- elections ----------------------------------------------------------------------------------


def test_one_candidate_is_elected() -> None:
    driver = DictDriver()
    term = driver.acquire("one", '"leader"', kind="term", candidate="Ada")
    driver.want("two", '"leader"', kind="term", candidate="Bob")

    leader = driver.send(GetHolder("d", "term", '"leader"'))

    assert (leader.candidate, leader.fence, leader.since) == ("Ada", term, 100.0)


def test_terms_are_told_as_such() -> None:
    driver = DictDriver()
    driver.acquire("one", kind="term")
    driver.release("one", kind="term")
    driver.acquire("two", kind="term")
    driver.pass_s(15.0)

    assert driver.ops() == ["elected", "resigned", "elected", "term_expired"]


def test_what_is_told_of_a_lock_names_its_holder_and_the_fence() -> None:
    driver = DictDriver()
    fence = driver.acquire("one", candidate="Ada")

    [told] = driver.told()

    assert told.data == {"at": 100.0, "op": "locked", "key": '"k"', "rev": fence, "holder": "Ada"}


def test_nobody_leads_what_nobody_stood_for() -> None:
    driver = DictDriver()

    assert driver.send(GetHolder("d", "term", '"leader"', create=True)) is None
    with pytest.raises(InvalidOption, match="kind"):
        driver.send(GetHolder("d", "throne", '"leader"'))


# --- restarts -----------------------------------------------------------------------------------


def test_holders_outlive_the_control_plane_with_a_full_new_lease() -> None:
    driver = DictDriver()
    fence = driver.acquire("one")
    driver.pass_s(14.0)
    driver.restart()
    second = driver.want("two")
    driver.put("a", fence=fence)
    driver.pass_s(14.999)
    assert driver.is_owed(second)

    driver.pass_s(0.001)

    assert driver.answered(second) > fence


def test_who_let_go_is_not_back_after_a_restart() -> None:
    driver = DictDriver()
    driver.acquire("one")
    driver.release("one")
    driver.restart()

    assert driver.acquire("two")
