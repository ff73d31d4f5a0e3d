from __future__ import annotations

from typing import Any

import pytest

from apothic_backends.commands import ReadEvents
from apothic_backends.commands.dicts import (
    ClearDict,
    CountKeys,
    DeleteDict,
    GetKeys,
    PopKey,
    PutKey,
    ReadDict,
    RenewKey,
    UpdateKeys,
)
from apothic_backends.model.dicts import MOST_KEY, MOST_VALUE
from apothic_backends.model.errors import Fenced, InvalidOption, NotFound, ValueTooLarge
from apothic_backends.model.payloads import PICKLES, Payload
from apothic_emulator.core import eventlog, leases
from tests.unit.emulator.core.dict_driving import DictDriver


def value(text: str) -> Payload:
    return Payload(text.encode())


# --- reads and writes ---------------------------------------------------------------------------


def test_what_is_written_can_be_read() -> None:
    driver = DictDriver()
    rev = driver.put("a", "x")

    entry = driver.entry("a")

    assert entry is not None
    assert (entry.value.data, entry.rev, entry.lease_s) == (b"x", rev, None)


def test_what_was_never_written_is_not_there() -> None:
    assert DictDriver().entry("a") is None


def test_each_write_has_a_larger_revision_in_whichever_dict() -> None:
    driver = DictDriver()

    revs: list[int] = [
        driver.send(PutKey(name, "a", value("x"), create=True)) for name in ("d", "e", "d")
    ]

    assert revs == sorted(set(revs))


def test_keys_stay_where_they_came() -> None:
    driver = DictDriver()
    for key in ("b", "a", "c", "a"):
        driver.put(key)

    assert driver.keys() == ("b", "a", "c")


def test_a_key_that_comes_again_comes_last() -> None:
    driver = DictDriver()
    driver.put("a")
    driver.put("b")
    driver.pop("a")
    driver.put("a")

    assert driver.keys() == ("b", "a")


def test_everything_can_be_read_at_one_moment() -> None:
    driver = DictDriver()
    driver.put("a", "one")
    driver.put("b", "three")

    contents = driver.send(ReadDict("d", values=True))

    assert contents.keys == ("a", "b")
    assert contents.values == Payload(b"\3\0\0\0\5\0\0\0onethree", codec=PICKLES)


def test_several_keys_are_read_at_one_moment() -> None:
    driver = DictDriver()
    driver.put("a", "x")

    a, b = driver.send(GetKeys("d", ("a", "b")))

    assert (a.value, b) == (value("x"), None)


def test_several_keys_are_written_together() -> None:
    driver = DictDriver()
    before = driver.put("z")
    assert before is not None

    rev = driver.send(UpdateKeys("d", ("a", "b"), (value("x"), value("y"))))

    assert rev == before + 2
    assert (driver.value("a"), driver.value("b")) == ("x", "y")


def test_of_several_keys_none_is_written_if_one_is_refused() -> None:
    driver = DictDriver()
    large = Payload(bytes(MOST_VALUE + 1))

    with pytest.raises(ValueTooLarge):
        driver.send(UpdateKeys("d", ("a", "b"), (value("x"), large), create=True))

    assert driver.count() == 0


def test_several_keys_need_as_many_values() -> None:
    with pytest.raises(InvalidOption, match="one value for each key"):
        DictDriver().send(UpdateKeys("d", ("a", "b"), (value("x"),), create=True))


def test_a_key_that_is_taken_out_is_gone() -> None:
    driver = DictDriver()
    driver.put("a", "x")

    taken = driver.pop("a")

    assert taken is not None
    assert taken.value == value("x")
    assert (driver.pop("a"), driver.count()) == (None, 0)


def test_clearing_takes_out_everything() -> None:
    driver = DictDriver()
    driver.put("a")
    driver.put("b", lease_s=5.0)

    assert driver.send(ClearDict("d")) == 2
    assert (driver.send(ClearDict("d")), driver.count()) == (0, 0)


# --- conditions ---------------------------------------------------------------------------------


