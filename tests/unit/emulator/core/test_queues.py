from __future__ import annotations

from typing import Any

import pytest

from apothic_backends.commands import ReadEvents
from apothic_backends.commands.queues import (
    ClaimItems,
    DeleteQueue,
    GetQueue,
    OpenQueue,
    PeekItems,
    PutItems,
    TakeItems,
)
from apothic_backends.model.errors import (
    ApothicError,
    BackendClosed,
    Fenced,
    InvalidOption,
    NotFound,
    OverLimit,
    QueueFull,
    UsageError,
)
from apothic_backends.model.payloads import Payload
from apothic_backends.model.queues import MOST_ITEM, MOST_TOGETHER, ItemTooLarge
from apothic_emulator.core import handling, queues
from apothic_emulator.core.check import check
from apothic_emulator.core.facts import GivenUp
from apothic_emulator.core.partitions import SWEPT
from apothic_emulator.core.quotas import Quotas
from tests.unit.emulator.core.queueing import Queues, put, texts

WAITS = TakeItems("q")
"""Waits for ever."""


def taken(driver: Queues, token: int) -> Any:
    answer = driver.answers.get(token)
    return answer if answer is None or isinstance(answer, Exception) else texts(answer)


# --- order ----------------------------------------------------------------------------------------


def test_items_come_out_in_the_order_in_which_they_were_put() -> None:
    driver = Queues()
    driver.put("a", "b")
    driver.put("c")

    assert driver.take(2) + driver.take(2) == ["a", "b", "c"]


def test_each_partition_has_an_order_of_its_own() -> None:
    driver = Queues()
    driver.put("a", partition="left")
    driver.put("b")

    assert driver.take() == ["b"]
    assert driver.take(partition="left") == ["a"]


def test_what_comes_back_has_its_old_place() -> None:
    driver = Queues()
    driver.put("a", "b", "c")
    first, second = driver.claim(2)
    driver.give_back(second)
    driver.give_back(first)

    assert driver.take(3) == ["a", "b", "c"]


def test_what_is_delayed_comes_later_and_in_its_old_place() -> None:
    driver = Queues()
    driver.put("a", delay_s=5.0)
    driver.put("b", "c")
    assert driver.take() == ["b"]
    driver.pass_s(5.0)

    assert driver.take(2) == ["a", "c"]


def test_nothing_is_there_before_it_is_put() -> None:
    assert Queues().take() == []


def test_items_that_many_may_take_are_given_in_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handling, "MOST_TOGETHER", 2)
    driver = Queues()
    driver.put("aa", "bb")

    assert driver.take(2) == ["aa"]


# --- waiting for items ----------------------------------------------------------------------------


def test_whoever_waits_first_is_served_first() -> None:
    driver = Queues()
    first, second = driver.start(WAITS), driver.start(WAITS)
    driver.put("a", "b")

    assert (taken(driver, first), taken(driver, second)) == (["a"], ["b"])


def test_a_wait_ends_with_nothing_when_its_time_is_up() -> None:
    driver = Queues()
    token = driver.start(TakeItems("q", timeout_s=2.0, partition="p"))
    driver.pass_s(2.0)

    assert taken(driver, token) == []
    assert driver.ask(GetQueue("q")).partitions == {}


def test_a_wait_that_is_given_up_takes_nothing() -> None:
    driver = Queues()
    token = driver.start(WAITS)
    driver.step(GivenUp(token))
    driver.put("a")

    assert driver.take() == ["a"]


def test_whoever_waits_gets_nothing_that_has_expired() -> None:
    driver = Queues()
    driver.put("a", ttl_s=1.0)
    driver.now += 1.0
    token = driver.start(WAITS)

    assert taken(driver, token) is None


def test_what_comes_back_goes_to_whoever_waits() -> None:
    driver = Queues()
    driver.put("a")
    receipt = driver.claim_one()
    token = driver.start(WAITS)
    driver.give_back(receipt)

    assert taken(driver, token) == ["a"]


def test_a_job_lends_its_place_while_its_code_waits_for_an_item() -> None:
    driver = Queues()
    origin = driver.origin()
    driver.start(WAITS, origin)
    other = driver.submit()

    assert driver.plane.ledger.executors[origin.executor].parked == 1
    assert driver.look(other).status.value in ("dispatched", "queued")


