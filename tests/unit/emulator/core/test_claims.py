from __future__ import annotations

import pytest

from apothic_backends.commands.queues import (
    AckItems,
    BuryItem,
    ClaimItems,
    DeleteQueue,
    GetQueue,
    ListDeadLetters,
    OpenQueue,
    RedriveItems,
    RenewClaim,
    ReturnItem,
    TakeItems,
)
from apothic_backends.model.errors import Fenced, InvalidOption, NotFound, OverLimit
from apothic_backends.model.queues import Receipt, StaleClaim
from apothic_emulator.core import handling
from tests.unit.emulator.core.queueing import Queues, put, texts


def test_what_is_claimed_is_nobody_elses() -> None:
    driver = Queues()
    driver.put("a")
    driver.claim_one()

    assert driver.take() == []
    assert driver.counts().claimed == 1


def test_what_is_acknowledged_is_gone() -> None:
    driver = Queues()
    driver.put("a")
    driver.ack(driver.claim_one())
    driver.pass_s(100.0)

    assert driver.counts() == driver.counts("nowhere")


def test_acknowledging_again_says_that_it_was_done() -> None:
    driver = Queues()
    driver.put("a", "b")
    first, second = driver.claim(2)
    driver.ack(first)

    assert driver.ack(first) == 0
    assert driver.ack(second, second, first) == 1


def test_that_is_known_for_a_day() -> None:
    driver = Queues()
    driver.put("a")
    receipt = driver.claim_one()
    driver.ack(receipt)
    driver.now += 24 * 3600.0
    driver.put("b")
    driver.ack(driver.claim_one())

    with pytest.raises(StaleClaim):
        driver.ack(receipt)


def test_a_claim_holds_as_long_as_its_lease() -> None:
    driver = Queues()
    driver.put("a")
    receipt = driver.claim_one(lease_s=10.0)
    driver.pass_s(9.0)
    assert driver.take() == []
    driver.pass_s(1.0)

    assert driver.take() == ["a"]
    assert "lapsed" in driver.told()
    with pytest.raises(StaleClaim, match="lease is over"):
        driver.ack(receipt)


def test_a_claim_whose_lease_is_over_is_stale_before_any_tick() -> None:
    driver = Queues()
    driver.put("a")
    receipt = driver.claim_one(lease_s=10.0)
    driver.now += 10.0

    with pytest.raises(StaleClaim):
        driver.ack(receipt)
    assert driver.take() == ["a"]


def test_a_claim_that_is_renewed_holds_from_then_on() -> None:
    driver = Queues()
    driver.put("a")
    receipt = driver.claim_one(lease_s=10.0)
    driver.pass_s(9.0)
    driver.ask(RenewClaim(receipt, 10.0))
    driver.pass_s(9.0)

    assert driver.ack(receipt) == 1


def test_an_old_receipt_settles_no_later_claim() -> None:
    driver = Queues()
    driver.put("a")
    old = driver.claim_one()
    driver.give_back(old)
    new = driver.claim_one()

    assert (old.delivery, new.delivery) == (1, 2)
    assert new.fence > old.fence
    for command in (AckItems((old,)), RenewClaim(old), ReturnItem(old), BuryItem(old)):
        with pytest.raises(StaleClaim):
            driver.ask(command)
    assert driver.ack(new) == 1


def test_one_stale_receipt_acknowledges_none() -> None:
    driver = Queues()
    driver.put("a", "b")
    first, second = driver.claim(2)
    driver.give_back(first)

    with pytest.raises(StaleClaim):
        driver.ack(second, first)
    assert driver.counts().claimed == 1


def test_what_was_acknowledged_cannot_be_given_back() -> None:
    driver = Queues()
    driver.put("a")
    receipt = driver.claim_one()
    driver.ack(receipt)

    with pytest.raises(StaleClaim, match="acknowledged already"):
        driver.give_back(receipt)


def test_a_receipt_of_a_queue_that_never_was_is_refused() -> None:
    with pytest.raises(NotFound):
        Queues().ack(Receipt("other", 1, 1, 1))


def test_a_write_with_a_fence_that_is_not_held_acknowledges_nothing() -> None:
    driver = Queues()
    driver.put("a")
    receipt = driver.claim_one()

    with pytest.raises(Fenced):
        driver.ask(AckItems((receipt,), fence=99))
    assert driver.ack(receipt) == 1


def test_what_is_released_with_a_delay_comes_later() -> None:
    driver = Queues()
    driver.put("a")
    driver.give_back(driver.claim_one(), delay_s=5.0)
    assert driver.counts().delayed == 1
    driver.pass_s(5.0)

    assert driver.take() == ["a"]


def test_what_has_expired_meanwhile_does_not_come_back() -> None:
    driver = Queues()
    driver.put("a", ttl_s=1.0)
    receipt = driver.claim_one()
    driver.pass_s(2.0)
    assert driver.counts().claimed == 1
    driver.give_back(receipt)
    driver.pass_s(0.0)

    assert driver.take() == []