def test_a_write_for_an_absent_key_is_done_once() -> None:
    driver = DictDriver()

    assert driver.put("a", "x", if_rev=0)
    assert driver.put("a", "y", if_rev=0) is None
    assert driver.value("a") == "x"


def test_a_write_at_a_revision_is_done_only_at_that() -> None:
    driver = DictDriver()
    first = driver.put("a", "x")
    second = driver.put("a", "y", if_rev=first)

    assert second
    assert driver.put("a", "z", if_rev=first) is None
    assert driver.put("b", "z", if_rev=first) is None
    assert driver.value("a") == "y"


def test_taking_out_at_a_revision_is_done_only_at_that() -> None:
    driver = DictDriver()
    first = driver.put("a", "x")
    second = driver.put("a", "x")

    assert driver.pop("a", if_rev=first) is None
    assert driver.pop("a", if_rev=second)


# --- names, sizes -------------------------------------------------------------------------------


def test_a_dict_that_nobody_made_is_not_found() -> None:
    driver = DictDriver()
    driver.put("a")

    with pytest.raises(NotFound, match="create_if_missing") as refused:
        driver.send(CountKeys("e"))

    assert refused.value.data["known"] == ["d"]


def test_an_ephemeral_dict_that_is_gone_is_not_found() -> None:
    with pytest.raises(NotFound, match="ephemeral"):
        DictDriver().send(CountKeys("~abc"))


@pytest.mark.parametrize("name", ["", "a/b", "a b", "é", "x" * 65, "~", "~~a"])
def test_what_cannot_be_a_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidOption, match="name"):
        DictDriver().send(CountKeys(name, create=True))


@pytest.mark.parametrize("key", ["", "x" * (MOST_KEY + 1)])
def test_a_key_has_a_fair_length(key: str) -> None:
    with pytest.raises(InvalidOption, match="key"):
        DictDriver().put(key)


def test_a_value_has_a_fair_size() -> None:
    driver = DictDriver()
    driver.send(PutKey("d", "a", Payload(bytes(MOST_VALUE)), create=True))

    with pytest.raises(ValueTooLarge, match="volume"):
        driver.send(PutKey("d", "a", Payload(bytes(MOST_VALUE + 1))))


def test_a_value_is_one_pickle() -> None:
    with pytest.raises(InvalidOption, match="buffers"):
        DictDriver().send(PutKey("d", "a", Payload(b"x", (b"y",)), create=True))


def test_a_dict_that_is_deleted_is_not_found() -> None:
    driver = DictDriver()
    driver.put("a", lease_s=5.0)

    assert driver.send(DeleteDict("d"))
    assert not driver.send(DeleteDict("d"))
    with pytest.raises(NotFound):
        driver.send(CountKeys("d"))


# --- leases -------------------------------------------------------------------------------------


def test_a_key_goes_when_its_lease_is_over() -> None:
    driver = DictDriver()
    driver.put("a", lease_s=5.0)
    driver.pass_s(4.999)
    assert driver.value("a") == "v"

    driver.pass_s(0.001)

    assert driver.value("a") is None


def test_a_key_goes_with_one_event() -> None:
    driver = DictDriver()
    driver.put("a", lease_s=5.0)
    driver.pass_s(60.0)

    assert driver.ops() == ["put", "expired"]


def test_a_key_stays_for_as_long_as_it_is_renewed() -> None:
    driver = DictDriver()
    driver.put("a", lease_s=5.0)
    driver.pass_s(4.0)
    assert driver.renew_key("a", 5.0)
    driver.pass_s(4.999)

    assert driver.value("a") == "v"
    driver.pass_s(0.001)
    assert driver.value("a") is None


def test_a_lease_can_be_made_shorter() -> None:
    driver = DictDriver()
    driver.put("a", lease_s=500.0)
    driver.renew_key("a", 5.0)
    driver.pass_s(5.0)

    assert driver.value("a") is None
    driver.pass_s(600.0)


def test_a_key_without_a_lease_can_be_given_one() -> None:
    driver = DictDriver()
    driver.put("a")
    driver.renew_key("a", 5.0)
    driver.pass_s(5.0)

    assert driver.value("a") is None