def test_a_process_that_was_stopped_gets_nothing() -> None:
    driver = Queues(max_items=1)
    job = driver.ran()
    origin = driver.inside(job)
    driver.put("a")
    putter = driver.start(put("b", timeout_s=None), origin)
    getter = driver.start(TakeItems("q", partition="p"), origin)
    driver.cancel(job)
    driver.pass_s(4.0)  # it does not listen, and is killed
    driver.take()
    driver.put("c", partition="p")

    for token in (putter, getter):
        assert isinstance(driver.answers[token], BackendClosed)
    assert driver.take(partition="p") == ["c"]


def test_an_item_that_expires_is_passed_over_for_the_next() -> None:
    driver = Queues()
    driver.put("a", ttl_s=1.0)
    driver.put("b")
    driver.now += 1.0  # and no tick has come yet

    assert driver.take() == ["b"]


# --- replies that nobody takes --------------------------------------------------------------------


def test_items_that_reached_nobody_have_their_old_places_again() -> None:
    driver = Queues()
    driver.put("a", "b", partition="p", key=None)
    token = driver.start(TakeItems("q", 1, "p", 0.0))
    driver.step(GivenUp(token, driver.answers[token]))

    assert driver.take(2, "p") == ["a", "b"]
    assert "put_back" in driver.told()


def test_an_item_with_a_key_that_reached_nobody_is_whole_again() -> None:
    driver = Queues()
    driver.put("a", key="k")
    token = driver.start(TakeItems("q", 1, "", 0.0))
    driver.step(GivenUp(token, driver.answers[token]))

    assert driver.put("a", key="k") is False
    assert driver.take() == ["a"]


def test_a_claim_that_reached_nobody_was_none() -> None:
    driver = Queues()
    driver.put("a")
    token = driver.start(ClaimItems("q", timeout_s=0.0))
    driver.step(GivenUp(token, driver.answers[token]))

    assert driver.claim_one().delivery == 1


def test_a_claim_that_reached_nobody_and_has_lapsed_changes_nothing() -> None:
    driver = Queues()
    driver.put("a")
    token = driver.start(ClaimItems("q", timeout_s=0.0))
    driver.pass_s(30.0)
    receipt = driver.claim_one()
    driver.step(GivenUp(token, driver.answers[token]))

    assert receipt.delivery == 2
    assert driver.ack(receipt) == 1


def test_nothing_goes_back_into_a_queue_that_is_gone() -> None:
    driver = Queues()
    driver.put("a")
    token = driver.start(TakeItems("q", timeout_s=0.0))
    driver.ask(DeleteQueue("q"))
    driver.ask(OpenQueue("q"))
    driver.step(GivenUp(token, driver.answers[token]))

    assert driver.take() == []


def test_what_a_worker_takes_out_of_a_kept_queue_is_claimed_until_it_has_arrived() -> None:
    for is_kept in (True, False):
        driver = Queues(is_kept=is_kept)
        driver.put("a")
        taken = driver.ask(TakeItems("q"), driver.origin())

        assert (texts(taken), len(taken.receipts)) == (["a"], is_kept)
        assert driver.counts().claimed == is_kept


def test_a_worker_may_wait_for_what_it_takes_out_of_a_kept_queue() -> None:
    driver = Queues()
    token = driver.start(TakeItems("q"), driver.origin())
    driver.put("a")

    assert len(driver.answers[token].receipts) == 1


def test_a_reply_that_is_nothing_to_give_back_is_let_go() -> None:
    driver = Queues()
    driver.step(GivenUp(99, "a reply"))

    assert driver.seen() == []


# --- room -----------------------------------------------------------------------------------------


def test_a_full_queue_refuses_at_once_or_after_a_while() -> None:
    driver = Queues(max_items=1)
    driver.put("a")
    with pytest.raises(QueueFull, match="holds 1 items of the 1 that it may"):
        driver.put("b")
    token = driver.start(put("b", timeout_s=3.0))
    driver.pass_s(3.0)

    assert isinstance(driver.answers[token], QueueFull)
    assert driver.seen() == ["a"]