def test_what_has_expired_meanwhile_is_given_to_nobody() -> None:
    driver = Queues()
    driver.put("a", ttl_s=1.0)
    receipt = driver.claim_one()
    token = driver.start(TakeItems("q"))
    driver.now += 1.0
    driver.give_back(receipt)

    assert token not in driver.answers


def test_a_claim_finds_nothing_where_all_has_expired() -> None:
    driver = Queues()
    driver.put("a", ttl_s=1.0)
    driver.now += 1.0

    assert driver.claim() == []


@pytest.mark.parametrize("delay_s", [-1.0, 43_201.0, float("nan")])
def test_delays_that_cannot_be_are_refused(delay_s: float) -> None:
    driver = Queues()
    driver.put("a")
    receipt = driver.claim_one()

    with pytest.raises(InvalidOption):
        driver.give_back(receipt, delay_s=delay_s)
    assert driver.ack(receipt) == 1


def test_so_many_can_be_claimed_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handling, "MOST_CLAIMED", 2)
    driver = Queues()
    driver.put("a", "b", "c")

    assert len(driver.claim(3)) == 2
    with pytest.raises(OverLimit, match="acknowledge some"):
        driver.claim()


def test_whoever_waits_to_claim_is_told_when_that_are_too_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(handling, "MOST_CLAIMED", 1)
    driver = Queues()
    tokens = [driver.start(ClaimItems("q")) for _ in range(2)]
    driver.put("a", "b")

    assert texts(driver.answers[tokens[0]]) == ["a"]
    assert isinstance(driver.answers[tokens[1]], OverLimit)


# --- deliveries and dead letters ------------------------------------------------------------------


def test_after_so_many_deliveries_a_message_is_dead() -> None:
    driver = Queues(max_deliveries=2)
    driver.put("a", partition="p")
    (first,) = driver.claim(partition="p")
    driver.give_back(first, error="ValueError: boom")
    driver.claim(lease_s=1.0, partition="p")
    driver.pass_s(1.0)

    (letter,) = driver.ask(ListDeadLetters("q")).letters
    assert driver.dead() == ["a"]
    assert (letter.reason, letter.error) == ("max_deliveries", "ValueError: boom")
    assert [it.how for it in letter.deliveries] == ["retried", "lapsed"]
    assert (letter.partition, letter.put_at, letter.died_at) == ("p", 100.0, 101.0)


def test_deliveries_that_do_not_count_have_no_end() -> None:
    driver = Queues(max_deliveries=1)
    driver.put("a")
    for _ in range(3):
        driver.give_back(driver.claim_one(), uncharged=True)

    assert driver.claim_one().delivery == 1


def test_a_claim_can_be_made_a_dead_letter() -> None:
    driver = Queues()
    driver.put("a")
    driver.ask(BuryItem(driver.claim_one(), "no such file", "OSError"))

    (letter,) = driver.ask(ListDeadLetters("q")).letters
    assert (letter.reason, letter.error) == ("no such file", "OSError")
    assert driver.counts().dead == 1


def test_dead_letters_are_read_in_pages() -> None:
    driver = Queues()
    driver.bury("a", "b", "c")

    assert driver.dead(count=2) == ["a", "b"]
    assert driver.dead(after=2) == ["c"]
    assert driver.dead(after=3) == []


def test_a_dead_letter_that_is_driven_again_has_its_old_place_and_no_past() -> None:
    driver = Queues(max_deliveries=1)
    driver.put("a", "b")
    driver.give_back(driver.claim_one())

    assert driver.ask(RedriveItems("q")) == 1
    receipt = driver.claim_one()
    assert (receipt.message, receipt.delivery) == (1, 1)


def test_dead_letters_can_be_driven_into_another_queue() -> None:
    driver = Queues()
    driver.ask(OpenQueue("other"))
    driver.put("z", queue="other")
    driver.bury("a", "b")
    token = driver.start(TakeItems("other", 3, "p"))

    assert driver.ask(RedriveItems("q", 1, "other")) == 1
    assert driver.take(3, queue="other") == ["z", "a"]
    assert driver.dead() == ["b"]
    assert token not in driver.answers


@pytest.mark.parametrize(("count", "moved"), [(-1, 0), (0, 0), (10**30, 2)])
def test_any_number_of_dead_letters_may_be_asked_for(count: int, moved: int) -> None:
    driver = Queues()
    driver.bury("a", "b")

    assert driver.ask(RedriveItems("q", count)) == moved


def test_a_full_queue_gets_no_dead_letters_back() -> None:
    driver = Queues(max_items=1)
    driver.bury("a")
    driver.put("b")

    assert driver.ask(RedriveItems("q")) == 0
    assert driver.dead() == ["a"]


def test_too_many_dead_letters_are_dropped_and_that_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(handling, "MOST_DEAD", 1)
    driver = Queues()
    driver.bury("a")
    driver.bury("b")

    assert driver.dead() == ["b"]
    assert driver.told()[-1] == "dropped"