def test_a_plain_write_takes_the_lease_off() -> None:
    driver = DictDriver()
    driver.put("a", lease_s=5.0)
    driver.put("a", "w")
    driver.pass_s(60.0)

    assert driver.value("a") == "w"


def test_what_is_not_there_cannot_be_renewed() -> None:
    driver = DictDriver()
    rev = driver.put("a", lease_s=5.0)

    assert not driver.renew_key("b", 5.0)
    assert not driver.renew_key("a", 5.0, if_rev=0)
    assert driver.renew_key("a", 5.0, if_rev=rev)


@pytest.mark.parametrize("lease_s", [0.999, 43_200.5, -1.0, float("nan")])
def test_a_lease_has_a_fair_length(lease_s: float) -> None:
    driver = DictDriver()
    with pytest.raises(InvalidOption, match="lease_s"):
        driver.put("a", lease_s=lease_s)
    with pytest.raises(InvalidOption, match="lease_s"):
        driver.renew_key("a", lease_s)


def test_leases_of_keys_that_are_gone_hold_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "_MANY", 3)
    driver = DictDriver()
    driver.put("stays", lease_s=500.0)
    driver.put("sooner", lease_s=500.0)
    driver.renew_key("sooner", 5.0)
    for _ in range(20):
        driver.put("a", lease_s=400.0)
        driver.pop("a")
    rules: Any = driver.plane.shared.part("dicts")

    assert len(rules.leases._heap) < 10
    driver.pass_s(5.0)
    assert driver.keys() == ("stays",)


# --- fences -------------------------------------------------------------------------------------


def test_writes_with_the_fence_of_a_held_lock_are_done() -> None:
    driver = DictDriver()
    fence = driver.acquire("me")

    assert driver.put("a", fence=fence)
    assert driver.send(UpdateKeys("d", ("b",), (value("x"),), fence=fence))
    assert driver.renew_key("a", 5.0, fence=fence)
    assert driver.pop("a", fence=fence)
    assert driver.send(ClearDict("d", fence=fence)) == 1


def test_writes_with_the_fence_of_a_lost_lock_are_refused() -> None:
    driver = DictDriver()
    driver.put("a", "x")
    fence = driver.acquire("me")
    driver.pass_s(15.0)
    commands = [
        PutKey("d", "a", value("y"), fence=fence),
        UpdateKeys("d", ("a",), (value("y"),), fence=fence),
        RenewKey("d", "a", 5.0, fence=fence),
        ClearDict("d", fence=fence),
    ]

    for command in commands:
        with pytest.raises(Fenced, match='the lock "k" of dict d'):
            driver.send(command)
    with pytest.raises(Fenced):
        driver.pop("a", fence=fence)

    assert driver.value("a") == "x"


# --- events -------------------------------------------------------------------------------------


def test_what_happens_to_keys_is_told() -> None:
    driver = DictDriver()
    rev = driver.put("a", "x", lease_s=5.0)
    gone = driver.pop("a")
    driver.put("b")
    driver.send(ClearDict("d"))
    driver.send(DeleteDict("d"))

    told = driver.told()

    assert gone is not None
    assert [event.event for event in told] == [*["dict.changed"] * 4, "dict.deleted"]
    assert [event.data.get("op") for event in told] == ["put", "deleted", "put", "cleared", None]
    first = {"op": "put", "key": "a", "rev": rev, "lease_s": 5.0, "value": value("x"), "at": 100.0}
    assert told[0].data == first
    assert [event.data["rev"] for event in told] == sorted({event.data["rev"] for event in told})


def test_a_watch_begins_with_what_is_there() -> None:
    driver = DictDriver()
    rev = driver.put("a", "x")
    fence = driver.acquire("me")

    [snapshot] = driver.told(snapshot=True)

    assert snapshot.event == "dict.snapshot"
    assert snapshot.data == {
        "name": "d",
        "rev": fence,
        "entries": {"a": {"value": value("x"), "rev": rev, "lease_s": None}},
        "held": [{"kind": "lock", "key": '"k"', "holder": "me", "fence": fence}],
    }


