"""Volumes that lie on one host: rented once, before the first machine with it; never replaced."""

from __future__ import annotations

from typing import Any, TypeVar

import pytest

from apothic_backends.commands.machines import AllowMachines, ReleaseMachines
from apothic_backends.model.functions import Condition, MountSpec
from apothic_backends.providers.base import SeenVolume, VolumeListing
from apothic_emulator.core.effects import Effect
from apothic_emulator.core.facts import Tick
from apothic_emulator.core.listed import SETTLE_S
from apothic_emulator.core.local_volumes import EMPTY_S
from apothic_emulator.core.renting import (
    DeleteVolume,
    Failure,
    ListLabels,
    OffersFound,
    Rent,
    RentedVolume,
    RentVolume,
    SeekOffers,
    Terms,
    VolumeDropped,
    VolumeEnded,
    VolumeRented,
    VolumesSeen,
)
from tests.unit.emulator.core.renting import GONE, UNCLEAR, Renter, offer

T = TypeVar("T")

DATA = MountSpec("volume", "data", "/data", create="vast_local")
ROOM: Any = {"avail_vol_size": 100.0}
RATE = 0.0042


class Keeper(Renter):
    """Its function mounts a volume that lies on one host."""

    def __init__(self, **how: Any) -> None:
        self.labels: ListLabels | None = None
        self.deleted: list[DeleteVolume] = []
        how.setdefault("mounts", (DATA,))
        super().__init__(**how)

    def step(self, *inputs: Any) -> list[Effect]:
        effects = super().step(*inputs)
        for it in effects:
            if isinstance(it, ListLabels):
                self.labels = it
            elif isinstance(it, DeleteVolume):
                self.deleted.append(it)
        return effects

    def restart(self, after_s: float = 0.0) -> list[Effect]:
        self.labels = None
        return super().restart(after_s)

    def seeks(self) -> RentVolume:
        """A job waits, and a volume is asked for on the host of the cheapest offer."""
        self.submit()
        self.has(offer(host=1, **ROOM), offer("o2", 0.4, host=2, **ROOM))
        (asked,) = self.wanted(RentVolume)
        return asked

    def has(self, *offers: Any) -> list[Rent]:
        self.ask(OffersFound(1, "vast", offers))
        return self.wanted(Rent)

    def made(self, asked: RentVolume, number: int = 1) -> list[Rent]:
        self.ask(VolumeRented(asked.volume, "vast", asked.order.label, self.shown(asked, number)))
        return self.wanted(Rent)

    def not_made(self, asked: RentVolume, failure: Failure) -> list[Effect]:
        self.ask(VolumeRented(asked.volume, "vast", asked.order.label, None, failure))
        return self.effects

    def shown(self, asked: RentVolume, number: int = 1) -> SeenVolume:
        return SeenVolume(f"{number}", asked.order.label, asked.order.host, 20.0, RATE)

    def volume(self) -> Rent:
        """A machine is asked for, with its volume."""
        (rent,) = self.made(self.seeks())
        return rent

    def in_use(self) -> Rent:
        """A machine is up with its volume, and runs the job for which it was rented."""
        rent = self.volume()
        self.rented(rent)
        self.comes_up(rent.tag)
        return rent

    def gives_back(self) -> None:
        """The machine has nothing to do any more, and is gone."""
        self.finish()
        self.start(ReleaseMachines(timeout_s=0))
        self.now += SETTLE_S
        self.lists()
        self.lists()
        assert not self.machines
        self.ask(AllowMachines())

    def finish(self) -> None:
        """The job that it was rented for ends."""
        self.loads()
        self.accepts(1)
        self.report(1)
        assert self.status(1) == "succeeded"

    def sees(self, *seen: SeenVolume, whole: bool = True) -> None:
        """A provider lists volumes, when it is asked next."""
        for _ in range(400):
            if self.labels is not None:
                break
            self.now = max(self.now, self.plane.alarm)
            self.beats()
            self.step(Tick())
        assert self.labels is not None
        labels, self.labels = self.labels, None
        self.ask(VolumesSeen("vast", labels.asked_at, VolumeListing(seen, whole)))

    @property
    def statuses_of_volumes(self) -> list[str]:
        return [it.status for it in self.cloud.volumes]

    @property
    def why(self) -> str:
        (told,) = self.cloud.waiting.values()
        return told


@pytest.fixture
def it() -> Keeper:
    return Keeper()