def test_the_key_of_a_dead_letter_is_known() -> None:
    driver = Queues()
    driver.put("a", key="k")
    driver.ask(BuryItem(driver.claim_one()))

    assert driver.put("b", key="k") is False


# --- what survives --------------------------------------------------------------------------------


def test_where_nothing_is_kept_nothing_is_written_down() -> None:
    driver = Queues(is_kept=False)
    driver.put("a", "b", key=None)
    driver.put("c", key="k")
    driver.take()
    driver.ack(*driver.claim(2))
    driver.ask(DeleteQueue("q"))

    assert driver.records == {}


def test_messages_survive_in_their_order() -> None:
    driver = Queues(max_items=9, max_deliveries=3)
    driver.put("a", "b", "c")
    driver.put("d", partition="p")
    driver.give_back(driver.claim_one())
    driver.restart()

    assert driver.take(3) == ["a", "b", "c"]
    assert driver.take(partition="p") == ["d"]
    found = driver.ask(GetQueue("q"))
    assert (found.max_items, found.max_deliveries) == (9, 3)


def test_what_was_taken_or_cleared_stays_away() -> None:
    driver = Queues()
    driver.put("a", "b")
    driver.take()
    driver.clear()
    driver.restart()

    assert driver.take() == []


def test_a_claim_survives_with_a_full_new_lease() -> None:
    driver = Queues()
    driver.put("a")
    receipt = driver.claim_one(lease_s=10.0)
    driver.pass_s(9.0)
    driver.restart()
    driver.pass_s(9.0)

    assert driver.take() == []
    assert driver.ack(receipt) == 1


def test_a_later_claim_has_a_larger_fence_after_a_restart() -> None:
    driver = Queues()
    driver.put("a")
    old = driver.claim_one()
    driver.give_back(old)
    driver.restart()

    assert driver.claim_one().fence > old.fence


def test_delays_and_times_to_live_survive() -> None:
    driver = Queues()
    driver.put("a", delay_s=10.0)
    driver.put("b", ttl_s=10.0)
    driver.pass_s(5.0)
    driver.restart()
    assert driver.seen() == ["b"]
    driver.pass_s(5.0)

    assert driver.seen() == ["a"]


def test_keys_and_acknowledgements_survive() -> None:
    driver = Queues()
    driver.put("a", key="k")
    receipt = driver.claim_one()
    driver.ack(receipt)
    driver.restart()

    assert driver.put("b", key="k") is False
    assert driver.ack(receipt) == 0


def test_dead_letters_survive_with_their_history() -> None:
    driver = Queues()
    driver.put("a", "b")
    first, second = driver.claim(2)
    driver.ask(BuryItem(second, "second"))
    driver.pass_s(1.0)
    driver.ask(BuryItem(first, "first"))
    before = driver.ask(ListDeadLetters("q")).letters
    driver.restart()

    assert driver.ask(ListDeadLetters("q")).letters == before
    assert driver.dead() == ["b", "a"]


def test_what_is_ephemeral_leaves_nothing() -> None:
    driver = Queues()
    driver.ask(OpenQueue("brief", ephemeral=True))
    driver.put("a", queue="brief", key="k")
    driver.take(queue="brief")
    driver.put("b", queue="brief")

    assert driver.records.keys() == {"queues/1"}


def test_what_is_ephemeral_ends_with_the_process_that_made_it() -> None:
    driver = Queues()
    job = driver.ran()
    driver.ask(OpenQueue("brief", ephemeral=True), driver.inside(job))
    driver.ask(OpenQueue("lasting"), driver.inside(job))
    waiting = driver.start(TakeItems("brief"))
    driver.died()

    assert isinstance(driver.answers[waiting], NotFound)
    with pytest.raises(NotFound):
        driver.ask(GetQueue("brief"))
    assert driver.ask(GetQueue("lasting")).partitions == {}


def test_what_is_ephemeral_and_was_deleted_does_not_end_another_one_of_its_name() -> None:
    driver = Queues()
    job = driver.ran()
    driver.ask(OpenQueue("brief", ephemeral=True), driver.inside(job))
    driver.ask(DeleteQueue("brief"))
    driver.ask(OpenQueue("brief", ephemeral=True))
    driver.died()

    assert driver.ask(GetQueue("brief")).is_ephemeral


def test_queues_made_after_a_restart_are_others() -> None:
    driver = Queues()
    driver.put("a")
    driver.restart()
    driver.ask(OpenQueue("other"))
    driver.put("b", queue="other")
    driver.restart()

    assert driver.take() == ["a"]
    assert driver.take(queue="other") == ["b"]


def test_a_partition_of_which_only_the_past_is_known_is_none() -> None:
    driver = Queues()
    driver.ask(put("a", partition="p", key="k"))
    driver.take(partition="p")
    driver.restart()

    assert driver.ask(GetQueue("q")).partitions == {}