def test_whoever_waits_for_room_is_let_in_in_turn() -> None:
    driver = Queues(max_items=2)
    driver.put("a", "b")
    many, one = (driver.start(put(*items, timeout_s=None)) for items in ("cd", "e"))
    driver.take()
    assert many not in driver.answers
    assert one not in driver.answers
    driver.take()

    assert driver.answers[many] is True
    assert driver.take(2) == ["c", "d"]
    assert driver.answers[one] is True


def test_whoever_gives_up_stands_in_nobodys_way() -> None:
    driver = Queues(max_items=2)
    driver.put("a")
    many = driver.start(put("b", "c", timeout_s=None))
    one = driver.start(put("d", timeout_s=None))
    driver.step(GivenUp(many))

    assert driver.answers[one] is True
    assert driver.seen() == ["a", "d"]


def test_more_than_a_queue_can_ever_hold_is_refused() -> None:
    with pytest.raises(ItemTooLarge, match="never fit"):
        Queues(max_items=1).put("a", "b", timeout_s=None)


def test_all_queues_together_hold_so_many_bytes() -> None:
    driver = Queues()
    driver.plane.ledger.quotas = Quotas(bytes=8)
    driver.put("abcdef")
    driver.ask(OpenQueue("other"))
    token = driver.start(put("ghi", queue="other", timeout_s=None))
    assert token not in driver.answers
    driver.take()

    assert driver.answers[token] is True


def test_what_is_claimed_takes_room_and_what_is_dead_does_not() -> None:
    driver = Queues(max_items=1, max_deliveries=1)
    driver.put("a")
    receipt = driver.claim_one()
    token = driver.start(put("b", timeout_s=None))
    assert token not in driver.answers
    driver.give_back(receipt)

    assert driver.answers[token] is True
    assert driver.dead() == ["a"]


# --- keys -----------------------------------------------------------------------------------------


def test_an_item_is_put_once_under_a_key() -> None:
    driver = Queues()

    assert driver.put("a", key="k") is True
    assert driver.put("b", key="k") is False
    assert driver.seen() == ["a"]


def test_a_key_is_known_for_five_minutes_after_its_item_is_gone() -> None:
    driver = Queues()
    driver.put("a", key="k")
    driver.take()
    driver.pass_s(299.0)
    assert driver.put("b", key="k") is False
    driver.pass_s(1.0)

    assert driver.put("c", key="k") is True


def test_a_known_key_waits_for_no_room() -> None:
    driver = Queues(max_items=1)
    driver.put("a", key="k")

    assert driver.put("b", key="k", timeout_s=None) is False


def test_one_of_two_that_wait_for_room_under_a_key_gets_in() -> None:
    driver = Queues(max_items=1)
    driver.put("a")
    tokens = [driver.start(put("b", key="k", timeout_s=None)) for _ in range(2)]
    driver.take()

    assert [driver.answers[token] for token in tokens] == [True, False]


def test_only_so_many_of_the_past_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handling, "MOST_PAST", 1)
    driver = Queues()
    for key in "ab":
        driver.put(key, key=key)
        driver.take()

    assert driver.put("a", key="a") is True
    assert driver.put("b", key="b") is False


# --- time -----------------------------------------------------------------------------------------


def test_an_item_goes_when_its_time_is_over() -> None:
    driver = Queues()
    driver.put("a", ttl_s=5.0)
    driver.put("b", ttl_s=5.0)
    driver.pass_s(5.0)

    assert driver.seen() == []
    assert driver.told()[-1] == "expired"


def test_an_item_may_expire_before_its_delay_is_over() -> None:
    driver = Queues()
    driver.put("a", ttl_s=1.0, delay_s=5.0)
    driver.pass_s(1.0)

    assert driver.counts().delayed == 0


def test_items_that_have_expired_take_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = Queues()
    driver.put("first")
    for _ in range(3):
        for _ in range(SWEPT):
            driver.put("x", ttl_s=1.0)
        driver.pass_s(1.0)
    rules = driver.plane.shared.part("queues")
    assert isinstance(rules, queues.Rules)

    assert len(rules.queues["q"].partitions[""].fresh) < SWEPT
    assert driver.take(2) == ["first"]