# --- the first placement -------------------------------------------------------------------------


def test_a_volume_is_written_down_and_asked_for_before_a_machine_on_its_host(it: Keeper) -> None:
    asked = it.seeks()

    assert it.wanted(Rent) == []
    assert asked.name == "data"
    assert (asked.order.host, asked.order.size_gb) == ("1", 20)
    assert asked.order.label == "apothic_e1_1_e1"
    assert it.why == "volume data is being rented on vast's machine 1: creating"
    assert it.records["machines/volume/1"]

    (rent,) = it.made(asked)

    assert rent.offer.values["machine_id"] == 1
    assert rent.volume == RentedVolume("data", "1", "1")
    assert it.statuses_of_volumes == ["there"]
    assert it.cloud.volumes[0].machines == ("machines:2",)


def test_offers_are_sought_at_vast_with_room_for_it(it: Keeper) -> None:
    it.submit()

    (seek,) = it.wanted(SeekOffers)

    conditions = {(one.field, one.operator, one.value) for one in seek.spec.placement}
    assert conditions == {("provider", "eq", "vast"), ("avail_vol_size", "gte", 20)}


def test_a_host_without_room_for_it_is_not_taken(it: Keeper) -> None:
    it.submit()

    it.has(offer(avail_vol_size=10.0))

    assert it.wanted(RentVolume) == []
    assert "1 do not meet room for volume data, 20 GB" in it.why


def test_it_counts_for_what_may_be_spent(it: Keeper) -> None:
    asked = it.seeks()
    assert it.cloud.usd_per_hour == pytest.approx(20 * 0.5 / 720)

    it.made(asked)

    assert it.cloud.usd_per_hour == pytest.approx(0.33 + RATE)


def test_it_is_not_rented_where_it_and_its_machine_cost_more_than_may_be_spent() -> None:
    it = Keeper(terms=Terms(("vast",), 0.305))
    it.submit()

    it.has(offer(host=1, **ROOM))

    assert it.wanted(RentVolume) == []
    assert "what will do costs $0.3139/h at the least" in it.why


def test_what_is_not_made_is_tried_on_another_host(it: Keeper) -> None:
    asked = it.seeks()

    it.not_made(asked, GONE)
    assert it.wanted(SeekOffers)
    it.has(offer(host=1, **ROOM), offer("o2", 0.4, host=2, **ROOM))

    (again,) = it.wanted(RentVolume)
    assert again.order.host == "2"
    assert again.order.label != asked.order.label
    assert it.statuses_of_volumes == ["creating"]


def test_of_what_is_unclear_no_second_one_is_asked_for_until_a_listing_has_told(
    it: Keeper,
) -> None:
    asked = it.seeks()

    it.not_made(asked, UNCLEAR)
    assert it.wanted(RentVolume) == it.wanted(Rent) == []
    assert it.statuses_of_volumes == ["unclear"]
    it.sees(it.shown(asked))

    assert it.statuses_of_volumes == ["there"]
    it.submit()
    it.has(offer(host=1, **ROOM))
    assert [one.volume for one in it.wanted(Rent)] == [RentedVolume("data", "1", "1")]


def test_what_two_listings_do_not_show_was_not_made(it: Keeper) -> None:
    asked = it.seeks()
    it.not_made(asked, UNCLEAR)

    it.now += SETTLE_S
    it.sees()
    it.sees(whole=False)
    assert it.statuses_of_volumes == ["unclear"]
    it.sees()

    assert it.statuses_of_volumes == []
    it.has(offer(host=2, **ROOM))
    assert [one.order.host for one in it.wanted(RentVolume)] == ["2"]


def test_one_that_was_given_up_and_is_made_later_is_deleted(it: Keeper) -> None:
    asked = it.seeks()
    it.not_made(asked, UNCLEAR)
    it.now += SETTLE_S
    it.sees()
    it.sees()

    it.sees(it.shown(asked, 7))

    assert [one.provider_id for one in it.deleted] == ["7"]


def test_a_second_one_under_one_label_is_deleted(it: Keeper) -> None:
    asked = it.seeks()
    it.made(asked)

    it.sees(it.shown(asked), it.shown(asked, 2))

    assert [one.provider_id for one in it.deleted] == ["2"]
    assert it.statuses_of_volumes == ["there"]


