"""A provider that loses replies, shows old lists, gives machines away, and has some that hang."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from apothic_backends.placement.offers import Offer, offer_of
from apothic_backends.providers.base import FAILED, RUNNING, STOPPED, Listing, Rented, Seen
from apothic_emulator.core.avoided import HOST_S, REGION_S
from apothic_emulator.core.renting import (
    Destroy,
    Failure,
    ListRented,
    MachineEnded,
    MachineRented,
    MachinesSeen,
    OffersFound,
    Rent,
    SeekOffers,
)
from tests.simulation.chance import draw
from tests.simulation.history import sure

if TYPE_CHECKING:
    from tests.simulation.renting import World

NAME = "vast"
HOSTS, REGIONS = 40, 4
TRIED_S = 1000.0
"""An offer that was asked for as long ago is certainly tried again."""
OLDEST_S = 110.0
"""How old a listing may be that it shows."""
LATEST_S = 1500.0
"""How late something may be made that nobody believes in any more."""
BLOCK_S = 400.0
FAULTS = (
    *("lose_reply", "lose_request", "make_late", "make_very_late", "twice", "dearer", "too_dear"),
    *("offer_gone", "no_capacity", "busy", "blocked", "garbage"),
    *("hang", "boot_late", "boot_fails", "preempt", "vanish"),
    *("old_list", "short_list", "broken_list", "forgetful_list"),
    *("keep_alive", "destroy_fails", "destroy_late", "no_offers", "fact_twice"),
)


class Box:
    """A machine that is really there."""

    def __init__(self, number: int, rent: Rent, usd_per_hour: float, now: float) -> None:
        self.provider_id, self.tag = f"v{number}", rent.tag
        self.most, self.usd_per_hour = rent.most_usd_per_hour, usd_per_hour
        self.offer = rent.offer
        self.host = place_of(rent.offer)
        self.created_at = self.owned_at = now
        self.state, self.is_preempted = RUNNING, False
        self.is_excess = False
        """Whether nobody could know that it would be there, too."""
        self.is_up = False
        """Whether somebody has ever joined from it."""
        self.gone_at = float("inf")
        self.kept = 0
        """How often it has survived that it was to go."""


def place_of(offer: Offer) -> str:
    """The computer, or else the region."""
    return str(offer.values.get("machine_id", offer.values.get("region")))


class Cloud:
    """All of them."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.boxes: list[Box] = []
        self.armed: Counter[str] = Counter()
        self.draws = 0
        self.tags: set[str] = set()
        self.blocked_until = -1.0
        self.told_blocked_at = -1e9
        self.failures: deque[str] = deque()
        """What has failed of late, so that nothing fails for ever."""
        self.orders: dict[str, float] = {}
        """What machines may cost that are not made yet, by their tags."""
        self.forgotten = ""
        """What the last listing has left out: the next shows it."""
        self.is_regional = draw(world.seed, 91, 1) % 3 == 0
        """Whether it tells of regions, and not of hosts."""
        self.offered: dict[int, dict[str, Offer]] = {}
        """What each function was offered last."""
        self.asked_at: dict[str, float] = {}
        """When an offer was last asked for."""
        self.out: dict[str, float] = {}
        """Where a machine has not come up, and until when none is rented there at the least."""
        self.lost: set[str] = set()
        """Those that have not, by their tags."""
        self.doubtful: set[str] = set()
        """Where one was gone before it came up: for how long these are left alone is not known."""

    def chance(self, most: int) -> int:
        self.draws += 1
        return draw(self.world.seed, 91, self.draws) % most

    def falls(self, kind: str) -> bool:
        if not self.armed[kind]:
            return False
        self.armed[kind] -= 1
        self.world.reached[kind] += 1
        return True

    @property
    def alive(self) -> list[Box]:
        return [box for box in self.boxes if box.gone_at > self.world.now]

    # --- what it is asked -----------------------------------------------------------------------

    def carry_out(self, errand: Any) -> None:
        world = self.world
        delay_s = (0.2, 1.0, 5.0, 20.0)[self.chance(4)]
        if isinstance(errand, Rent):
            sure(errand.tag not in self.tags, "C4", "%s is used twice", errand.tag)
            self.tags.add(errand.tag)
            self.orders[errand.tag] = errand.most_usd_per_hour
            self.look(world.terms.max_usd_per_hour)
            self.look_where(errand)
        match errand:
            case SeekOffers():
                world.later(delay_s, self.seek, errand)
            case Rent():
                world.at(world.now + delay_s, self.rent, errand, world.epoch)
            case Destroy():
                self.note_why(errand)
                world.at(world.now + delay_s, self.destroy, errand, world.epoch)
            case ListRented():
                world.later(delay_s, self.list, errand)
            case _:
                pass

    def seek(self, errand: SeekOffers) -> None:
        if self.falls("no_offers"):
            self.world.tell(OffersFound(errand.function, NAME))
            return
        if self.falls("garbage"):
            failure = Failure("provider_error", "<html>")
            self.world.tell(OffersFound(errand.function, NAME, (), failure))
            return
        offers = [self.offer(errand.spec.gpu_count) for _ in range(8)]
        self.offered_to(errand.function, offers)
        self.world.tell(OffersFound(errand.function, NAME, tuple(offers)))

    def offered_to(self, function: int, offers: Sequence[Offer]) -> None:
        self.offered[function] = {it.name: it for it in offers}

    def offer(self, gpus: int) -> Offer:
        told: dict[str, Any] = {"machine_id": self.chance(HOSTS)}
        if self.is_regional:
            told = {"region": f"r{self.chance(REGIONS)}"}
        told |= {"cpu_cores": 8, "cpu_cores_effective": 8}
        told |= {"cpu_ram": 32_000, "disk_space": 500, "dph_base": 0.1 + self.chance(40) / 100}
        if gpus:
            told |= {"gpu_name": "RTX 4090", "num_gpus": gpus, "gpu_ram": 24_000}
        return offer_of(f"offer-{self.chance(1 << 30)}", told, 16)

    def rent(self, errand: Rent, epoch: int) -> None:
        world = self.world
        del self.orders[errand.tag]
        if world.now < self.blocked_until:
            self.refuse_blocked(errand, epoch)
            return
        for kind, code in (("offer_gone",) * 2, ("no_capacity",) * 2, ("busy", "provider_busy")):
            if self.falls(kind):
                self.fail(errand, epoch, code)
                return
        if self.falls("lose_request"):
            self.fail(errand, epoch, "provider_unclear")
            return
        if self.falls("make_late"):
            world.at(world.now + 10.0 + self.chance(90), self.make_later, errand)
            self.fail(errand, epoch, "provider_unclear")
            return
        if self.falls("make_very_late"):
            world.at(world.now + 200.0 + self.chance(int(LATEST_S)), self.make_excess, errand)
            self.fail(errand, epoch, "provider_unclear")
            return
        box = self.make(errand)
        if self.falls("twice"):
            self.make_excess(errand)
        if self.falls("lose_reply"):
            self.fail(errand, epoch, "provider_unclear")
            return
        rented = Rented(box.provider_id, box.usd_per_hour, box.host)
        self.answer(MachineRented(errand.machine, NAME, errand.tag, rented), epoch)

    def refuse_blocked(self, errand: Rent, epoch: int) -> None:
        if epoch == self.world.epoch:
            early_s = self.world.now - self.told_blocked_at
            sure(early_s < 25 or early_s >= 200, "C6", "asked %g s after it was blocked", early_s)
            if early_s > 200:
                self.told_blocked_at = self.world.now
        self.fail(errand, epoch, "cloud_blocked")

    def fail(self, errand: Rent, epoch: int, code: str) -> None:
        failure = Failure(code, f"it says {code}")
        self.answer(MachineRented(errand.machine, NAME, errand.tag, None, failure), epoch)

    def answer(self, fact: Any, epoch: int) -> None:
        """It reaches the control plane that has asked, if that is still there."""
        if epoch == self.world.epoch:
            self.world.tell(fact)
            if self.falls("fact_twice"):
                self.world.tell(fact)

    def make(self, errand: Rent) -> Box:
        price = errand.offer.usd_per_hour
        assert price is not None
        if self.falls("too_dear"):
            price = errand.most_usd_per_hour * 1.5
        elif self.falls("dearer"):
            price = errand.most_usd_per_hour
        box = Box(len(self.boxes) + 1, errand, price, self.world.now)
        self.boxes.append(box)
        self.boot(box)
        return box

    def make_later(self, errand: Rent) -> None:
        self.make(errand)

    def make_excess(self, errand: Rent) -> None:
        self.make(errand).is_excess = True

    def boot(self, box: Box) -> None:
        world = self.world
        if self.falls("hang"):
            return
        if self.falls("boot_fails"):
            world.at(world.now + 30.0, self.stop, box, FAILED)
            return
        takes_s = 20.0 + self.chance(100)
        if self.falls("boot_late"):
            takes_s = world.terms.boot_s + self.chance(600)
        world.at(world.now + takes_s, world.boots, box)

    def stop(self, box: Box, state: str) -> None:
        """It ends by itself, and is still paid for."""
        box.state = state
        self.world.stops(box)

    def destroy(self, errand: Destroy, epoch: int) -> None:
        box = next((it for it in self.alive if it.provider_id == errand.provider_id), None)
        kind = next((it for it in ("destroy_fails", "keep_alive") if self.falls(it)), "")
        if box is None or box.kept >= 2:
            kind = ""
        if box is not None:
            box.kept += bool(kind)
            if not kind:
                late_s = 60.0 if self.falls("destroy_late") else 0.0
                self.world.at(self.world.now + late_s, self.end, box)
        failure = Failure("provider_error", "500") if kind == "destroy_fails" else None
        self.answer(MachineEnded(errand.machine, failure), epoch)

    def end(self, box: Box) -> None:
        self.is_gone(box)
        self.world.stops(box)

    def list(self, errand: ListRented) -> None:
        world = self.world
        self.failures.append("")
        if len(self.failures) > 2:
            self.failures.popleft()
        if "x" not in self.failures and self.falls("broken_list"):
            self.failures[-1] = "x"
            world.tell(MachinesSeen(NAME, errand.asked_at, None, Failure("provider_error", "504")))
            return
        at = world.now - (self.chance(int(OLDEST_S)) if self.falls("old_list") else 0)
        there = [it for it in self.boxes if it.created_at <= at < it.gone_at]
        shown = [self.seen(box) for box in there if box.tag.startswith(errand.prefix)]
        if self.falls("forgetful_list") and shown and not self.forgotten:
            self.forgotten = shown.pop(self.chance(len(shown))).provider_id
        else:
            self.forgotten = ""
        is_whole = not self.falls("short_list")
        if not is_whole:
            shown = shown[: len(shown) // 2]
        if self.falls("fact_twice"):
            shown += shown[:1]
        world.tell(MachinesSeen(NAME, errand.asked_at, Listing(tuple(shown), is_whole)))

    def seen(self, box: Box) -> Seen:
        created_at = box.created_at + self.world.offset
        told = box.usd_per_hour, box.host, created_at, box.is_preempted
        return Seen(box.provider_id, box.tag, box.state, "", *told)

    # --- what befalls machines ------------------------------------------------------------------

    def befall(self, kind: str) -> None:
        alive = self.alive
        if kind == "blocked":
            self.world.reached[kind] += 1
            self.blocked_until = self.world.now + BLOCK_S
        elif kind in ("preempt", "vanish") and alive:
            self.world.reached[kind] += 1
            box = alive[self.chance(len(alive))]
            box.is_preempted = kind == "preempt"
            if kind == "preempt":
                self.stop(box, STOPPED)
            else:
                self.end(box)
        else:
            self.armed[kind] += 1 + self.chance(2)

    def heal(self) -> None:
        self.armed.clear()
        self.blocked_until = -1.0

    # --- where machines do not come up ----------------------------------------------------------

    def note_why(self, errand: Destroy) -> None:
        """One is to go: whether that is since it has not come up."""
        box = next((it for it in self.boxes if it.provider_id == errand.provider_id), None)
        has_failed = self.world.why(errand).startswith(("it has not come up", "it has failed"))
        if box is not None and has_failed and box.tag not in self.lost and not box.is_up:
            self.lost.add(box.tag)
            if self.out.get(box.host, 0.0) <= self.world.now:  # one that fails meanwhile is no news
                self.out[box.host] = self.world.now + (REGION_S if self.is_regional else HOST_S)
            self.world.reached["avoided"] += 1

    def came_up(self, box: Box) -> None:
        box.is_up = True
        self.out.pop(box.host, None)
        self.doubtful.discard(box.host)

    def is_gone(self, box: Box) -> None:
        box.gone_at = min(box.gone_at, self.world.now)
        if not box.is_up:
            self.doubtful.add(box.host)

    def look_where(self, errand: Rent) -> None:
        """Of what was offered as cheap as that, nothing is certainly better."""
        function, now, offer = self.world.function_of(errand), self.world.now, errand.offer
        offered, usd = self.offered.get(function, {}), offer.usd_per_hour or 0.0
        is_out = self.out.get(place_of(offer), 0.0) > now
        self.world.reached["tried again"] += is_out
        better = [
            it.name
            for it in offered.values()
            if (it.usd_per_hour or 0.0) <= usd
            and place_of(it) not in {*self.out, *self.doubtful}
            and now - self.asked_at.get(it.name, -1e9) > TRIED_S
        ]
        self.asked_at[offer.name] = now
        is_right = not is_out or (self.is_regional and not better)
        sure(is_right, "C10", "%s is tried, and %s would do", offer.name, better)

    # --- what must be true ----------------------------------------------------------------------

    def look(self, cap: float) -> None:
        costs = sum(min(it.usd_per_hour, it.most) for it in self.alive if not it.is_excess)
        costs += sum(self.orders.values())
        sure(costs <= cap + 1e-6, "C1", "$%g/h run or will, and $%g/h may", costs, cap)

    def look_for_owners(self, longest_s: float) -> None:
        now = self.world.now
        for box in self.alive:
            if self.world.owns(box):
                box.owned_at = now
            alone_s = now - box.owned_at
            sure(alone_s <= longest_s, "C2", "%s is nobody's for %g s", box.tag, alone_s)
