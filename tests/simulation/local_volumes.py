"""The simulation of rented machines, where functions mount volumes that lie on one host each.

`python -m tests.simulation.local_volumes FIRST END` runs many seeds. What C1 to C9 say of machines
holds here, too. Of volumes:

V1  none is asked for that is not written down, or twice under one label
V2  one that a machine has come up with is the only one of its name, ever, and is never deleted
V3  a function runs on a machine that has its volume, on the host of that
V4  in the end those are alive that are known to be there, one for a name
"""

from __future__ import annotations

from typing import Any

from apothic_backends.model.functions import MountSpec
from apothic_backends.model.machines import DESTROYING, THERE
from apothic_backends.placement.offers import Offer
from apothic_backends.providers.base import SeenVolume, VolumeListing
from apothic_emulator.core import effects as e
from apothic_emulator.core.renting import (
    DeleteVolume,
    Failure,
    ListLabels,
    OffersFound,
    Rent,
    RentedVolume,
    RentVolume,
    SeekOffers,
    VolumeEnded,
    VolumeRented,
    VolumesSeen,
)
from tests.simulation import seeds
from tests.simulation.chance import draw, pick
from tests.simulation.history import sure
from tests.simulation.lying_cloud import NAME, Box, Cloud
from tests.simulation.renting import CHAOS_S, World

FAULTS = (
    *("volume_reply_lost", "volume_request_lost", "volume_late", "volume_very_late"),
    *("volume_gone", "volume_stubborn", "volume_list_old", "volume_list_broken"),
)


class Disk:
    """A volume that is really there."""

    def __init__(self, number: int, errand: RentVolume, now: float) -> None:
        self.number, self.name = number, errand.name
        self.label, self.host = errand.order.label, errand.order.host
        self.made_at, self.gone_at = now, float("inf")
        self.is_used = self.is_excess = False


class Disks(Cloud):
    """A provider that has volumes, too."""

    world: VolumeWorld

    def __init__(self, world: VolumeWorld) -> None:
        super().__init__(world)
        self.is_regional = False
        self.disks: list[Disk] = []
        self.labels: set[str] = set()
        self.mounts: dict[str, RentedVolume] = {}
        """What machines have, by their tags."""
        self.was_broken = False

    @property
    def there(self) -> list[Disk]:
        return [it for it in self.disks if it.gone_at > self.world.now]

    def disk_of(self, box: Box) -> Disk | None:
        mount = self.mounts.get(box.tag)
        return None if mount is None else self.disks[int(mount.provider_id) - 1]

    def carry_out(self, errand: Any) -> None:
        world = self.world
        at = world.now + (0.2, 1.0, 5.0)[self.chance(3)]
        match errand:
            case RentVolume():
                sure(f"machines/volume/{errand.volume}" in world.records, "V1", "%s", errand)
                sure(errand.order.label not in self.labels, "V1", "twice: %s", errand)
                self.labels.add(errand.order.label)
                self.look_for_another(errand)
                world.at(at, self.rent_volume, errand, world.epoch)
            case DeleteVolume():
                world.at(at, self.delete_volume, errand, world.epoch)
            case ListLabels():
                world.at(at, self.list_volumes, errand, world.epoch)
            case Rent(volume=RentedVolume()):
                mount: Any = errand.volume
                is_there = str(errand.offer.values["machine_id"]) == mount.host
                sure(is_there, "V3", "%s is elsewhere", errand)
                self.mounts[errand.tag] = mount
                super().carry_out(errand)
            case _:
                super().carry_out(errand)

    def look_where(self, errand: Rent) -> None:
        if errand.volume is None:  # else it can be nowhere else
            super().look_where(errand)

    def seek(self, errand: SeekOffers) -> None:
        hosts = [it.value for it in errand.spec.placement if it.field == "machine_id"]
        if not hosts:
            super().seek(errand)
            return
        offers = tuple(self.on(self.offer(gpus), int(str(hosts[0]))) for gpus in (0, 0, 1, 1, 2))
        self.offered_to(errand.function, offers)
        self.world.tell(OffersFound(errand.function, NAME, offers))

    def offer(self, gpus: int) -> Offer:
        return self.on(super().offer(gpus))

    def on(self, offer: Offer, host: int | None = None) -> Offer:
        told = {} if host is None else {"machine_id": host}
        return Offer(offer.name, {**offer.values, **told, "avail_vol_size": 100.0})

    def rent_volume(self, errand: RentVolume, epoch: int) -> None:
        world = self.world
        if self.falls("volume_gone"):
            self.answer_of(errand, epoch, "offer_gone")
            return
        for kind, late_s in (("volume_late", 90), ("volume_very_late", 1500)):
            if self.falls(kind):
                is_excess = kind == "volume_very_late"
                late = world.now + 10.0 + self.chance(late_s)
                world.at(late, self.make_late_volume, errand, is_excess)
                self.answer_of(errand, epoch, "provider_unclear")
                return
        if self.falls("volume_request_lost"):
            self.answer_of(errand, epoch, "provider_unclear")
            return
        made = self.make_volume(errand)
        if self.falls("volume_reply_lost"):
            self.answer_of(errand, epoch, "provider_unclear")
            return
        label = errand.order.label
        self.answer(VolumeRented(errand.volume, NAME, label, self.seen_of(made)), epoch)

    def answer_of(self, errand: RentVolume, epoch: int, code: str) -> None:
        failure = Failure(code, f"it says {code}")
        self.answer(VolumeRented(errand.volume, NAME, errand.order.label, None, failure), epoch)

    def make_late_volume(self, errand: RentVolume, is_excess: bool) -> None:
        self.make_volume(errand).is_excess = is_excess

    def look_for_another(self, errand: RentVolume) -> None:
        """Whether one of that name is there already, of which it could be known."""
        part: Any = self.world.plane.shared.part("machines")
        going = {it.label for it in part.volumes.volumes.values() if it.status == DESTROYING}
        mine = [it for it in self.there if it.name == errand.name and not it.is_excess]
        those = [it.label for it in mine if it.label not in going]
        sure(not those, "V4", "%s are there, and another is asked for", those)

    def make_volume(self, errand: RentVolume) -> Disk:
        made = Disk(len(self.disks) + 1, errand, self.world.now)
        self.disks.append(made)
        return made

    def seen_of(self, it: Disk) -> SeenVolume:
        return SeenVolume(str(it.number), it.label, it.host, 20.0, 0.004)

    def delete_volume(self, errand: DeleteVolume, epoch: int) -> None:
        it = self.disks[int(errand.provider_id) - 1]
        sure(not it.is_used, "V2", "%s has data, and is deleted", it.label)
        failure = None
        if any(self.disk_of(box) is it for box in self.alive):
            failure = Failure("provider_error", "it is in use")
        elif not self.falls("volume_stubborn"):
            it.gone_at = min(it.gone_at, self.world.now)
        self.answer(VolumeEnded(errand.volume, failure), epoch)

    def list_volumes(self, errand: ListLabels, epoch: int) -> None:
        self.was_broken = not self.was_broken and self.falls("volume_list_broken")
        if self.was_broken:
            failure = Failure("provider_error", "504")
            self.answer(VolumesSeen(NAME, errand.asked_at, None, failure), epoch)
            return
        at = self.world.now - (self.chance(100) if self.falls("volume_list_old") else 0)
        there = [it for it in self.disks if it.made_at <= at < it.gone_at]
        seen = tuple(self.seen_of(it) for it in there if it.label.startswith(errand.prefix))
        self.answer(VolumesSeen(NAME, errand.asked_at, VolumeListing(seen)), epoch)