def test_one_that_nobody_knows_may_have_data_and_is_left_alone(it: Keeper) -> None:
    asked = it.seeks()
    it.made(asked)

    it.sees(it.shown(asked), SeenVolume("9", "apothic_e1_77_e9", "4", 20.0, RATE))

    assert it.deleted == []
    assert "it does not know: apothic_e1_77_e9" in it.cloud.note
    it.sees(it.shown(asked))
    assert it.cloud.note == ""


def test_without_vast_nothing_is_rented_and_that_is_told() -> None:
    it = Keeper(terms=Terms(("fly",), 1.0))

    it.submit()

    assert it.wanted(SeekOffers) == []
    assert "volume data is vast_local, and nothing is rented at Vast here" in it.why


def test_others_than_vast_are_not_asked() -> None:
    it = Keeper(terms=Terms(("fly", "vast"), 1.0))

    it.submit()
    assert [one.provider for one in it.wanted(SeekOffers)] == ["vast"]
    it.has()

    assert "machines of fly have no volume data" in it.why


def test_an_answer_about_what_is_known_no_more_changes_nothing(it: Keeper) -> None:
    asked = it.seeks()
    it.not_made(asked, GONE)

    it.made(asked)
    it.ask(VolumeEnded(asked.volume))
    it.ask(VolumesSeen("vast", -1.0, VolumeListing(())))
    it.ask(VolumeRented(99, "fly", "x", None, GONE))

    assert it.statuses_of_volumes == []


def test_an_answer_that_tells_nothing_leaves_it_unclear(it: Keeper) -> None:
    asked = it.seeks()

    it.ask(VolumeRented(asked.volume, "vast", asked.order.label))

    assert it.statuses_of_volumes == ["unclear"]


# --- one that is empty ---------------------------------------------------------------------------


def test_an_empty_one_goes_where_no_machine_is_to_be_had_with_it(it: Keeper) -> None:
    rent = it.volume()

    it.not_rented(rent, GONE)

    assert [one.provider_id for one in it.deleted] == ["1"]
    assert it.statuses_of_volumes == ["destroying"]
    it.has(offer(host=1, **ROOM), offer("o2", 0.4, host=2, **ROOM))
    assert [one.order.host for one in it.wanted(RentVolume)] == ["2"]
    assert it.statuses_of_volumes == ["destroying", "creating"]


def test_an_empty_one_goes_where_nobody_waits_for_it_any_more(it: Keeper) -> None:
    job = it.submit()
    it.has(offer(host=1, **ROOM))
    (asked,) = it.wanted(RentVolume)
    it.cancel(job)
    it.made(asked)

    it.wait_until(it.now + 2 * EMPTY_S)

    assert it.statuses_of_volumes == ["destroying"]


def test_an_empty_one_stays_while_a_machine_may_come_up_with_it(it: Keeper) -> None:
    rent = it.volume()
    it.rented(rent)

    it.wait_until(it.now + EMPTY_S + 1)

    assert it.statuses_of_volumes == ["there"]


def test_one_that_a_listing_misses_while_it_is_empty_is_made_anew(it: Keeper) -> None:
    it.made(it.seeks())

    it.now += SETTLE_S
    it.sees()
    it.sees()

    assert it.statuses_of_volumes == []


# --- one that has data ---------------------------------------------------------------------------


def test_later_machines_are_rented_on_its_host_alone(it: Keeper) -> None:
    it.in_use()
    it.gives_back()
    it.submit()
    (seek,) = it.wanted(SeekOffers)
    conditions = {(one.field, one.operator, one.value) for one in seek.spec.placement}
    assert conditions == {("provider", "eq", "vast"), ("machine_id", "eq", 1)}

    it.has(offer("cheap", 0.1, host=2), offer("o1", 0.3, host=1))

    assert [one.offer.name for one in it.wanted(Rent)] == ["o1"]
    assert it.statuses_of_volumes == ["there"]


def test_it_costs_though_nothing_runs(it: Keeper) -> None:
    it.in_use()
    it.gives_back()
    before = it.cloud

    it.now += 3600.0

    assert before.usd_per_hour == pytest.approx(RATE)
    assert it.cloud.spent_usd - before.spent_usd == pytest.approx(RATE, rel=0.01)


def test_where_its_host_has_nothing_the_wait_names_volume_host_and_way_out(it: Keeper) -> None:
    it.in_use()
    it.gives_back()
    it.submit()

    it.has()

    assert it.why.startswith("none of 0 offers will do; volume data is on vast's machine 1 alone")
    assert "apothic volume rm -r data" in it.why