def test_a_watch_can_choose_keys() -> None:
    driver = DictDriver()
    for key in ("a", "b", "ca", "cb"):
        driver.put(key)

    [snapshot] = driver.told(snapshot=True, prefix="c")
    told = driver.told(keys=("a",))

    assert list(snapshot.data["entries"]) == ["ca", "cb"]
    assert [event.data["key"] for event in told] == ["a"]


def test_a_watch_of_a_dict_that_is_not_there_is_refused() -> None:
    with pytest.raises(NotFound, match="no dict 'd'"):
        DictDriver().told(snapshot=True)
    with pytest.raises(NotFound, match="no dict 'd'"):
        DictDriver().ask(ReadEvents("dicts:d"))


def test_a_watcher_waits_for_the_next_event() -> None:
    driver = DictDriver()
    driver.put("a")
    token = driver.start(ReadEvents("dicts:d", keys=("a",)))
    driver.put("b")
    assert driver.is_owed(token)
    driver.put("a")

    assert [event.data["key"] for event in driver.answered(token).events] == ["a"]


def test_the_log_holds_a_bounded_amount_of_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eventlog, "RETAINED_VALUES", 40)
    driver = DictDriver()
    start = driver.plane.shared.feed.events.cursor
    for _ in range(20):
        driver.put("a", "0123456789")
    events = driver.plane.shared.feed.events

    assert events.value_bytes < 80
    assert len(events.entries) == events.value_bytes / 10
    reset, snapshot = driver.send(ReadEvents("dicts:d", after=start)).events
    assert (reset.event, reset.data["reason"]) == ("stream.reset", "compacted")
    assert snapshot.event == "dict.snapshot"


def test_values_of_events_that_are_gone_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eventlog, "RETAINED", 2)
    monkeypatch.setattr(eventlog, "RETAINED_VALUES", 40)
    driver = DictDriver()
    for _ in range(40):
        driver.put("a", "0123456789")

    assert len(driver.plane.shared.feed.events.entries) <= 4
    assert driver.plane.shared.feed.events.value_bytes < 80


# --- restarts -----------------------------------------------------------------------------------


def test_dicts_outlive_the_control_plane() -> None:
    driver = DictDriver()
    driver.put("b/c", "x")
    driver.put("a", "y")
    rev = driver.put("b/c", "z")
    driver.put("gone")
    driver.pop("gone")
    driver.restart()

    entry = driver.entry("b/c")

    assert driver.keys() == ("b/c", "a")
    assert entry is not None
    assert (entry.value, entry.rev) == (value("z"), rev)
    after = driver.put("a")
    assert after is not None
    assert after > entry.rev


def test_leases_begin_anew_after_a_restart() -> None:
    driver = DictDriver()
    driver.put("a", lease_s=5.0)
    driver.put("b")
    driver.renew_key("b", 7.0)
    driver.pass_s(4.0)
    driver.restart()
    driver.pass_s(4.999)
    assert driver.keys() == ("a", "b")

    driver.pass_s(0.001)
    assert driver.keys() == ("b",)
    driver.pass_s(2.0)
    assert driver.keys() == ()


def test_ephemeral_dicts_end_with_the_control_plane() -> None:
    driver = DictDriver()
    driver.send(PutKey("~abc", "a", value("x"), create=True))
    driver.send(PutKey("~abc", "b", value("x")))
    driver.send(PopKey("~abc", "b"))
    kept = driver.kept()
    driver.restart()

    assert kept == []
    with pytest.raises(NotFound):
        driver.send(CountKeys("~abc"))


def test_a_deleted_dict_leaves_no_record() -> None:
    driver = DictDriver()
    driver.put("a")
    driver.acquire("me")
    driver.send(DeleteDict("d"))

    assert driver.kept() == []


def test_a_record_that_is_none_of_dicts_is_refused() -> None:
    driver = DictDriver()

    with pytest.raises(ValueError, match="no record of dicts"):
        driver.plane.load([("dicts/1/2/3/4", b"")], 0.0)