class VolumeWorld(World):
    """One run."""

    cloud: Disks

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.cloud = Disks(self)
        first, second = (MountSpec("volume", it, "/d", create="vast_local") for it in ("a", "b"))
        cpu, gpu, two = self.specs
        self.specs = [cpu.replace(mounts=(first,)), gpu.replace(mounts=(first,)), two]
        self.specs.append(gpu.replace(name="other", mounts=(second,)))

    def run(self) -> None:
        for i in range(0 if self.calm else 16):
            kind = pick(self.seed, 81, i, FAULTS)
            self.at(100.0 + draw(self.seed, 82, i) % CHAOS_S, self.cloud.befall, kind)
        super().run()

    def boots(self, box: Box) -> None:
        super().boots(box)
        disk = self.cloud.disk_of(box)
        if disk is not None and self.owns(box):
            disk.is_used = True
            used = [it.label for it in self.cloud.disks if it.name == disk.name and it.is_used]
            sure(len(used) == 1, "V2", "%s were used as one", used)

    def carry_out(self, effect: Any) -> None:
        if isinstance(effect, e.StartExecutor) and effect.spec.local_volume:
            agent = self.agents.get(effect.agent)
            disk = None if agent is None else self.cloud.disk_of(agent.box)
            its = effect.spec.local_volume
            sure(agent is None or (disk is not None and disk.name == its), "V3", "%s", effect)
            sure(disk is None or agent is None or agent.box.host == disk.host, "V3", "%s", effect)
            self.reached["with a volume"] += 1
        super().carry_out(effect)

    def judge(self) -> None:
        part: Any = self.plane.shared.part("machines")
        known = {it.provider_id for it in part.volumes.volumes.values() if it.status == THERE}
        alive = {str(it.number) for it in self.cloud.there}
        sure(alive == known, "V4", "%s are alive, and %s are known", alive, known)
        names = [it.name for it in self.cloud.there]
        sure(len(names) == len({*names}), "V4", "%s are alive", names)
        self.reached["volumes"] += len(names)
        super().judge()


def failure_of(seed: int) -> str:
    """What is wrong in the run of a seed; nothing if nothing is."""
    return seeds.trouble(lambda it: VolumeWorld(it).run(), seed)


if __name__ == "__main__":
    seeds.main(failure_of)