def test_where_its_host_does_not_meet_what_is_asked_for_the_wait_says_so() -> None:
    dear = Condition("dph_total", "lte", 0.35, "max_cost_per_hour_usd=0.35")
    it = Keeper(placement=(dear,))
    it.in_use()
    it.gives_back()
    it.submit()

    it.has(offer("o1", 0.5, host=1))

    assert it.wanted(Rent) == []
    assert "1 do not meet max_cost_per_hour_usd=0.35; volume data is on vast's machine 1" in it.why


def test_its_host_is_tried_again_after_machines_there_have_failed(it: Keeper) -> None:
    it.in_use()
    it.gives_back()
    it.submit()
    (rent,) = it.has(offer("o1", 0.3, host=1))
    it.not_rented(rent, GONE)
    assert it.statuses_of_volumes == ["there"]

    (again,) = it.has(offer("o1", 0.3, host=1))

    assert again.offer.name == "o1"


def test_a_function_does_not_run_on_a_machine_without_its_volume(it: Keeper) -> None:
    rent = it.in_use()
    it.wait_until(it.now + 1)
    agent = next(iter(it.plane.fleet.agents.far.values()))
    spec = it.job(1).function.spec

    assert agent.tag == rent.tag
    assert agent.takes(spec)
    agent.volume = "another"
    assert agent.lacks(spec) == ["it has no volume data"]
    assert agent.lacks(spec.replace(mounts=())) == []


def test_it_is_never_replaced_when_its_host_has_lost_it(it: Keeper) -> None:
    rent = it.in_use()
    asked = next(iter(it.cloud.volumes))
    it.gives_back()

    it.sees()
    it.sees()
    it.submit()

    assert it.statuses_of_volumes == ["lost"]
    assert it.cloud.usd_per_hour == 0
    assert "is not there any more: all that was in it is lost" in it.why
    assert it.wanted(SeekOffers) == []
    assert rent.volume is not None
    it.sees(SeenVolume("1", asked.label, "1", 20.0, RATE))
    assert it.statuses_of_volumes == ["there"]


def test_one_that_is_lost_is_given_up_when_its_volume_is_deleted(it: Keeper) -> None:
    it.in_use()
    it.gives_back()
    it.sees()
    it.sees()
    it.sees()

    it.ask(VolumeDropped("data"))

    assert it.statuses_of_volumes == []


# --- the end -------------------------------------------------------------------------------------


def test_it_is_deleted_with_its_volume_again_and_again_until_it_is_gone(it: Keeper) -> None:
    it.in_use()
    (agent,) = it.plane.fleet.agents.far.values()
    assert agent.volume == "data"

    it.ask(VolumeDropped("data"))
    it.ask(VolumeEnded(1, Failure("provider_error", "it is in use")))
    assert it.cloud.volumes[0].note == "it cannot be deleted yet: it is in use"
    assert agent.volume == ""
    it.wait_until(it.now + 60)
    assert len(it.deleted) >= 2
    it.ask(VolumeEnded(1))
    it.sees()
    it.sees()
    it.sees()
    it.sees()

    assert it.statuses_of_volumes == []
    assert it.cloud.usd_per_hour == pytest.approx(0.3)


def test_one_that_is_deleted_while_it_is_made_goes_once_it_is_there(it: Keeper) -> None:
    asked = it.seeks()

    it.ask(VolumeDropped("data"))
    assert it.deleted == []
    it.made(asked)

    assert [one.provider_id for one in it.deleted] == ["1"]
    assert it.statuses_of_volumes[0] == "destroying"


def test_one_that_was_not_made_after_it_was_deleted_is_gone(it: Keeper) -> None:
    asked = it.seeks()
    it.ask(VolumeDropped("data"))

    it.not_made(asked, UNCLEAR)
    it.not_made(asked, GONE)

    assert "there" not in it.statuses_of_volumes


def test_a_machine_that_comes_up_with_one_that_goes_has_none(it: Keeper) -> None:
    rent = it.volume()
    it.rented(rent)

    it.ask(VolumeDropped("data"))
    it.comes_up(rent.tag)

    (agent,) = it.plane.fleet.agents.far.values()
    assert agent.volume == ""