def test_deadlines_that_are_called_off_take_no_place() -> None:
    driver = Queues()
    for _ in range(3 * SWEPT):
        driver.put("a")
        driver.ack(driver.claim_one())
    rules = driver.plane.shared.part("queues")
    assert isinstance(rules, queues.Rules)

    assert len(rules.handling.timers.heap) <= SWEPT


# --- looking --------------------------------------------------------------------------------------


def test_looking_at_items_leaves_them() -> None:
    driver = Queues()
    driver.put("a", "b", "c")
    receipt, _ = driver.claim(2)
    driver.give_back(receipt)

    assert driver.seen() == driver.seen() == ["a", "c"]


def test_one_can_look_on_from_where_one_was() -> None:
    driver = Queues()
    driver.put("a", "b", "c")
    first = driver.ask(PeekItems("q", 2))
    second = driver.ask(PeekItems("q", 2, after=first.last))
    third = driver.ask(PeekItems("q", 2, after=second.last))

    assert [texts(it) for it in (first, second, third)] == [["a", "b"], ["c"], []]
    assert third.last == second.last


def test_one_can_wait_for_something_to_look_at() -> None:
    driver = Queues()
    first = driver.start(PeekItems("q", timeout_s=None))
    second = driver.start(PeekItems("q", timeout_s=1.0, after=7))
    driver.put("a")
    driver.pass_s(1.0)

    assert taken(driver, first) == ["a"]
    assert driver.answers[second].last == 7
    assert driver.take() == ["a"]


def test_who_looks_at_a_partition_that_is_not_there_sees_nothing() -> None:
    assert Queues().ask(PeekItems("q", partition="p")).count == 0


def test_a_snapshot_has_the_partitions_that_hold_anything() -> None:
    driver = Queues(max_items=7)
    driver.put("a", partition="p")
    driver.put("b", "c")
    driver.claim()
    found = driver.ask(GetQueue("q"))

    assert (found.max_items, found.ready, found.claimed, found.delayed, found.dead) == (
        (7, 2, 1, 0, 0)
    )
    driver.start(TakeItems("q", partition="r"))  # which holds nothing
    assert [*driver.ask(GetQueue("q", "p")).partitions] == ["p"]
    assert [*driver.ask(GetQueue("q")).partitions] == ["p", ""]
    assert driver.ask(GetQueue("q", "nowhere")).partitions == {}


# --- queues ---------------------------------------------------------------------------------------


def test_a_queue_that_is_there_stays_as_it_is() -> None:
    driver = Queues(max_items=3)
    driver.put("a")
    driver.ask(OpenQueue("q", max_items=9))

    assert driver.ask(GetQueue("q")).max_items == 3
    assert driver.take() == ["a"]


def test_whoever_waits_at_a_queue_that_is_deleted_is_told() -> None:
    driver = Queues(max_items=1)
    getter = driver.start(TakeItems("q", partition="p"))
    looker = driver.start(PeekItems("q", timeout_s=None))
    driver.bury("dead")
    driver.put("a", key="k")
    driver.take()
    driver.put("b")
    putter = driver.start(put("c", timeout_s=None))
    driver.ask(DeleteQueue("q"))

    for token in (getter, putter):
        assert isinstance(driver.answers[token], NotFound)
    assert looker in driver.answers
    assert driver.records.keys() == {"rev"}
    with pytest.raises(NotFound, match="create_if_missing"):
        driver.take()


def test_clearing_leaves_what_is_claimed() -> None:
    driver = Queues()
    driver.put("a", "b", key=None)
    driver.put("c", delay_s=5.0)
    driver.put("d", partition="p")
    receipt = driver.claim_one()

    assert driver.clear("") == 2
    assert driver.clear() == 1
    assert driver.ack(receipt) == 1


def test_what_was_cleared_is_passed_over() -> None:
    driver = Queues()
    driver.put("a", "b", "c")
    receipts = driver.claim(2)
    for receipt in receipts:
        driver.give_back(receipt)
    driver.clear()
    driver.put("d")

    assert driver.take() == ["d"]


def test_dead_letters_are_cleared_by_themselves() -> None:
    driver = Queues()
    driver.bury("a")
    driver.put("b")

    assert driver.clear(dead=True) == 1
    assert driver.seen() == ["b"]