def test_a_volume_that_is_not_rented_is_deleted_without_more(it: Keeper) -> None:
    it.ask(VolumeDropped("other"))

    assert it.deleted == []


def test_machines_are_released_and_it_stays(it: Keeper) -> None:
    it.in_use()

    it.start(ReleaseMachines(timeout_s=0))

    assert it.statuses_of_volumes == ["there"]
    assert it.deleted == []


# --- listings that fail, and restarts ------------------------------------------------------------


def test_why_volumes_cannot_be_listed_is_told(it: Keeper) -> None:
    asked = it.seeks()
    it.made(asked)
    it.sees(it.shown(asked))
    it.wait_until(it.now + 400)
    assert it.labels is not None

    it.ask(VolumesSeen("vast", it.labels.asked_at, None, Failure("provider_error", "no")))
    assert it.cloud.note == "volumes: no"
    it.labels = None
    it.wait_until(it.now + 20)
    assert it.labels is not None
    it.ask(VolumesSeen("vast", it.labels.asked_at))

    assert it.cloud.note == ""


def test_a_restart_forgets_nothing_of_it(it: Keeper) -> None:
    it.in_use()
    it.gives_back()

    it.restart()
    it.submit()
    it.has(offer("o2", 0.1, host=2), offer("o1", 0.3, host=1))

    assert [one.volume for one in it.wanted(Rent)] == [RentedVolume("data", "1", "1")]


def test_after_a_restart_what_was_asked_for_is_unclear(it: Keeper) -> None:
    asked = it.seeks()

    it.restart()

    assert it.statuses_of_volumes == ["unclear"]
    assert it.wanted(RentVolume) == []
    it.sees(it.shown(asked))
    assert it.statuses_of_volumes == ["there"]


def test_after_a_restart_what_was_to_go_goes(it: Keeper) -> None:
    asked = it.seeks()
    it.made(asked)
    it.ask(VolumeDropped("data"))

    it.deleted.clear()
    it.restart()
    it.wait_until(it.now + 1)

    assert [one.provider_id for one in it.deleted] == ["1"]


def test_where_nothing_is_kept_volumes_are_rented_all_the_same() -> None:
    it = Keeper(is_kept=False)
    rent = it.in_use()
    it.gives_back()
    it.ask(VolumeDropped("data"))
    it.sees()
    it.sees()

    assert rent.volume is not None
    assert it.statuses_of_volumes == []


def test_without_vast_any_more_what_is_to_go_waits_until_it_is_back() -> None:
    it = Keeper()
    it.made(it.seeks())

    it.terms = Terms(("fly",), 1.0)
    it.restart()
    it.ask(VolumeDropped("data"))

    assert it.deleted == []
    assert it.statuses_of_volumes == ["destroying"]


def test_an_unclear_answer_about_one_that_is_to_go_changes_nothing(it: Keeper) -> None:
    asked = it.seeks()
    it.ask(VolumeDropped("data"))

    it.not_made(asked, UNCLEAR)

    assert it.statuses_of_volumes[0] == "destroying"


def test_one_that_is_used_and_was_lost_for_a_moment_is_not_looked_at_as_empty(it: Keeper) -> None:
    it.in_use()
    (known,) = it.cloud.volumes
    it.gives_back()
    it.sees()
    it.sees()
    assert it.statuses_of_volumes == ["lost"]

    it.sees(SeenVolume("1", known.label, "1", 20.0, RATE))
    it.wait_until(it.now + 2 * EMPTY_S)

    assert it.statuses_of_volumes == ["there"]


def test_a_function_of_another_volume_does_not_hear_of_it(it: Keeper) -> None:
    other = MountSpec("volume", "other", "/data", create="vast_local")
    it.submit(it.register("g", mounts=(other,)))

    asked = it.seeks()
    it.made(asked)

    assert it.statuses_of_volumes == ["there"]


def test_the_next_machine_has_the_same_volume_whose_price_may_not_be_told(it: Keeper) -> None:
    it.in_use()
    (known,) = it.cloud.volumes
    it.gives_back()
    it.submit()
    (rent,) = it.has(offer("o1", 0.3, host=1))

    it.rented(rent, number=2)
    it.comes_up(rent.tag, "m2")
    it.sees(SeenVolume("1", known.label, "1", 20.0, 0.0))

    (volume,) = it.cloud.volumes
    assert volume.usd_per_hour == RATE
    assert volume.machines == (it.machines[0].machine_id,)