@pytest.mark.parametrize(
    ("command", "error"),
    [
        (OpenQueue("../q"), InvalidOption),
        (OpenQueue("x" * 65), InvalidOption),
        (OpenQueue("other", max_items=0), InvalidOption),
        (OpenQueue("other", max_deliveries=1001), InvalidOption),
        (TakeItems("nowhere"), NotFound),
        (TakeItems("no where"), InvalidOption),
        (TakeItems("q", 0), InvalidOption),
        (TakeItems("q", 100_001), InvalidOption),
        (TakeItems("q", partition="a/b"), InvalidOption),
        (ClaimItems("q", lease_s=-1.0), InvalidOption),
        (ClaimItems("q", lease_s=43_201.0), InvalidOption),
        (ClaimItems("q", lease_s=float("nan")), InvalidOption),
        (put("a", partition="a/b"), InvalidOption),
        (put("a", ttl_s=0.0), InvalidOption),
        (put("a", delay_s=-1.0), InvalidOption),
        (put("a", key=""), InvalidOption),
        (put("a", "b", key="k"), InvalidOption),
        (put("a", fence=77), Fenced),
        (PutItems("q", Payload(b""), 0), InvalidOption),
        (PutItems("q", Payload(b"abc"), 1), UsageError),
        (PutItems("q", Payload(b"\1\0\0\0ab", (), "pickle5*"), 1), UsageError),
        (put("x" * (MOST_ITEM + 1)), ItemTooLarge),
        (put(*["x" * MOST_ITEM] * (MOST_TOGETHER // MOST_ITEM)), ItemTooLarge),
    ],
)
def test_what_cannot_be_is_refused(command: Any, error: type[ApothicError]) -> None:
    driver = Queues()

    with pytest.raises(error):
        driver.ask(command)
    assert driver.seen() == []


def test_two_items_of_the_largest_size_can_be_put_at_once() -> None:
    item = "x" * MOST_ITEM
    driver = Queues()
    driver.put(item, item)

    assert driver.take(2) == [item, item]


def test_there_are_so_many_partitions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queues, "MOST_PARTITIONS", 1)
    driver = Queues()
    driver.put("a", partition="p")

    with pytest.raises(OverLimit, match="partitions"):
        driver.put("a", partition="r")


# --- watching -------------------------------------------------------------------------------------


def test_a_watch_sees_what_is_now_and_then_what_happens() -> None:
    driver = Queues()
    driver.put("a")
    now = driver.ask(ReadEvents("queues:q", snapshot=True))
    driver.take()
    then = driver.ask(ReadEvents("queues:q", now.cursor))

    (snapshot,) = now.events
    assert snapshot.event == "queue.snapshot"
    assert snapshot.data["partitions"][""]["ready"] == 1
    (taken,) = then.events
    told = {k: taken.data[k] for k in ("what", "count", "ready", "delayed", "claimed", "dead")}
    assert told == {
        "what": "taken",
        "count": 1,
        "ready": 0,
        "delayed": 0,
        "claimed": 0,
        "dead": 0,
    }


def test_a_snapshot_of_no_queue_is_refused() -> None:
    with pytest.raises(NotFound):
        Queues().ask(ReadEvents("queues:nowhere", snapshot=True))


def test_the_check_names_what_is_wrong() -> None:
    driver = Queues()
    driver.put("a")
    rules = driver.plane.shared.part("queues")
    assert isinstance(rules, queues.Rules)
    rules.queues["q"].partitions[""].ready = 5

    with pytest.raises(AssertionError, match="are there: queue 'q'"):
        check(driver.plane)


def test_a_queue_that_is_not_there_cannot_be_watched() -> None:
    with pytest.raises(NotFound):
        Queues().ask(ReadEvents("queues:none"))


def test_whoever_waits_longer_than_another_is_told_in_time_too() -> None:
    driver = Queues()
    short, long = (driver.start(TakeItems("q", timeout_s=limit)) for limit in (1.0, 5.0))

    driver.pass_s(2.0)
    assert (taken(driver, short), taken(driver, long)) == ([], None)

    driver.pass_s(4.0)
    assert taken(driver, long) == []
